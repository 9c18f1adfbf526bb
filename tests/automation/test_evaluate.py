"""evaluate.yml on the demo world: a comment, a measurement, an answer."""

from __future__ import annotations

import json
import shutil

import pytest

from ggez_hub.automation.remote_evaluation import evidence_in, recomputed
from ggez_hub.cards import read_card
from ggez_hub.demo.hub import seed
from ggez_hub.embedded.store import HubStore
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.results.evidence import RESULTS
from ggez_hub.evaluation.results.header import PREDICTIONS
from ggez_hub.evaluation.results.verification import verify_evidence

from ..worlds import serving
from .conftest import fewer_items, new_registry
from .runner import PROJECT

CARD = "cards/th/embedding/clip-emoji-th.md"


pytestmark = pytest.mark.slow
# One item of so many; all of them take minutes.
EVERY = [4, 1]


@pytest.fixture(scope="module", params=EVERY, ids=["a part", "whole"])
def every(request):
    return request.param


@pytest.fixture(scope="module")
def demo(every, tmp_path_factory):
    """A registry whose hub holds the demo world, with pull request 1 open on its Thai adapter."""
    with HubStore.open(tmp_path_factory.mktemp("store")) as store:
        seed(store)
        if every > 1:
            fewer_items(store, every)
        with (
            serving(store) as endpoint,
            new_registry(tmp_path_factory.mktemp("registry"), endpoint) as registry,
        ):
            registry.propose({CARD: (PROJECT / CARD).read_text()})
            registry.github.permissions = {"maintainer": "write"}
            yield registry


def test_the_accepted_demo_card_passes_the_check(demo):
    (ran,) = demo.runner.run("contribution.yml", "check", demo.pull_request())
    assert ran.code == 0, ran.stdout + ran.stderr
    assert "::error" not in ran.stdout


def said(text, by="maintainer"):
    return {
        "issue": {"number": 1, "pull_request": {}},
        "comment": {"body": text, "author_association": "NONE", "user": {"login": by}},
    }


def test_a_stranger_starts_nothing(demo):
    (ran,) = demo.runner.run("evaluate.yml", "authorise", said("/ggez evaluate", "stranger"))
    assert ran.code == 1
    assert "stranger may not start an evaluation here" in ran.stderr


@pytest.fixture(scope="module")
def evaluated(demo, every):
    """What the three jobs printed."""
    (authorised,) = demo.runner.run("evaluate.yml", "authorise", said("/ggez evaluate"))
    assert authorised.code == 0, authorised.stderr
    needs = {"authorise": demo.runner.outputs()}
    (planned,) = demo.runner.run("evaluate.yml", "plan", {}, needs)
    # Four tasks of two splits of 1,368 items, at six betas.
    answers = 4 * 2 * (1368 // every) * 6
    assert f"{answers:,} answers, on ubuntu-latest, 0.0" in planned.stdout, planned.stderr
    assert "hours expected, at most 4 hours and $0.00" in planned.stdout
    assert demo.runner.outputs()["where"] == "runner"
    (measured,) = demo.runner.run("evaluate.yml", "evaluate", {}, needs)
    needs |= {"plan": {"reason": ""}, "evaluate": {"reason": ""}}
    (answered,) = demo.runner.run("evaluate.yml", "answer", {}, needs)
    return authorised, measured, answered


def test_the_scores_follow_from_the_predictions(demo, evaluated, every):
    results = demo.runner.clone / "evaluation" / "th-embedding-clip-emoji-th"
    found = verify_evidence(results)
    assert found.problems == ()
    assert found.evidence.header.measured_by == "registry"
    scores = json.loads((results / "results.json").read_text())["scores"]
    english, thai = (
        scores["0"][f"emoji-{language}-retrieval/test"]["score"] for language in ("en", "th")
    )
    if every == 1:
        # The demo's own figures: R@1 of the base in English and in Thai.
        assert (english, thai) == pytest.approx((51.68, 29.24), abs=0.01)
    else:
        # Among fewer pictures more are found.
        assert english > 51.68
        assert thai > 29.24


def test_the_gates_are_those_of_the_policy_that_the_card_declares(evaluated, every):
    # The demo's Thai adapter is judged by parity: its GRP is ahead of the base's, and what English it
    # loses is stated.
    _, measured, _ = evaluated
    assert measured.code == 0
    # A quarter of the pictures cannot show the gain.
    outcome = "pass" if every == 1 else "undetermined"
    assert f"gain: **{outcome}**" in measured.stdout
    assert "retention:" not in measured.stdout
    assert "points above chance are lost outside the region" in measured.stdout


def test_the_measured_card_is_a_card_with_the_registrys_rows(demo, evaluated):
    path = demo.runner.clone / "evaluation" / "th-embedding-clip-emoji-th" / "card.md"
    card = read_card(path).card
    assert card.level == "measured"
    assert {row.measured_by for row in card.curve["0.25"].values()} == {"registry"}
    # Points that the registry did not measure stay what they were: claims.
    assert {row.measured_by for row in card.curve["0.3"].values()} == {"self"}


def test_the_answer_has_the_table_and_the_gates(demo, evaluated):
    _, _, answered = evaluated
    assert answered.code == 0, answered.stderr
    (comment,) = demo.github.comments
    assert comment["body"].startswith("<!-- ggez-hub: evaluation -->")
    assert "(chosen)" in comment["body"]
    assert demo.github.head[:12] in comment["body"]
    assert "Measured on this test side so far, this one included: 1 version of" in comment["body"]


def test_what_another_machine_delivered_is_recomputed(demo, evaluated, tmp_path):
    source = demo.runner.clone / "evaluation" / "th-embedding-clip-emoji-th"
    document = read_card(demo.folder / "contributor" / CARD)
    assert evidence_in(source) == (RESULTS, PREDICTIONS, "average.parquet")
    for name in evidence_in(source):
        shutil.copyfile(source / name, tmp_path / name)
    results = json.loads((tmp_path / RESULTS).read_text())
    results["header"]["measured_by"] = "self"
    results["header"]["alpha"]["value"] = 0.5
    results["scores"]["0.25"]["emoji-th-retrieval/test"]["score"] = 92.0
    (tmp_path / RESULTS).write_text(json.dumps(results))
    with pytest.raises(GgezError) as refused:
        recomputed(document, tmp_path, demo.runner.clone)
    for problem in (
        "which never was this registry's program",
        "measured for another alpha than the card's",
        "0.25: emoji-th-retrieval/test: score is 92",
    ):
        assert problem in refused.value.message


def test_what_is_pushed_during_the_evaluation_is_not_evaluated(demo, evaluated):
    needs = {"authorise": demo.runner.outputs()}
    demo.propose({CARD: "another card"})
    (ran,) = demo.runner.run("evaluate.yml", "evaluate", {}, needs)
    assert ran.code == 1
    assert "has moved on" in ran.stderr
