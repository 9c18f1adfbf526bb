"""A vision-language contribution, from its branch to the card with the registry's curve."""

from __future__ import annotations

import pytest

from ggez_hub.cards import read_card
from ggez_hub.embedded.store import HubStore
from ggez_hub.evaluation.verification import verify_evidence
from ggez_hub.world.seed import seed

from ..worlds import serving
from .conftest import fewer_items, new_registry
from .runner import PROJECT
from .test_evaluate import said

CARD = "cards/th/vlm/vlm-emoji-th.md"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The registry after every step of evaluate.yml, and what the steps printed."""
    with HubStore.open(tmp_path_factory.mktemp("store")) as store:
        seed(store)
        fewer_items(store, every=120)
        with (
            serving(store) as endpoint,
            new_registry(tmp_path_factory.mktemp("registry"), endpoint) as registry,
        ):
            registry.propose({CARD: (PROJECT / CARD).read_text()})
            registry.github.permissions = {"maintainer": "write"}
            run = registry.runner.run
            steps = [run("contribution.yml", "check", registry.pull_request())]
            steps.append(run("evaluate.yml", "authorise", said("/ggez evaluate")))
            needs = {"authorise": registry.runner.outputs(), "plan": {"reason": ""}}
            steps += [run("evaluate.yml", job, {}, needs) for job in ("plan", "evaluate", "answer")]
            yield registry, [ran for (ran,) in steps]


def test_every_step_is_done(measured):
    registry, (checked, authorised, planned, evaluated, answered) = measured
    for ran in (checked, authorised, planned, answered):
        assert ran.code == 0, ran.stderr
    # So few items can only be undetermined, or fail.
    assert evaluated.code in {0, 3}, evaluated.stderr
    assert f"Evaluation of `{CARD}` at `{registry.github.head[:12]}`" in evaluated.stdout
    (comment,) = registry.github.comments
    assert "(chosen)" in comment["body"]


def test_the_card_has_the_registrys_curve_of_both_sides(measured):
    registry, _ = measured
    folder = registry.runner.clone / "evaluation" / "th-vlm-vlm-emoji-th"
    assert verify_evidence(folder).problems == ()
    card = read_card(folder / "card.md").card
    assert card.level == "measured"
    for beta in ("0", "0.25", "0.5", "0.75", "1"):
        rows = {
            task: row for task, row in card.curve[beta].items() if row.measured_by == "registry"
        }
        assert set(rows) == {
            f"emoji-{language}-naming/{split}"
            for language in ("en", "th")
            for split in ("validation", "test")
        }
        assert {(row.metric, row.n) for row in rows.values()} == {("choice_4_by_likelihood", 12)}
