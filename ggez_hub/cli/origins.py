"""What results say of their origin, opened: the models that answered, and their tasks."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from ggez_hub.cli.task_data import TaskData
from ggez_hub.cli.under_test import ModelPlace
from ggez_hub.errors import UsageProblem

if TYPE_CHECKING:
    from ggez_hub.cli.task_data import AnyTask
    from ggez_hub.evaluation.evidence import Evidence
    from ggez_hub.evaluation.origin import Origin, Place
    from ggez_hub.evaluation.prepared import Prepared
    from ggez_hub.evaluation.subjects import UnderTest
    from ggez_hub.hub import Hub


class Reopened(NamedTuple):
    """The models at the betas of the results, and the tasks with their questions."""

    models: tuple[UnderTest, ...]
    tasks: tuple[Prepared, ...]


def open_origin(
    evidence: Evidence,
    work: Path,
    hub: Hub,
    key_variable: str | None,
    endpoints: Collection[str] = (),
) -> Reopened:
    """Find again what was measured; `work` is a folder for what is drawn.

    A key, and the address that it goes to, are taken from nobody's results: the user names them.
    Raises UsageProblem where the results name another address than `endpoints`, say nothing of their
    origin or nothing is there any more, and what finding and reading raise.
    """
    from ggez_hub.evaluation.subjects.judging import with_judge
    from ggez_hub.parity.betas import read_key

    origin, results = origin_of(evidence), evidence.place
    _require_named([origin.model, *([origin.judge] if origin.judge else [])], endpoints)
    place = ModelPlace(hub, work, cached=False, key_variable=key_variable)
    judge, _ = place.judge(origin.judge.named(results)) if origin.judge else (None, None)
    betas = sorted(map(read_key, evidence.header.models))
    parts = evidence.header.parts
    models = place.at_betas(
        origin.model.named(results),
        [on.named(results) for on in origin.adapters],
        betas,
        judge,
        parts.rule if parts else None,
    )
    tasks = origin_tasks(evidence, hub)
    return Reopened(models, with_judge(tasks, judge, models[0].methods))


def _require_named(places: Sequence[Place], endpoints: Collection[str]) -> None:
    from ggez_hub.evaluation.origin import AtAddress

    for place in places:
        if isinstance(place, AtAddress) and place.address not in endpoints:
            raise UsageProblem(
                f"these results were answered at {place.address}, which they name themselves",
                f"If that is where you want to ask: --endpoint {shlex.quote(place.address)}",
            )


def origin_tasks(evidence: Evidence, hub: Hub) -> tuple[Prepared, ...]:
    """The tasks of results with their questions; raises as `open_origin`."""
    from ggez_hub.evaluation.benchmark_items import Pool
    from ggez_hub.regions import find_region

    origin, results = origin_of(evidence), evidence.place
    data, pictures = (
        Path(folder.named(results)) if folder else None for folder in (origin.data, origin.pictures)
    )
    source = TaskData(
        hub, data, pictures, origin.methods, Pool(), single=True, commits=dict(origin.commits)
    )
    tasks = cast("list[AnyTask]", origin.definitions())
    return tuple(source.prepare(tasks, find_region(evidence.header.region))[0])


def origin_of(evidence: Evidence) -> Origin:
    """What results say of their origin; raises UsageProblem where they say nothing."""
    if evidence.header.origin is None:
        raise UsageProblem(
            f"{evidence.place} does not say where its answers came from",
            "Give a sweep's recipe (verify DIR --rerun 20 --recipe FILE), or measure it anew.",
        )
    return evidence.header.origin
