"""What `eval` and `sweep` take: tasks, answers, bytes, hours and dollars, before anything is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.cli.engine import Jobs
from ggez_hub.cli.output import Output
from ggez_hub.errors import GgezError
from ggez_hub.execution import Engine, SharedFolder
from ggez_hub.quantities import counted

if TYPE_CHECKING:
    from ggez_hub.automation.stale_results import DeviceCost
    from ggez_hub.evaluation.models.model_under_test import StoredModel
    from ggez_hub.evaluation.sweep.tasks import Points


@dataclass(frozen=True)
class MeasurementPlan:
    """What a measurement takes, by what its tasks ask.

    rounds       the rounds of tasks of all grids, and how many tasks each has
    answers      at most: what was answered before is not asked again
    jobs         how many are started, if none is lost
    sent_bytes   to the jobs, before they start; each of them also fetches `fetched_bytes`
    devices      hours and dollars on each machine whose speed is known
    """

    rounds: tuple[tuple[str, int], ...]
    answers: int
    jobs: int
    sent_bytes: int
    fetched_bytes: int
    devices: tuple[DeviceCost, ...]

    @property
    def tasks(self) -> int:
        return sum(count for _, count in self.rounds)

    def require_within(self, jobs: Jobs) -> None:
        """Raise GgezError where the budget is less than the least that it takes on the machine."""
        on = next((each for each in self.devices if each.machine == jobs.machine), None)
        if on is not None and on.usd is not None and on.usd[0] > jobs.budget.left:
            raise GgezError(
                f"on {jobs.machine} it takes ${on.usd[0]:.2f} to ${on.usd[1]:.2f} by the plan, and the "
                f"budget is ${jobs.budget.left:.2f}: nothing is started",
                "Give more with --budget, or name another machine.",
            )

    def print(self, engine: Engine, out: Output) -> None:
        stages = ", ".join(f"{name} {count}" for name, count in self.rounds)
        out.line(
            f"{counted(self.tasks, 'task')} ({stages}), at most {counted(self.answers, 'answer')}"
        )
        if isinstance(jobs := engine.open_jobs, Jobs):
            out.line(
                f"{counted(self.jobs, 'job')} on {jobs.machine}, {jobs.workers} at once: "
                f"{self.sent_bytes / 1e6:,.1f} MB are sent, each fetches "
                f"{(self.sent_bytes + self.fetched_bytes) / 1e6:,.1f} MB and what the others answered"
            )
        rows = [
            (
                on.machine,
                "{:.2g} to {:.2g}".format(*on.hours),
                "unknown" if on.usd is None else "{:.2f} to {:.2f}".format(*on.usd),
                "" if on.measured else "by arithmetic, not measured",
            )
            for on in self.devices
        ]
        out.table(("device", "hours", "dollars", ""), rows, title="What answering takes, by device")
        if not rows:
            out.line("How long it takes is not known for models of this family.")
        out.line("")

    def document(self) -> dict[str, object]:
        return {**asdict(self), "rounds": dict(self.rounds), "tasks": self.tasks}


def plan_measurement(
    grids: Sequence[Points],
    stored: StoredModel | None,
    data_bytes: int,
    engine: Engine,
    shards: int | None,
    inputs: Sequence[Path],
) -> MeasurementPlan:
    """The plan of a measurement that is opened; `stored` is its model, None for an endpoint.

    Asks the hub for its prices, if the engine is its jobs.
    """
    from ggez_hub.automation.budget import shipped_budget
    from ggez_hub.automation.stale_results import device_costs
    from ggez_hub.evaluation.sweep.tasks import rounds
    from ggez_hub.hub.jobs import prices

    jobs = engine.open_jobs if isinstance(engine.open_jobs, Jobs) else None
    workers = jobs.workers if jobs else _workers(engine)
    all_rounds = tuple(each for grid in grids for each in rounds(grid, shards, workers))
    answers = sum(len(grid.all_models) * _answers(grid) for grid in grids)
    base = _weights(stored) if stored else []
    places = [stored.base, *stored.adapters] if stored else []
    fetched = sum(nbytes_of(place) for place in places if place.absolute() not in inputs)
    devices: tuple[DeviceCost, ...] = ()
    if stored is not None:
        base_bytes = sum(path.stat().st_size for path in base)
        priced = prices(jobs.hub) if jobs else {}
        devices = tuple(
            device_costs(base_bytes, answers, stored.family.name, shipped_budget(), priced)
        )
    return MeasurementPlan(
        all_rounds,
        answers,
        sum(min(count, workers) for _, count in all_rounds) if jobs else 0,
        sum(map(nbytes_of, inputs)) if jobs else 0,
        fetched + data_bytes,
        devices,
    )


def planned(
    grids: Sequence[Points],
    stored: StoredModel | None,
    data_bytes: Callable[[], int],
    engine: Engine,
    shards: int | None,
    inputs: Sequence[Path],
    out: Output,
    only_plan: bool,
) -> bool:
    """Print the plan where it was asked for, or jobs are to start; whether that is all.

    Raises GgezError where the budget of jobs is less than they take.
    """
    jobs = engine.open_jobs
    if not (only_plan or isinstance(jobs, Jobs)):
        return False
    plan = plan_measurement(grids, stored, data_bytes(), engine, shards, inputs)
    plan.print(engine, out)
    if only_plan:
        out.document(plan.document())
    elif isinstance(jobs, Jobs):
        plan.require_within(jobs)
    return only_plan


def _workers(engine: Engine) -> int:
    with engine.open() as executor:
        return executor.workers


def _answers(points: Points) -> int:
    """How many answers one model gives, where a drawing is one too."""
    total = 0
    for asked in (each for task in points.tasks for each in task.asked.values()):
        drawing = asked.drawn[0].drawing if asked.drawn else None
        total += len(asked.items) * (len(drawing.seeds) if drawing else 1)
    return total


def _weights(stored: StoredModel) -> list[Path]:
    return [stored.base / path for path in stored.family.layout(stored.base).weights]


def nbytes_of(place: Path) -> int:
    """The bytes of a file, or of a folder with all that is below it."""
    return sum(path.stat().st_size for path in SharedFolder.holding(place).files())
