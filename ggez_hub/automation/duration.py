"""How long an evaluation will take, as far as anything like it was measured on such a machine.

What grows with the work is the weights times the answers: bytes of the base, for each item of each task
at each beta. How much of it a machine does in a second stands in the budget, with where that comes from.
"""

from __future__ import annotations

from collections.abc import Sequence

from ggez_hub.automation.budget import GIGABYTE, Budget
from ggez_hub.evaluation.task import Task
from ggez_hub.hub import Hub, HubFile, RepoAtCommit

# Of the registry's own data so much is fetched to count its items.
MOST_DATA = 100_000_000


def count_answers(
    tasks: Sequence[Task], betas: int, data: RepoAtCommit, files: Sequence[HubFile], hub: Hub
) -> int | None:
    """How many answers the tasks ask for at so many betas; None for more data than is fetched.

    `files` are the splits. Raises what the hub raises.
    """
    if sum(file.size for file in files) > MOST_DATA:
        return None
    from pyarrow.parquet import read_metadata

    folder = hub.fetch(data.repo, data.revision, files, "dataset")
    items = {file.path: read_metadata(folder / file.path).num_rows for file in files}
    return betas * sum(items[path] for task in tasks for path in task.splits.values())


def hours_of(
    base_bytes: int, answers: int | None, machine: str, family: str, budget: Budget
) -> tuple[float, float] | None:
    """The fewest and the most hours of measuring; None where no such machine was measured."""
    speed = budget.speeds.get(machine, {}).get(family)
    if speed is None or answers is None:
        return None
    work = base_bytes / GIGABYTE * answers
    return work / speed.most / 3600, work / speed.least / 3600
