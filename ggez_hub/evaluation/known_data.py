"""Which data sets the tasks that come with the package ask about."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from ggez_hub.cards.hub_scores import Data
from ggez_hub.evaluation.benchmark import BUILT_IN, Benchmark, read_benchmarks
from ggez_hub.evaluation.task import Task, read_tasks
from ggez_hub.resources import recipes

COMMIT = re.compile(r"^[0-9a-f]{40}$")


def known_data(tasks: Collection[str]) -> dict[str, Data]:
    """Task -> its data set, of those of `tasks` that a built-in benchmark or a recipe describes."""
    found: list[Benchmark | Task] = []
    described: tuple[tuple[Iterable[Path], Callable[[Path], Sequence[Benchmark | Task]]], ...] = (
        (BUILT_IN.glob("*.yaml"), read_benchmarks),
        (recipes().glob("*/*.yaml"), read_tasks),
    )
    for places, read in described:
        for path in sorted(places):
            text = path.read_text(encoding="utf-8")
            # A file that does not mention a task does not describe it: most are never parsed.
            if any(name in text for name in tasks):
                found += read(path)
    return {
        task.id: Data(
            task.dataset.repo,
            task.dataset.revision if COMMIT.match(task.dataset.revision) else None,
        )
        for task in found
        if task.id in tasks
    }
