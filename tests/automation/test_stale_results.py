"""`registry eval --stale` on the demo world: what has no result of what it is now, and nothing else."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ggez_hub.automation.budget import read_budget
from ggez_hub.automation.git_changes import same_evaluator
from ggez_hub.automation.indexed_cards import indexed_cards
from ggez_hub.automation.publication import Publisher
from ggez_hub.automation.remote_evaluation import evidence_in
from ggez_hub.automation.result_repository import Pusher
from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import seed
from ggez_hub.embedded.store import HubStore
from ggez_hub.evaluation.results.evidence import open_evidence
from ggez_hub.evaluation.results.verification import verify_evidence
from ggez_hub.hub import Hub

from ..worlds import serving
from .conftest import fewer_items, git, new_registry
from .runner import PROJECT
from .test_publish import accepted_card, gentle

pytestmark = pytest.mark.slow

FIRST, SECOND = "cards/th/embedding/clip-emoji-th.md", "cards/th/embedding/gentle.md"
NOWHERE, BROKEN = "cards/th/embedding/nowhere.md", "cards/th/embedding/broken.md"


class Registry:
    """A hub, a clone of its registry with four cards, and the command."""

    def __init__(self, folder, endpoint, store, made):
        self.folder, self.endpoint, self.store, self.made = folder, endpoint, store, made
        self.clone = made.runner.clone

    def eval(self, out, *more):
        return CliRunner().invoke(
            cli, ["registry", "eval", "--stale", "-o", str(out), "--repository", str(self.clone),
                  "--hub", self.endpoint, *more],
        )  # fmt: skip

    def states(self, out, *more):
        done = self.eval(out, "--json", *more)
        found = {row["card"]: row for row in json.loads(done.stdout)["cards"]}
        return {path: row["state"] for path, row in found.items()}, {
            path: row["why"] for path, row in found.items()
        }

    def index(self, files):
        """Put files into the index; None takes one away."""
        added = {path: content for path, content in files.items() if content is not None}
        self.store.commit("dataset", "ggez-hub/index", added, message="Change", author="s", email="s@x",
                          date=1_800_000_000, delete=[p for p in files if p not in added])  # fmt: skip


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stale")
    with HubStore.open(folder / "store") as store:
        seed(store)
        fewer_items(store, every=24)
        files = gentle(folder / "gentle")
        store.create_repo("model", "someone/gentle")
        commit = store.commit("model", "someone/gentle", files, message="Add", author="s",
                              email="s@x", date=1_800_000_000)  # fmt: skip
        store.add_account("curator", orgs=["ggez-hub"])
        (folder / "registry").mkdir()
        with (
            serving(store) as endpoint,
            new_registry(folder / "registry", endpoint) as made,
        ):
            card = accepted_card(endpoint, folder / "gentle", str(commit))
            made.accept({FIRST: (PROJECT / FIRST).read_text(), SECOND: card,
                         NOWHERE: card.replace("someone/gentle", "no/where"),
                         BROKEN: "nothing", "ggez_hub/evaluation/scores.py": "1"})  # fmt: skip
            yield Registry(folder, endpoint, store, made)


@pytest.fixture(scope="module")
def measured(registry):
    """What the first run printed; its results are in the folder `out`, and in the index."""
    done = registry.eval(registry.folder / "out", "--shards", "2")
    assert done.exit_code == 0, done.output
    return done.output


def evidence(registry, out, path):
    name = path.removeprefix("cards/").removesuffix(".md")
    place = registry.folder / out / "evidence" / name
    return {f"evidence/{name}/{file}": place / file for file in evidence_in(place)}


def test_the_plan_comes_first_and_fetches_nothing(registry, tmp_path):
    states, why = registry.states(tmp_path / "out", "--plan")
    assert states == {
        BROKEN: "not measured", FIRST: "to measure", NOWHERE: "not measured", SECOND: "to measure",
    }  # fmt: skip
    assert why[FIRST] == why[SECOND] == "has no result yet"
    assert "no/where is not on" in why[NOWHERE]
    assert "cannot be read" in why[BROKEN]
    assert not (tmp_path / "out").exists()
    said = registry.eval(tmp_path / "out", "--plan").output
    assert said.count("ubuntu-latest") == said.count("t4-small") == 3
    assert "0.00 to 0.00" in said
    assert "by arithmetic, not measured" in said


def test_a_budget_that_is_too_small_is_named(registry, tmp_path):
    for budget, device in (("0h", ()), ("0.0000001usd", ("--device", "t4-small"))):
        done = registry.eval(tmp_path / "out", "--budget", budget, *device)
        prices_known = "is not known" not in done.output
        assert done.exit_code == (3 if prices_known else 1), done.output
        assert ("the budget is too small for 2 cards" in done.output) == prices_known
        assert not (tmp_path / "out" / "evidence").exists()
    one = max(
        own["hours"][1]
        for own in json.loads(registry.eval(tmp_path / "out", "--plan", "--json").stdout)["plan"][0]["devices"]
        if own["machine"] == "ubuntu-latest"
    )  # fmt: skip
    states, why = registry.states(tmp_path / "out", "--plan", "--budget", f"{1.5 * one:.12f}h")
    assert states[FIRST] == "to measure"
    assert (states[SECOND], why[SECOND].startswith("is beyond the budget")) == (
        "not measured",
        True,
    )


def test_what_is_new_is_measured_and_then_nothing(registry, measured):
    assert measured.count("has no result yet; gates:") == 2
    for path in (FIRST, SECOND):
        place = next(iter(evidence(registry, "out", path).values())).parent
        found = verify_evidence(place)
        assert (found.problems, found.evidence.header.measured_by) == ((), "registry")
    again = registry.eval(registry.folder / "out")
    assert again.exit_code == 0
    assert "Nothing is stale." in again.output
    assert again.output.count("has a result in this folder") == 2


def test_the_bytes_are_those_of_one_process(registry, measured, tmp_path):
    done = CliRunner().invoke(
        cli, ["registry", "eval", str(registry.clone / FIRST), "-o", str(tmp_path / "one"), "--repository",
              str(registry.clone), "--hub", registry.endpoint],
    )  # fmt: skip
    # A part of the items does not show a gain.
    assert done.exit_code == 3, done.output
    for path in evidence(registry, "out", FIRST).values():
        assert (tmp_path / "one" / path.name).read_bytes() == path.read_bytes()


def test_evidence_that_is_taken_from_the_index_is_measured_again(registry, measured, tmp_path):
    both = {**evidence(registry, "out", FIRST), **evidence(registry, "out", SECOND)}
    registry.index({**both, SECOND: (registry.clone / SECOND).read_bytes()})
    states, why = registry.states(tmp_path / "out")
    assert set(states.values()) == {"not measured"}
    assert why[FIRST] == why[SECOND] == "has a result in the index"
    registry.index(dict.fromkeys(evidence(registry, "out", SECOND)))
    states, _ = registry.states(tmp_path / "out")
    assert [path for path, state in states.items() if state == "measured"] == [SECOND]


def test_another_program_measures_all_and_the_index_takes_it(registry, measured, tmp_path):
    before = git(registry.clone, "rev-parse", "HEAD")
    registry.made.accept({"docs/page.md": "A page", "ggez_hub/cli/help.py": ""})
    # Neither decides an answer.
    assert same_evaluator(registry.clone, before)
    registry.made.accept({"ggez_hub/evaluation/scores.py": ""})
    assert not same_evaluator(registry.clone, before)
    refused = registry.eval(registry.folder / "out")
    assert refused.exit_code == 2
    assert "holds what another version of the program measured" in refused.output
    states, _ = registry.states(tmp_path / "out")
    assert [path for path, state in states.items() if state == "measured"] == [FIRST, SECOND]
    hub = Hub(registry.endpoint, registry.store.new_token("curator", "write"), signatures="off")
    budget, now = read_budget(PROJECT), git(registry.clone, "rev-parse", "HEAD")
    work = tmp_path / "out"
    Publisher(registry.clone, hub, work, budget, now, print).publish(
        Pusher(hub, budget, work / "results", print)
    )
    for path in (FIRST, SECOND):
        known = indexed_cards(hub)[path]
        rows = [row for own in known.document.card.curve.values() for row in own.values()]
        assert {row.evaluator for row in rows if row.measured_by == "registry"} == {now}
        assert known.fetch_evidence(
            hub, path.removeprefix("cards/").removesuffix(".md"), tmp_path / path
        )
        assert open_evidence(tmp_path / path).header.evaluator == now
