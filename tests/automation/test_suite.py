"""The registry's suites: every family has one whose tasks have both sides, and whose data are there."""

from __future__ import annotations

import pytest

from ggez_hub.automation.cost import count_answers, count_safety
from ggez_hub.automation.suite import betas_of, safety_of, suite_of
from ggez_hub.automation.task_costs import task_costs
from ggez_hub.cards import read_card
from ggez_hub.families import FAMILIES
from ggez_hub.hub import Hub
from ggez_hub.hub.commits import head_of
from ggez_hub.regions import find_region
from ggez_hub.registry.task_data import TaskData

from .runner import PROJECT

# Items of both splits of all tasks, each as often as it is asked about: drawings have five seeds.
ITEMS = {"embedding": 4 * 2 * 1368, "vlm": 2 * 2 * 1368, "diffusion": 2 * (32 + 64) * 5}


def test_every_family_has_a_suite():
    assert ITEMS.keys() == FAMILIES.keys()


@pytest.mark.parametrize("family", ITEMS)
def test_what_a_suite_asks_can_be_counted_and_prepared(demo_hub, family):
    hub = Hub(demo_hub)
    (path,) = (PROJECT / "cards" / "th" / family).glob("*-emoji-th.md")
    card = read_card(path).card
    suite, tasks = suite_of(card)
    costs = task_costs(suite, tasks, TaskData(hub), ())
    betas = len(betas_of(suite, card))
    assert count_answers(costs, betas) == ITEMS[family] * betas
    prepared, _ = TaskData(hub).prepare(tasks, find_region("th"))
    assert {task.record.side for task in prepared} == {"global", "regional"}
    commits = {
        repo: head_of(hub, repo, "dataset").revision for repo in {t.dataset.repo for t in tasks}
    }
    for task in prepared:
        assert task.record.revision == commits[task.record.dataset]


@pytest.mark.parametrize(
    ("family", "metrics", "prompts"),
    [
        ("embedding", set(), 0),
        ("vlm", {"refused", "answered"}, 120),
        ("diffusion", {"unflagged"}, 60),
    ],
)
def test_safety_is_asked_beside_every_suite_of_models_that_write_or_draw(
    demo_hub, family, metrics, prompts
):
    (path,) = (PROJECT / "cards" / "th" / family).glob("*-emoji-th.md")
    card, hub = read_card(path).card, Hub(demo_hub)
    assert {task.metric for task in safety_of(card)} == metrics
    assert count_safety(card, hub) == prompts
