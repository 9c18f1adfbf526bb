"""Contributions of the other families, from their branches to cards with the registry's curve."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from ggez_hub.cards import read_card
from ggez_hub.embedded.store import HubStore
from ggez_hub.evaluation.verification import verify_evidence
from ggez_hub.world.seed import seed

from ..worlds import serving
from .conftest import fewer_items, fewer_prompts, new_registry
from .runner import PROJECT
from .test_evaluate import said

BETAS = ("0", "0.25", "0.5", "0.75", "1")


@contextmanager
def measured(folder, card, fewer):
    """The registry after every step of evaluate.yml for a card, and what the steps printed."""
    (folder / "registry").mkdir()
    with HubStore.open(folder / "store") as store:
        seed(store)
        fewer(store)
        with serving(store) as endpoint, new_registry(folder / "registry", endpoint) as registry:
            registry.propose({card: (PROJECT / card).read_text()})
            registry.github.permissions = {"maintainer": "write"}
            run = registry.runner.run
            steps = [run("contribution.yml", "check", registry.pull_request())]
            steps.append(run("evaluate.yml", "authorise", said("/ggez evaluate")))
            needs = {"authorise": registry.runner.outputs(), "plan": {"reason": ""}}
            steps += [run("evaluate.yml", job, {}, needs) for job in ("plan", "evaluate", "answer")]
            yield registry, [ran for (ran,) in steps]


@pytest.mark.parametrize(
    ("card", "fewer", "metric", "items"),
    [
        (
            "cards/th/vlm/vlm-emoji-th.md",
            lambda store: fewer_items(store, every=120),
            "choice_4_by_likelihood",
            {12},
        ),
        # A thousand steps of a pipeline.
        pytest.param(
            "cards/th/diffusion/diffusion-emoji-th.md",
            lambda store: fewer_prompts(store, every=32),
            "drawing_top1",
            {5, 10},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["vlm", "diffusion"],
)
def test_a_contribution_goes_from_its_branch_to_measured(tmp_path, card, fewer, metric, items):
    with measured(tmp_path, card, fewer) as (registry, steps):
        checked, authorised, planned, evaluated, answered = steps
        for ran in (checked, authorised, planned, answered):
            assert ran.code == 0, ran.stderr
        # So few items can only be undetermined, or fail.
        assert evaluated.code in {0, 3}, evaluated.stderr
        assert f"Evaluation of `{card}` at `{registry.github.head[:12]}`" in evaluated.stdout
        assert "hours unknown, at most 4 hours" in planned.stdout
        (comment,) = registry.github.comments
        assert comment["body"].startswith("<!-- ggez-hub: evaluation -->\n**Evaluation of")
        name = card.removeprefix("cards/").removesuffix(".md").replace("/", "-")
        folder = registry.runner.clone / "evaluation" / name
        assert verify_evidence(folder).problems == ()
        document = read_card(folder / "card.md").card
    assert document.level == "measured"
    for beta in BETAS:
        rows = [row for row in document.curve[beta].values() if row.measured_by == "registry"]
        assert sorted((row.side, row.split) for row in rows) == [
            ("global", "test"), ("global", "validation"),
            ("regional", "test"), ("regional", "validation"),
        ]  # fmt: skip
        assert {row.metric for row in rows} == {metric}
        assert {row.n for row in rows} == items
