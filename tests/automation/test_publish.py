"""publish.yml on the demo world: an accepted card becomes an index with evidence and a merged model."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi, hf_hub_download
from starlette.responses import JSONResponse

from ggez_hub.automation import cost as costs
from ggez_hub.automation.budget import read_budget
from ggez_hub.automation.card_sources import adapter_of, base_of
from ggez_hub.automation.cost import cost
from ggez_hub.automation.indexed_cards import indexed_cards
from ggez_hub.automation.publication import Publisher
from ggez_hub.automation.result_repository import Pusher
from ggez_hub.cards import alpha_record, parse_card, render_card
from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import ASSETS, seed
from ggez_hub.demo.world import ADAPTER_FILES
from ggez_hub.digests import sha256_file
from ggez_hub.embedded.store import HubStore
from ggez_hub.errors import GateFailed
from ggez_hub.hub import Hub
from ggez_hub.regions import alpha
from ggez_hub.registry.index.build import publish_index
from ggez_hub.registry.index.search import accepted_entries
from ggez_hub.registry.trust.policy import Signer, TrustPolicy
from ggez_hub.registry.trust.signing import signing_key

from ..registry.signing import new_key
from ..worlds import serving
from .conftest import card_of_th, fewer_items, git, new_registry
from .runner import PROJECT

pytestmark = pytest.mark.slow

CARD = "cards/th/embedding/gentle.md"
NOWHERE = "cards/th/embedding/nowhere.md"
BROKEN = "cards/th/embedding/broken.md"
MERGED = "ggez-hub/gentle-th-embedding-merged"
ADAPTER = "ggez-hub/gentle-th-embedding-adapter"


def gentle(folder: Path) -> dict[str, bytes]:
    """The demo's Thai adapter at three tenths of its strength, as somebody else's."""
    source = ASSETS / "embedding" / "th"
    config = json.loads((source / "adapter_config.json").read_text())
    config["lora_alpha"] *= 0.3
    files = {name: (source / name).read_bytes() for name in ADAPTER_FILES}
    files["adapter_config.json"] = json.dumps(config).encode()
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return files


def accepted_card(endpoint: str, folder: Path, revision: str) -> str:
    document = parse_card(card_of_th(endpoint))
    files = {
        path.name: {"size": path.stat().st_size, "sha256": sha256_file(path)}
        for path in sorted(folder.iterdir())
    }
    block = document.card.model_dump(mode="json", exclude_defaults=True) | {
        "level": "declared", "curve": "unknown", "parity": "independent", "baselines": None, "seeds": [], "files": files, "published_by": "someone",
        "adapter": {"repo": "someone/gentle", "revision": revision},
    }  # fmt: skip
    card = type(document.card).model_validate(block)
    return render_card(type(document)(card, document.front_matter, document.prose))


@dataclass
class Published:
    """The hub and the registry afterwards."""

    endpoint: str
    measured: object
    runs: list
    registry: object
    store: HubStore
    token: str
    commit: str

    @property
    def hub(self):
        return Hub(self.endpoint, self.token, signatures="off")

    @property
    def card(self):
        return indexed_cards(self.hub)[CARD].document.card

    def pusher(self, folder, **changes):
        budget = read_budget(PROJECT).model_copy(update=changes)
        return Pusher(self.hub, budget, folder, print)


def signing_environment(folder):
    """A key of the registry for its runs, and a policy that names it."""
    private, public = new_key(folder)
    signer = Signer(owners=("ggez-hub",), key=public.read_text())
    (folder / "trust.yaml").write_text(TrustPolicy(signers=(signer,)).text)
    return {"GGEZ_SIGNING_KEY": str(private), "GGEZ_TRUST": str(folder / "trust.yaml")}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The registry after publish.yml ran twice, and what the two runs printed."""
    folder = tmp_path_factory.mktemp("registry")
    with HubStore.open(tmp_path_factory.mktemp("store")) as store:
        seed(store)
        fewer_items(store, every=8)
        files = gentle(folder / "gentle")
        store.create_repo("model", "someone/gentle")
        commit = store.commit("model", "someone/gentle", files, message="Add", author="s",
                              email="s@x", date=1_800_000_000)  # fmt: skip
        store.add_account("curator", orgs=["ggez-hub"])
        token = store.new_token("curator", "write")
        with serving(store) as endpoint, new_registry(folder, endpoint) as registry:
            registry.runner.secrets["HF_TOKEN"] = token
            registry.runner.env |= signing_environment(folder)
            registry.accept({CARD: accepted_card(endpoint, folder / "gentle", str(commit))})
            # The embedded hub's world is not this registry's: its repositories are not everywhere.
            nowhere = accepted_card(endpoint, folder / "gentle", str(commit))
            registry.accept({NOWHERE: nowhere.replace("repo: someone/gentle", "repo: no/where")})
            registry.accept({BROKEN: "nothing"})
            (measured,) = registry.runner.run("publish.yml", "measure", {})
            runs = [registry.runner.run("publish.yml", "publish", {})[0] for _ in range(2)]
            yield Published(endpoint, measured, runs, registry, store, token, str(commit))


@pytest.mark.slow
def test_models_are_run_without_a_token(published):
    assert published.measured.code == 0, published.measured.stderr
    assert f"{CARD}: unproven" in published.measured.stdout


def test_the_first_run_publishes_and_pushes(published):
    first, _ = published.runs
    assert first.code == 0, first.stderr
    # Three tenths of the demo's Delta: it gains, and loses too little for these items to tell.
    assert f"{CARD}: unproven" in first.stdout
    assert f"{CARD}: merged form at {MERGED}@" in first.stdout


def test_the_index_holds_the_measured_card_its_evidence_and_the_file(published):
    endpoint = published.endpoint
    found = HfApi(endpoint).list_repo_files("ggez-hub/index", repo_type="dataset")
    evidence = [path for path in found if path.startswith("evidence/")]
    assert sorted(set(found) - {".gitattributes"}) == [
        CARD,
        "evidence/th/embedding/gentle/average.parquet",
        "evidence/th/embedding/gentle/predictions.parquet",
        "evidence/th/embedding/gentle/results.json",
        "evidence/th/embedding/gentle/test-result.sig",
        "index.sqlite",
        "model.sig",
        "recipes/th/embedding/gentle.yaml",
    ]
    text = Path(
        hf_hub_download("ggez-hub/index", CARD, repo_type="dataset", endpoint=endpoint)
    ).read_text()
    card = parse_card(text).card
    assert card.level == "measured"
    rows = [row for tasks in card.curve.values() for row in tasks.values()]
    assert {row.measured_by for row in rows} == {"registry"}
    digests = {
        Path(path).name: sha256_file(
            Path(hf_hub_download("ggez-hub/index", path, repo_type="dataset", endpoint=endpoint))
        )
        for path in evidence
    }
    assert {row.predictions for row in rows} == {digests["predictions.parquet"]}
    assert card.baselines.average.predictions == digests["average.parquet"]
    assert card.baselines.switch.misrouted == 0
    assert card.baselines.measured_by == "registry"


def test_the_index_and_the_outcome_of_the_gates_are_signed(published, tmp_path, monkeypatch):
    """By the run's key: what was measured, and which gates passed, is what it signed."""
    monkeypatch.setenv("GGEZ_TRUST", published.registry.runner.env["GGEZ_TRUST"])
    hub = replace(published.hub, signatures="required")
    assert accepted_entries(hub).entries[0].card.signer.startswith("key ")
    at = hub.at_commit("ggez-hub/index", "main", "dataset")
    folder = hub.fetch("ggez-hub/index", at.revision, at.files, "dataset")
    evidence = shutil.copytree(folder / "evidence/th/embedding/gentle", tmp_path / "evidence")
    done = CliRunner().invoke(cli, ["verify", str(evidence), "--owner", "ggez-hub"])
    assert done.exit_code == 0, done.output
    assert "the gates are WARNED (" in done.stdout
    assert "as measured and signed by key " in done.stdout
    (evidence / "results.json").write_text("{}")
    done = CliRunner().invoke(cli, ["verify", str(evidence)])
    assert "is not what was measured: results.json" in done.output


def test_the_merged_model_is_there_with_its_lock(published):
    endpoint = published.endpoint
    files = HfApi(endpoint).list_repo_files(MERGED)
    assert {"ggez.lock", "open_clip_model.safetensors", "open_clip_config.json"} <= set(files)


def test_the_second_run_measures_and_sends_nothing(published):
    endpoint, (first, second) = published.endpoint, published.runs
    assert second.code == 0, second.stderr
    assert f"{CARD}: measured before, unproven" in second.stdout
    titles = [commit.title for commit in HfApi(endpoint).list_repo_commits(MERGED)]
    assert titles == ["Publish the th merged model", "initial commit"]
    index = [line for line in first.stdout.splitlines() if line.startswith("index @")]
    assert index == [line for line in second.stdout.splitlines() if line.startswith("index @")]


def test_what_the_hub_never_had_is_left_out(published):
    first, _ = published.runs
    assert f"{NOWHERE}: left out: no/where is not on {published.endpoint}" in first.stdout


def test_a_card_that_cannot_be_read_does_not_stop_the_others(published):
    first, _ = published.runs
    assert f"{BROKEN}: not measured: {BROKEN}" in first.stdout


def test_a_repository_that_cannot_be_asked_for_does_not_stop_the_others(
    registry, store, good_card, tmp_path
):
    def refusing(app):
        async def around(scope, receive, send):
            refused = JSONResponse({"error": "no"}, status_code=403)
            await (refused if "no/where" in scope.get("path", "") else app)(scope, receive, send)

        return around

    registry.accept(
        {NOWHERE: good_card.replace("repo: ggez-world/clip-emoji-th", "repo: no/where")}
    )
    registry.accept({BROKEN: "nothing"})
    with serving(store, refusing) as endpoint:
        budget = read_budget(PROJECT)
        publisher = Publisher(
            registry.runner.clone, Hub(endpoint), tmp_path / "w", budget, "x", print
        )
        found = publisher.measure({})
    assert {path: outcome.standing.partition(":")[0] for path, outcome in found.items()} == {
        BROKEN: "not measured", NOWHERE: "not measured",
    }  # fmt: skip
    assert "403" in found[NOWHERE].standing


def test_the_size_of_an_adapter_is_bounded_as_that_of_a_base(published, monkeypatch):
    card, hub, budget = published.card, published.hub, read_budget(PROJECT)
    base, adapter = base_of(card, hub).nbytes, adapter_of(card, hub).nbytes
    assert adapter < base
    runner = budget.model_copy(update={"runner_gb": base / 1e9})
    assert cost(CARD, card, hub, runner, None).where == "hf-jobs"
    runner = budget.model_copy(update={"runner_gb": (base + adapter) / 1e9})
    assert cost(CARD, card, hub, runner, None).where == "runner"
    small = budget.model_copy(update={"largest_gb": (adapter - 1) / 1e9})
    with pytest.raises(GateFailed, match="a base of"):
        cost(CARD, card, hub, small, None)
    monkeypatch.setattr(costs, "base_of", lambda *_: replace(base_of(card, hub), files=()))
    with pytest.raises(GateFailed, match="an adapter of"):
        cost(CARD, card, hub, small, None)


@pytest.mark.slow
def test_the_recipe_of_the_index_makes_the_same_merge(published, tmp_path):
    path = hf_hub_download(
        "ggez-hub/index", "recipes/th/embedding/gentle.yaml",
        repo_type="dataset", endpoint=published.endpoint,
    )  # fmt: skip
    out = tmp_path / "merged"
    command = ["merge", "--recipe", path, "--hub", published.endpoint, "-o", str(out), "--quiet"]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    weights = "open_clip_model.safetensors"
    theirs = HfApi(published.endpoint).get_paths_info(MERGED, weights)[0].lfs.sha256
    assert sha256_file(out / weights) == theirs


def test_large_weights_are_an_adapter_form_unless_they_are_asked_for(published, tmp_path):
    pusher = published.pusher(tmp_path / "a", merged_gb=0)
    done = pusher.push(CARD, published.card)
    assert (done.place.partition("@")[0], done.form) == (ADAPTER, "peft")
    assert "GB are published on request" in done.reason
    files = HfApi(published.endpoint).list_repo_files(ADAPTER)
    assert {"ggez.lock", "adapter_config.json", "adapter_model.safetensors"} <= set(files)
    assert "open_clip_model.safetensors" not in files
    asked = replace(pusher, on_request=frozenset({CARD}))
    assert asked.push(CARD, published.card).place.startswith(f"{MERGED}@")


def test_what_a_runner_cannot_merge_waits_for_a_larger_machine(published, tmp_path):
    pusher = published.pusher(tmp_path, runner_gb=0)
    waits = pusher.push(CARD, published.card)
    assert waits.place is None
    assert "`ggez-hub ci publish --large` on one" in waits.reason
    done = replace(pusher, large=True).push(CARD, published.card)
    assert done.place.startswith(f"{MERGED}@")


def test_a_card_that_changes_while_it_is_measured_is_not_published(published):
    """The clone of the run is at the commit that started it; main moves on meanwhile."""
    registry = published.registry
    before = HfApi(published.endpoint).dataset_info("ggez-hub/index").sha
    work = registry.folder / "maintainer"
    text = (work / CARD).read_text()
    (work / CARD).write_text(text.replace("published_by: someone", "published_by: somebody"))
    git(work, "commit", "-q", "-am", "Change")
    git(work, "push", "-q", "origin", "HEAD:main")
    ran, *_ = registry.runner.run("publish.yml", "publish", {})
    assert ran.code == 0, ran.stderr
    assert f"{CARD}: changed meanwhile\n" in ran.stdout
    assert f"{CARD}: no result: the run for its new form publishes it" in ran.stdout
    assert HfApi(published.endpoint).dataset_info("ggez-hub/index").sha == before


def test_another_alpha_is_published_without_measuring(published):
    registry = published.registry
    git(registry.runner.clone, "pull", "-q", "origin", "main")
    text = (registry.runner.clone / CARD).read_text()
    text = text.replace("published_by: somebody", "published_by: someone")
    old = alpha_record(alpha("th")).value
    registry.accept({CARD: text.replace(f"value: {old}", "value: 0.373").replace("2023", "2022")})
    ran, *_ = registry.runner.run("publish.yml", "publish", {})
    assert ran.code == 0, ran.stderr
    assert f"{CARD}: measured before, unproven" in ran.stdout
    assert published.card.alpha.value == 0.373
    assert published.card.level == "measured"


def strict(published, folder):
    """The measured card on a base whose terms forbid that changed weights are passed on."""
    store, base = published.store, "ggez-world/clip-emoji"
    files = {
        name: Path(hf_hub_download(base, name, endpoint=published.endpoint)).read_bytes()
        for name in HfApi(published.endpoint).list_repo_files(base)
        if name != ".gitattributes"
    }
    files["README.md"] = files["README.md"].replace(b"cc-by-sa-4.0", b"cc-by-nd-4.0")
    about = {"message": "Add", "author": "s", "email": "s@x", "date": 1_800_000_000}
    store.create_repo("model", "someone/strict")
    base_commit = store.commit("model", "someone/strict", files, **about)
    adapter = {
        path.name: path.read_bytes().replace(base.encode(), b"someone/strict")
        for path in (folder / "gentle").iterdir()
    }
    for name, data in adapter.items():
        (folder / name).write_bytes(data)
    store.create_repo("model", "someone/strict-gentle")
    revision = store.commit("model", "someone/strict-gentle", adapter, **about)
    document = indexed_cards(published.hub)[CARD].document
    block = document.card.model_dump(mode="json", exclude_defaults=True)
    block["base"] |= {"repo": "someone/strict", "revision": base_commit}
    block["adapter"] = {"repo": "someone/strict-gentle", "revision": revision}
    for name, data in adapter.items():
        block["files"][name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    front = document.front_matter | {"base_model": "someone/strict"}
    card = type(document.card).model_validate(block)
    return type(document)(card, front, document.prose)


def test_a_base_that_may_not_be_passed_on_is_never_pushed_merged(published, tmp_path):
    gentle(tmp_path / "gentle")
    document = strict(published, tmp_path)
    place = tmp_path / "cards" / "th" / "embedding" / "strict.md"
    place.parent.mkdir(parents=True)
    place.write_text(render_card(document))
    by = signing_key(published.registry.runner.env["GGEZ_SIGNING_KEY"], TrustPolicy())
    publish_index(tmp_path / "cards", published.hub, by=by)
    pusher = published.pusher(tmp_path / "work")
    done = replace(pusher, on_request=frozenset({"cards/th/embedding/strict.md"})).push(
        "cards/th/embedding/strict.md", document.card
    )
    assert done.form == "peft", done.reason
    assert "does not allow that changed weights are passed on" in done.reason
    assert not HfApi(published.endpoint).repo_exists("ggez-hub/strict-th-embedding-merged")
    files = HfApi(published.endpoint).list_repo_files("ggez-hub/strict-th-embedding-adapter")
    assert "open_clip_model.safetensors" not in files
