"""Results folders for tests: a grid of made-up answers on both sides."""

from __future__ import annotations

import numpy as np

from ggez_hub.cards import alpha_record
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.results.figures import write_results
from ggez_hub.regions import alpha
from tests.evaluation.conftest import outcomes

# beta -> the share of right answers on each side: the best GRP is at 0.5.
SHARES = {0.0: (0.80, 0.40), 0.5: (0.78, 0.60), 1.0: (0.60, 0.62)}
TASKS = {
    "world": {"metric": "choice_4", "side": "global", "dataset": "afaji/cvqa"},
    "thai": {
        "metric": "choice_4", "side": "regional", "regions": ["th"], "dataset": "wit543/sea-vqa"
    },
}  # fmt: skip


def grid(n=600, shares=SHARES, tasks=tuple(TASKS), seed=0, splits=("validation", "test")):
    """Answers by cell; an item that is answered at one share is answered at every larger one."""
    found = {}
    for split in splits:
        for number, task in enumerate(tasks):
            luck = np.random.default_rng([seed, number, len(split)]).random(n)
            for beta, sides in shares.items():
                found[Cell(beta, task, split)] = outcomes(
                    luck < sides[number], items=[f"{task}-{row}" for row in range(n)]
                )
    return found


def header(tasks=TASKS, **changes):
    return {
        "region": "th",
        "alpha": alpha_record(alpha("th")),
        "tasks": tasks,
        "data": ["mammoth/vl"],
        **changes,
    }


def write(folder, cells=None, **changes):
    return write_results(folder, header(**changes), grid() if cells is None else cells)
