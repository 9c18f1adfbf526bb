"""The resolver's rules: which candidate is taken, and the reason for every other."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest

from ggez_hub.errors import UsageProblem
from ggez_hub.hub import Hub
from ggez_hub.hub.answers import NotInCache
from ggez_hub.registry.index.search import NoIndex
from ggez_hub.registry.repositories import Repositories
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolver.resolver import NoAdapter, resolve

from ..worlds import BASE_REPO, card, write_card


def reasons(resolved):
    return {r.repo.rpartition("-")[2]: r.reason for r in resolved.resolution.rejected}


def recard(assets, region="th", **changes):
    folder = assets / "embedding" / region
    write_card(folder, card(region, assets / "embedding" / "base", folder, **changes))


def taken(resolved):
    return resolved.resolution.adapters[0].source.repo


def test_the_nearer_region_comes_first(seeded):
    resolved = resolve(Request("th"), seeded)
    assert taken(resolved) == f"{BASE_REPO}-th"
    assert reasons(resolved) == {
        "asia": f"{BASE_REPO}-th comes first: it serves th, which is nearer"
    }


def test_the_same_inputs_give_the_same_answer(seeded):
    assert resolve(Request("th"), seeded) == resolve(Request("th"), seeded)


def test_an_adapter_and_its_base_are_asked_for_at_once(seeded):
    both = threading.Barrier(2)

    class Watched(Hub):
        def at_commit(self, repo, revision, repo_type="model"):
            if repo_type == "model":
                # Breaks if the second is asked for when the first is there.
                both.wait(timeout=30)
            return super().at_commit(repo, revision, repo_type)

    request = Request("th", adapters=(f"{BASE_REPO}-th",))
    assert resolve(request, Watched(seeded.endpoint)) == resolve(request, seeded)


def test_what_cannot_be_asked_for_is_raised_where_it_is_needed(seeded):
    seeded.at_commit(BASE_REPO, "main")
    repositories = Repositories(replace(seeded, offline=True))
    repositories.ask_for([(BASE_REPO, "main"), ("never/seen", "main")])
    assert repositories.at(BASE_REPO, "main").repo == BASE_REPO
    with pytest.raises(NotInCache, match="never/seen"):
        repositories.at("never/seen", "main")


def test_what_gives_no_beta_is_not_asked_for(assets, hub_of):
    recard(assets, curve="unknown")
    hub, _ = hub_of(assets)
    asked = []

    class Watched(Hub):
        def at_commit(self, repo, revision, repo_type="model"):
            asked.append(repo)
            return super().at_commit(repo, revision, repo_type)

    resolve(Request("th"), Watched(hub.endpoint))
    assert f"{BASE_REPO}-southeast-asia" in asked
    assert f"{BASE_REPO}-th" not in asked


def test_alpha_is_that_of_the_requested_region(seeded):
    resolved = resolve(Request("kh"), seeded).resolution
    assert resolved.adapters[0].region == "southeast-asia"
    assert resolved.alpha.members == ["kh"]
    # 100 items of Cambodia stand on the curve: beta is re-picked on them.
    assert resolved.adapters[0].beta.region == "kh"


def test_too_few_items_keep_the_adapters_own_beta(assets, hub_of):
    recard(assets, "southeast-asia", countries=["th", "vn", "kh", "la"], n=399)
    hub, _ = hub_of(assets)
    assert resolve(Request("kh"), hub).resolution.adapters[0].beta.region == "southeast-asia"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": {"state": "yanked", "reason": "wrong data"}}, "is yanked: wrong data"),
        ({"status": {"state": "deprecated"}}, "is deprecated"),
        ({"curve": "unknown"}, "gives no beta: the card holds no curve"),
        ({"points": {"0": (60.0, 0.2), "1": (30.0, 0.2)}}, "is at chance at every beta"),
        ({"files": {"adapter_model.bin": {"size": 3, "sha256": "0" * 64}}}, "no safetensors"),
        (
            {"files": {"adapter_model.safetensors": {"size": 3, "sha256": "0" * 64}}},
            "has another adapter_model.safetensors than its card records",
        ),
        (
            {"files": {"x.safetensors": {"size": 3, "sha256": "0" * 64}}},
            "lacks x.safetensors",
        ),
        (
            {"base": {"repo": BASE_REPO, "revision": "main",
                      "weights": {"open_clip_model.safetensors": "0" * 64}}},
            "fits other weights",
        ),
    ],
)  # fmt: skip
def test_a_candidate_that_does_not_serve(assets, hub_of, changes, reason):
    recard(assets, **changes)
    hub, _ = hub_of(assets)
    resolved = resolve(Request("th"), hub)
    assert taken(resolved) == f"{BASE_REPO}-southeast-asia"
    assert reason in reasons(resolved)["th"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"auto_mapping": {"parent_library": "os"}}, "auto_mapping"),
        ({"base_model_name_or_path": "evil/base"}, "names the base 'evil/base'"),
    ],
)
def test_a_config_that_leads_loaders_elsewhere(assets, hub_of, changes, reason):
    path = assets / "embedding" / "th" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    recard(assets)
    hub, _ = hub_of(assets)
    assert reason in reasons(resolve(Request("th"), hub))["th"]


def test_a_given_beta_needs_no_curve(assets, hub_of):
    recard(assets, curve="unknown")
    hub, _ = hub_of(assets)
    assert taken(resolve(Request("th", beta=0.4), hub)) == f"{BASE_REPO}-th"


def test_another_base_must_have_the_same_weights(seeded, assets, hub_of):
    with pytest.raises(NoAdapter, match="does not have"):
        resolve(Request("th", base="ggez-world/clip-emoji-th"), seeded)
    hub, store = hub_of(assets)
    base = assets / "embedding" / "base"
    files = {path.name: path for path in base.iterdir()}
    store.create_repo("model", "mirror/of-the-base")
    store.commit("model", "mirror/of-the-base", files, message="Mirror", author="x", email="x@x",
                 date=1_800_000_000)  # fmt: skip
    resolved = resolve(Request("th", base="mirror/of-the-base"), hub).resolution
    assert resolved.base.repo == "mirror/of-the-base"
    assert resolved.merge_digest == resolve(Request("th"), hub).resolution.merge_digest


def test_live_candidates_need_trust(seeded):
    with pytest.raises(NoAdapter, match="is not trusted"):
        resolve(Request("th", live=True), seeded)
    for trust in ("any", "ggez-world"):
        resolved = resolve(Request("th", live=True, trust=trust), seeded)
        assert taken(resolved) == f"{BASE_REPO}-th"
        assert resolved.resolution.adapters[0].card.repo_type == "model"


def test_what_an_author_says_the_registry_measured_is_a_claim(seeded):
    live = resolve(Request("th", live=True, trust="any"), seeded)
    (document,) = live.documents
    rows = [row for tasks in document.card.curve.values() for row in tasks.values()]
    assert {row.measured_by for row in rows} == {"self"}
    # The same card in the index speaks for the registry.
    (accepted,) = resolve(Request("th"), seeded).documents
    rows = [row for tasks in accepted.card.curve.values() for row in tasks.values()]
    assert {row.measured_by for row in rows} == {"registry"}


def test_a_card_that_cannot_be_read_is_a_reason(assets, hub_of):
    hub, store = hub_of(assets)
    store.commit("dataset", "ggez-hub/index", {"cards/th/embedding/broken.md": b"---\nx: [\n---\n"},
                 message="x", author="x", email="x@x", date=1_800_000_000)  # fmt: skip
    resolved = resolve(Request("th"), hub)
    assert any("not valid YAML" in r.reason for r in resolved.resolution.rejected)


def test_a_hub_without_an_index_says_so(tmp_path):
    from ggez_hub.embedded.store import HubStore
    from ggez_hub.hub import Hub

    from ..worlds import serving

    with (
        HubStore.open(tmp_path / "store") as store,
        serving(store) as endpoint,
        pytest.raises(NoIndex, match="no index"),
    ):
        resolve(Request("th", index="hub"), Hub(endpoint))


def test_wide_fallback_reaches_further(seeded):
    with pytest.raises(NoAdapter):
        resolve(Request("fr"), seeded)
    with pytest.raises(UsageProblem):
        resolve(Request("th", family="nonsense"), seeded)


@pytest.mark.parametrize(
    ("path", "decides"), [("adapter_config.json", True), ("tokenizer_config.json", False)]
)
def test_the_merge_digest_is_of_all_that_decides_the_weights(seeded, path, decides):
    """An adapter whose matrices are the same and whose alpha is another one is another adapter."""
    resolved = resolve(Request("th"), seeded).resolution
    (adapter,) = resolved.adapters
    pinned = adapter.source.files[0].model_copy(update={"path": path, "sha256": None})

    def with_file(oid):
        files = tuple(f for f in adapter.source.files if f.path != path)
        file = pinned.model_copy(update={"oid": oid * 40})
        source = adapter.source.model_copy(update={"files": (*files, file)})
        changed = adapter.model_copy(update={"source": source})
        return resolved.model_copy(update={"adapters": (changed,)}).merge_digest

    assert (with_file("a") != with_file("b")) == decides
