"""`site build`: figures by the package's own rules, and nothing that is not known."""

from __future__ import annotations

import json
from itertools import product

import pytest

from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub
from ggez_hub.parity.policy import Policy
from ggez_hub.parity.policy_outcomes import policy_outcomes
from ggez_hub.regions import alpha
from ggez_hub.registry.constants import INDEX_FILE
from ggez_hub.registry.index.build import build_index
from ggez_hub.registry.lock import parse_lock
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolver.resolver import NoAdapter, resolve
from ggez_hub.registry.stored_curve import StoredCurve

from ..worlds import curve
from .built import SHELL, built, data, demo_world, layer, pages, write_accepted

FAMILIES, POLICIES = ("diffusion", "embedding", "vlm"), ("parity", "keep")
NOWHERE = Hub("http://127.0.0.1:9", offline=True)


@pytest.mark.parametrize("country", ["th", "vn", "bn", "jp"])
def test_a_layer_has_what_resolution_takes_with_its_gain_on_test(demo, country):
    hub, site = demo
    for family, policy in product(FAMILIES, POLICIES):
        found = layer(site, family, policy).get(country)
        try:
            taken = resolve(Request(country, family=family, policy=policy), hub)
        except NoAdapter:
            assert found is None
            continue
        (adapter,) = taken.resolution.adapters
        shown = data(site, f"adapters/{adapter.region}/{found['adapter']}")
        assert (shown["repo"], found["beta"]) == (adapter.source.repo, adapter.weight)
        (outcome,) = [
            outcome
            for outcome in policy_outcomes(
                lambda split, card=taken.documents[0].card: StoredCurve.of_card(card).curve(
                    split, country
                ),
                taken.resolution.alpha.value,
            )
            if str(outcome.policy) == policy
        ]
        gain = outcome.test.gain
        assert [found[key] for key in ("gain", "low", "high")] == [gain.value, gain.low, gain.high]
        assert found["state"] == (
            "gain" if gain.low > 0 else "loss" if gain.high < 0 else "no_difference"
        )


def test_the_rule_of_the_contract_chooses_as_the_package_does(demo):
    _, site = demo
    chosen = 0
    for page in pages(site).values():
        (curve,) = [curve for curve in page["curves"] if curve["split"] == "validation"]
        for policy, step in product(POLICIES, range(101)):
            value = step / 100
            grp = [
                value * world + (1 - value) * regional
                for world, regional in zip(curve["q_global"], curve["q_regional"], strict=True)
            ]
            allowed = curve[f"{policy}_allowed"]
            best = max(g for g, may in zip(grp, allowed, strict=True) if may)
            beta = next(
                b
                for b, g, may in zip(curve["betas"], grp, allowed, strict=True)
                if may and g >= best - 1e-9
            )
            assert beta == expected(demo[0], page["repo"], policy, value)
            chosen += 1
    assert chosen == 4 * 2 * 101


def expected(hub, repo, policy, value, _cards={}):  # noqa: B006 - read once
    from ggez_hub.parity.beta_choice import choose_for
    from ggez_hub.registry.index.search import named_entries

    if repo not in _cards:
        _cards[repo] = named_entries(hub, [repo]).entries[0].document.card
    return choose_for(_cards[repo], alpha=value, policy=Policy.parse(policy)).beta


def test_the_lock_of_a_page_is_the_resolution_of_its_region(demo):
    hub, site = demo
    page = pages(site)["th.vlm.vlm-emoji-th"]
    lock = parse_lock(page["lock"], "lock")
    own = resolve(Request("th", adapters=(page["repo"],)), hub).resolution
    assert lock.resolution.merge_digest == own.merge_digest


def test_the_same_index_gives_the_same_bytes(demo, tmp_path):
    hub, site = demo
    again = built(hub, tmp_path / "again").folder
    paths = sorted(path.relative_to(site) for path in site.rglob("*") if path.is_file())
    assert paths == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert [p for p in paths if (site / p).read_bytes() != (again / p).read_bytes()] == []


def test_countries_have_alpha_languages_and_a_code_of_the_map(demo):
    _, site = demo
    overview, alphas = data(site, "overview"), data(site, "alpha")
    rows = {row["id"]: row for row in overview["countries"]}
    assert rows["th"]["numeric"] == "764"
    assert rows["af"]["numeric"] == "004"
    assert rows["th"]["alpha"] == alpha("th").value
    assert rows["th"]["languages"][0]["id"] == "th"
    assert rows["th"]["adapters"] == 4
    # The demo's adapters name Thai; no language is wanted that they name.
    assert rows["th"]["wanted"]["language"] not in {"th", "en"}
    assert rows["kp"]["alpha_from"] is not None
    assert "kp" not in alphas["countries"]
    assert alphas["countries"]["th"][2023 - alphas["years"][0]] == round(alpha("th").value, 6)
    assert overview["suites"]


def test_what_nobody_measured_is_declared_and_null(world, tmp_path):
    cards = tmp_path / "cards"
    write_accepted(cards, "th", world, "x/declared", level="declared", curve="unknown")
    write_accepted(cards, "vn", world, "x/claimed", countries=["vn"])
    claimed = next(cards.glob("vn/*/*.md"))
    claimed.write_text(claimed.read_text().replace("measured_by: registry", "measured_by: self"))
    site = built(NOWHERE, tmp_path / "site", cards).folder
    row = layer(site, "embedding", "parity")["th"]
    figures = ("beta", "suite", "measured_by", "gain", "low", "high")
    assert [row[key] for key in figures] == [None] * len(figures)
    assert row["state"] == "declared"
    # An author's own scores are a claim: shown as one, and nothing is coloured by it.
    row = layer(site, "embedding", "parity")["vn"]
    assert (row["state"], row["measured_by"]) == ("declared", "self")
    assert row["gain"] > 0
    assert data(site, "adapters/table-0")["gain"] == [None, None]
    (shown,) = data(site, "countries/th")["adapters"]
    assert shown["pull"]["parity"].endswith("--adapter x/declared --beta 1 --hub embedded")
    (shown,) = data(site, "countries/vn")["adapters"]
    assert shown["gates"][0]["text"].startswith("by its author's claim: ")


def test_what_was_yanked_is_shown_and_never_taken(world, tmp_path):
    cards = tmp_path / "cards"
    status = {"state": "yanked", "reason": "wrong data"}
    write_accepted(cards, "th", world, "x/yanked", status=status)
    write_accepted(cards, "southeast-asia", world, "x/wider", countries=["th", "vn", "kh", "la"])
    built_site = built(NOWHERE, tmp_path / "site", cards)
    site = built_site.folder
    row = layer(site, "embedding", "parity")["th"]
    assert row["adapter"] == "southeast-asia.embedding.wider"
    *_, last = data(site, "countries/th")["adapters"]
    assert (last["repo"], last["status"]) == ("x/yanked", "yanked")
    assert last["pull"] == {"parity": None, "keep": None}
    page = pages(site)["th.embedding.yanked"]
    assert page["affected"].startswith("yanked: wrong data. What was merged with it")
    (country,) = [c for c in data(site, "overview")["countries"] if c["id"] == "th"]
    assert country["adapters"] == 1


def test_a_card_with_a_share_of_its_own_shows_the_gain_at_its_own_beta(world, tmp_path):
    cards = tmp_path / "cards"
    write_accepted(cards, "th", world, "x/careful", policy="keep=0.9")
    site = built(NOWHERE, tmp_path / "site", cards).folder
    (shown,) = data(site, "countries/th")["adapters"]
    assert (shown["policy"], shown["beta"]) == ("keep=0.9", {"parity": 0.5, "keep": 0.0})
    # At .9 beta .25 may be taken, which neither of the two policies takes.
    (country,) = pages(site)["th.embedding.careful"]["countries"]
    assert country["beta"] == 0.25
    assert shown["gain"] == country["gain"] > 0


def test_what_cannot_be_read_is_left_out_and_named(world, tmp_path):
    cards = tmp_path / "cards"
    write_accepted(cards, "th", world, "x/good")
    broken = cards / "th" / "embedding" / "broken.md"
    broken.write_text("---\nggez: 1\n---\n")
    found = built(NOWHERE, tmp_path / "site", cards)
    assert (found.adapters, [bad.path for bad in found.left_out]) == (
        1,
        ["cards/th/embedding/broken.md"],
    )
    with pytest.raises(GgezError, match="holds no card"):
        built(NOWHERE, tmp_path / "none", tmp_path / "site")
    assert not (tmp_path / "none").exists()


def test_the_shell_is_written_beside_the_data(demo):
    _, site = demo
    for path, content in SHELL.items():
        assert (site / path).read_bytes() == content
    for row in data(site, "overview")["files"]:
        rows = json.loads((site / row["json"]).read_text())
        assert len((site / row["csv"]).read_text().splitlines()) == len(rows) + 1


def test_an_index_that_lacks_its_cards_is_built_without_them(tmp_path):
    """As a push of a part of the data set leaves it."""
    with demo_world(tmp_path / "store") as (other, store):
        listed = other.at_commit("ggez-hub/index", "main", "dataset")
        cards = [file for file in listed.files if file.path.startswith("cards/")]
        folder = other.fetch("ggez-hub/index", listed.revision, cards, "dataset")
        build_index(folder / "cards", tmp_path / INDEX_FILE)
        who = {"message": "x", "author": "x", "email": "x@example.org", "date": 1_700_000_000}
        index = {INDEX_FILE: tmp_path / INDEX_FILE}
        gone = [file.path for file in cards]
        store.commit("dataset", "ggez-hub/index", index, delete=gone[1:], **who)
        found = built(other, tmp_path / "some")
        assert sorted(bad.path for bad in found.left_out) == sorted(gone[1:])
        assert "does not have its card" in found.left_out[0].reason
        store.commit("dataset", "ggez-hub/index", {}, delete=gone[:1], **who)
        assert len(built(other, tmp_path / "none").left_out) == len(gone)
        with pytest.raises(NoAdapter, match="does not have its card"):
            resolve(Request("th", family="embedding"), other)


def test_a_suite_that_cards_call_differently_is_one(world, tmp_path):
    cards, rows = tmp_path / "cards", curve(["th"])
    for name in "dcba":
        other = {
            beta: {key.replace("global", name): row for key, row in tasks.items()}
            for beta, tasks in rows.items()
        }
        write_accepted(cards, "th", world, f"x/{name}", curve=other)
    suites = data(built(NOWHERE, tmp_path / "site", cards).folder, "overview")["suites"]
    assert [suite["name"] for suite in suites] == ["a, regional (text_to_image_r1)"]
