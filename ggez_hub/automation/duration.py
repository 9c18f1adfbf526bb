"""How long an evaluation will take, as far as anything like it was measured on such a machine.

What grows with the work is the weights times the answers: bytes of the base, for each item of each task
at each beta. How much of it a machine does in a second stands in the budget, with where that comes from.
"""

from __future__ import annotations

from ggez_hub.automation.budget import GIGABYTE, Budget
from ggez_hub.automation.suite import AnyTask, SuiteData
from ggez_hub.evaluation.recognition.task import DrawingTask

# Of the registry's own data so much is fetched to count its items.
MOST_DATA = 100_000_000


def count_answers(data: SuiteData, betas: int) -> int | None:
    """How many answers the tasks ask for at so many betas; None for more data than is fetched.

    A drawing is an answer. Raises what the hub raises.
    """
    if data.nbytes > MOST_DATA:
        return None
    from pyarrow.parquet import read_metadata

    folders = {repo: data.listed[repo].fetch(data.hub) for repo in data.asked_about}
    return betas * sum(
        read_metadata(folders[task.dataset.repo] / path).num_rows * _times(task)
        for task in data.tasks
        for path in task.splits.values()
    )


def _times(task: AnyTask) -> int:
    """How often each item is asked about."""
    return task.drawing.seeds if isinstance(task, DrawingTask) else 1


def hours_of(
    base_bytes: int, answers: int | None, machine: str, family: str, budget: Budget
) -> tuple[float, float] | None:
    """The fewest and the most hours of measuring; None where no such machine was measured."""
    speed = budget.speeds.get(machine, {}).get(family)
    if speed is None or answers is None:
        return None
    work = base_bytes / GIGABYTE * answers
    return work / speed.most / 3600, work / speed.least / 3600
