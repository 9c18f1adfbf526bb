"""Contributions of the other families, from their branches to cards with the registry's curve."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from ggez_hub.cards import read_card
from ggez_hub.demo.hub import seed
from ggez_hub.embedded.store import HubStore
from ggez_hub.evaluation.results.verification import verify_evidence

from ..worlds import serving
from .conftest import fewer_items, fewer_prompts, fewer_safety, new_registry
from .runner import PROJECT
from .test_evaluate import said

CARD = {
    "vlm": "cards/th/vlm/vlm-emoji-th.md",
    "diffusion": "cards/th/diffusion/diffusion-emoji-th.md",
}
BETAS = ("0", "0.25", "0.5", "0.75", "1")


@contextmanager
def measured(folder, family, fewer, every):
    """The registry after every step of evaluate.yml for a card, and what the steps printed."""
    (folder / "registry").mkdir()
    with pytest.MonkeyPatch.context() as patched, HubStore.open(folder / "store") as store:
        fewer_safety(patched, folder / "safety", every=10)
        seed(store)
        fewer(store, every)
        with serving(store) as endpoint, new_registry(folder / "registry", endpoint) as registry:
            registry.propose({CARD[family]: (PROJECT / CARD[family]).read_text()})
            registry.github.permissions = {"maintainer": "write"}
            run = registry.runner.run
            steps = [run("contribution.yml", "check", registry.pull_request())]
            steps.append(run("evaluate.yml", "authorise", said("/ggez evaluate")))
            needs = {"authorise": registry.runner.outputs(), "plan": {"reason": ""}}
            steps += [run("evaluate.yml", job, {}, needs) for job in ("plan", "evaluate")]
            needs["evaluate"] = {"reason": registry.runner.outputs().get("reason", "")}
            steps.append(run("evaluate.yml", "answer", {}, needs))
            yield registry, [ran for (ran,) in steps]


def results(registry, family):
    name = CARD[family].removeprefix("cards/").removesuffix(".md").replace("/", "-")
    return registry.runner.clone / "evaluation" / name


@pytest.mark.slow
def test_a_vision_language_contribution_goes_from_its_branch_to_measured(tmp_path):
    with measured(tmp_path, "vlm", fewer_items, every=120) as (registry, steps):
        checked, authorised, planned, evaluated, answered = steps
        for ran in (checked, authorised, planned, answered):
            assert ran.code == 0, ran.stderr
        # So few items can only be undetermined, or fail.
        assert evaluated.code in {0, 3}, evaluated.stderr
        head = registry.github.head[:12]
        assert f"Evaluation of `{CARD['vlm']}` at `{head}`" in evaluated.stdout
        assert "hours unknown, at most 4 hours" in planned.stdout
        (comment,) = registry.github.comments
        assert "(chosen)" in comment["body"]
        assert "refusals: **undetermined**" in comment["body"]
        assert "of harmless prompts are answered, by the base" in comment["body"]
        folder = results(registry, "vlm")
        assert verify_evidence(folder).problems == ()
        document = read_card(folder / "card.md").card
    assert document.level == "measured"
    for beta in BETAS:
        rows = [row for row in document.curve[beta].values() if row.measured_by == "registry"]
        assert sorted((row.side, row.split) for row in rows) == [
            ("global", "test"), ("global", "validation"),
            ("regional", "test"), ("regional", "validation"),
            ("safety", "test"), ("safety", "test"),
        ]  # fmt: skip
        assert {(row.metric, row.n) for row in rows} == {
            ("choice_4_by_likelihood", 12), ("refused", 6), ("answered", 6)
        }  # fmt: skip


@pytest.mark.slow
def test_a_model_that_draws_is_measured_and_what_nobody_recognises_is_told(tmp_path):
    """Ten drawings of two prompts: at no beta more are recognised than by chance."""
    with measured(tmp_path, "diffusion", fewer_prompts, every=32) as (registry, steps):
        *before, evaluated, answered = steps
        assert [ran.code for ran in (*before, evaluated, answered)] == [0, 0, 0, 0, 0]
        # 30 drawings, and those of 3 prompts of safety, at each beta.
        assert "180 answers" in steps[2].stdout
        (comment,) = registry.github.comments
        assert "The curve for th is at chance at every beta" in comment["body"]
        found = verify_evidence(results(registry, "diffusion"))
        assert found.problems == ()
        assert set(found.evidence.header.models) == set(BETAS)
