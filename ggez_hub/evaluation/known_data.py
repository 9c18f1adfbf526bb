"""Which data sets the tasks that come with the package ask about."""

from __future__ import annotations

import re
from functools import cache

from ggez_hub.cards.hub_scores import Data
from ggez_hub.evaluation.benchmark import BUILT_IN, Benchmark, read_benchmarks
from ggez_hub.evaluation.task import Task, read_tasks
from ggez_hub.resources import recipes

COMMIT = re.compile(r"^[0-9a-f]{40}$")


@cache
def known_data() -> dict[str, Data]:
    """Task -> its data set, of the built-in benchmarks and the recipes' tasks."""
    tasks: list[Benchmark | Task] = [
        *(task for path in sorted(BUILT_IN.glob("*.yaml")) for task in read_benchmarks(path)),
        *(task for path in sorted(recipes().glob("*/*.yaml")) for task in read_tasks(path)),
    ]
    return {
        task.id: Data(
            task.dataset.repo,
            task.dataset.revision if COMMIT.match(task.dataset.revision) else None,
        )
        for task in tasks
    }
