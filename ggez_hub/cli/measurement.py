"""The models and tasks of a measurement, opened from a sweep's recipe or from the origin of results."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ggez_hub.cli.merge_inputs import read_parts
from ggez_hub.cli.models import (
    LocalModel,
    ModelProvider,
    card_of,
    find_adapter,
    find_model,
    trained_on,
)
from ggez_hub.digests import sha256_file
from ggez_hub.errors import UsageProblem
from ggez_hub.families import get_family
from ggez_hub.hub import Hub
from ggez_hub.recipe_file import read_recipe
from ggez_hub.regions import Region, find_region

if TYPE_CHECKING:
    from ggez_hub.evaluation.answers.meeting import Meeting
    from ggez_hub.evaluation.benchmarks.preparation import PreparedTask
    from ggez_hub.evaluation.models import ModelUnderTest
    from ggez_hub.evaluation.models.model_under_test import StoredModel
    from ggez_hub.evaluation.results.evidence import Evidence
    from ggez_hub.evaluation.results.header import AdapterRecord, Origin, SweptParts
    from ggez_hub.evaluation.sweep.recipe import SweepRecipe, TrainedOn
    from ggez_hub.evaluation.sweep.run import JointFineTune
    from ggez_hub.evaluation.sweep.tasks import Points


@dataclass(frozen=True)
class Grid:
    """The models of a grid of betas, and their results folder; `parts` multiply the betas by part."""

    parts: SweptParts | None
    results: Path
    models: tuple[ModelUnderTest, ...]
    origin: Origin


@dataclass(frozen=True)
class OpenedSweep:
    """A recipe with what it names.

    grids   the plain one first, then one for each file of betas by part
    source  keeps the models' answers
    found   where the adapters are, in the order of `adapters`
    stored  the base with the adapters on it
    data_bytes  asks the hub how large the tasks' data are that are fetched from it
    """

    recipe: SweepRecipe
    region: Region
    grids: tuple[Grid, ...]
    tasks: tuple[PreparedTask, ...]
    adapters: tuple[AdapterRecord, ...]
    joint: JointFineTune | None
    trained_on: TrainedOn
    held_out: tuple[str, ...]
    source: ModelProvider
    found: tuple[LocalModel, ...]
    stored: StoredModel
    data_bytes: Callable[[], int]

    def joint_of(self, grid: Grid) -> JointFineTune | None:
        """The joint fine-tune, which is measured beside the plain grid."""
        return None if grid.parts else self.joint

    def points(self, grid: Grid) -> Points:
        """What is asked in the results folder of a grid."""
        from ggez_hub.evaluation.sweep.run import work_folder
        from ggez_hub.evaluation.sweep.tasks import Points

        joint = self.joint_of(grid)
        work = work_folder(grid.models, self.tasks, self.region, grid.results)
        return Points(
            grid.models,
            self.tasks,
            work,
            lambda model: self.source.known(model, work),
            joint.model if joint else None,
        )

    def models_with(self, parts: SweptParts | None) -> tuple[ModelUnderTest, ...]:
        """The models of a results folder that was measured with `parts`; raises UsageProblem."""
        for grid in self.grids:
            if (grid.parts and grid.parts.parts) == (parts and parts.parts):
                return grid.models
        raise UsageProblem(
            f"the recipe has no file of betas by part that equals {parts.name if parts else 'none'}",
            "Give the recipe that the results were made with.",
        )


def open_recipe(file: Path, target: Path, hub: Hub, *, cached: bool) -> OpenedSweep:
    """Read a recipe and fetch what it names; `target` is the results folder.

    Raises BadRecipe, and as `open_sweep`.
    """
    from ggez_hub.evaluation.sweep.recipe import SweepRecipe

    recipe = read_recipe(file, "sweep", SweepRecipe)
    recipe.require_filled_in(file)
    return open_sweep(recipe, file.parent, target, hub, cached=cached)


def open_sweep(
    recipe: SweepRecipe,
    here: Path,
    target: Path,
    hub: Hub,
    *,
    cached: bool,
    meeting: Meeting | None = None,
) -> OpenedSweep:
    """Fetch what a recipe names, whose paths are relative to `here`.

    In `meeting` the answers of this process meet those of others, if there are others.

    Raises UsageProblem, and what fetching, tasks and data raise.
    """
    from ggez_hub.evaluation.benchmarks.preparation import require_both_sides
    from ggez_hub.evaluation.models import Adapted, grid_on, model_in
    from ggez_hub.evaluation.models.judge_model import with_judge
    from ggez_hub.evaluation.models.model_under_test import StoredModel
    from ggez_hub.evaluation.results.header import moved
    from ggez_hub.evaluation.sweep.part_gains import folder_of
    from ggez_hub.evaluation.sweep.run import JointFineTune
    from ggez_hub.merging.adapters import find_form
    from ggez_hub.registry.task_data import TaskData, find_tasks

    region, family = find_region(recipe.region), get_family(recipe.family)
    base = find_model(recipe.base, here, hub)
    adapters = [find_adapter(named, here, hub) for named in recipe.adapters]
    records = tuple(map(_record_of, adapters))
    if len({tuple(sorted(record.files.items())) for record in records}) < len(records):
        raise UsageProblem("an adapter is named twice", "Name it once: its betas may be larger.")
    source = ModelProvider(hub, target, cached, meeting=meeting)
    judge, judge_place = (
        source.judge(_relative(recipe.judge, here)) if recipe.judge else (None, None)
    )
    backend = source.backend(family, judge)
    model = StoredModel(base.path, tuple(adapter.path for adapter in adapters), family)
    kinds = {find_form(adapter).kind for adapter in model.adapters}
    points = recipe.points(finetunes=kinds <= {"finetune"})
    joint, rivals = None, [find_adapter(recipe.joint, here, hub)] if recipe.joint else []
    for rival in rivals:
        on_base = model_in(base.path, family, backend, Adapted(rival.path, 1.0))
        joint = JointFineTune(on_base, _record_of(rival))
    rules = _read_parts([here / named for named in recipe.parts_files], model)
    suites = [recipe.tasks] if isinstance(recipe.tasks, str) else recipe.tasks
    tasks = find_tasks([_relative(suite, here) for suite in suites])
    folder, pictures = (here / f if f is not None else None for f in (recipe.data, recipe.pictures))
    methods = recipe.methods or backend.methods
    data = TaskData(hub, folder, pictures, methods, single=True)
    prepared, _ = data.prepare(tasks, region)
    require_both_sides((task.record.side for task in prepared), region)

    def grid(parts: SweptParts | None) -> Grid:
        results = folder_of(target, parts) if parts else target
        places = [adapter.place(results) for adapter in adapters]
        judged = judge_place and moved(judge_place, target, results)
        return Grid(
            parts,
            results,
            grid_on(replace(model, parts=parts.rule if parts else None), points, backend),
            data.origin(tasks, results, base.place(results), places, judged),
        )

    return OpenedSweep(
        recipe,
        region,
        tuple(map(grid, [None, *rules])),
        with_judge(prepared, judge, backend.methods),
        records,
        joint,
        recipe.trained_on or _trained_on([*adapters, *rivals]),
        _held_out([*adapters, *rivals]),
        source,
        tuple(adapters),
        model,
        partial(data.nbytes, tasks),
    )


def _read_parts(paths: Sequence[Path], model: StoredModel) -> list[SweptParts]:
    """The files of betas by part, tried on the base; raises UsageProblem."""
    from ggez_hub.evaluation.results.header import SweptParts
    from ggez_hub.merging.merge import tensor_names

    if len({path.stem for path in paths}) < len(paths):
        raise UsageProblem("two files of betas by part have the same name", "Rename one of them.")
    found = []
    for path in paths:
        rule = read_parts(path)
        if not rule.is_relative:
            raise UsageProblem(
                f"{path} has a `beta` of its own: at beta 0 of the grid the model would not be the base",
                "Write it as `times`, a multiple of the grid's beta.",
            )
        rule.on(tensor_names(model.base, model.family))
        found.append(SweptParts(name=path.name, sha256=sha256_file(path), parts=list(rule.parts)))
    return found


def _record_of(adapter: LocalModel) -> AdapterRecord:
    """An adapter as results name it: of a local folder only the last name."""
    from ggez_hub.evaluation.models.model_under_test import decisive_files
    from ggez_hub.evaluation.results.header import AdapterRecord

    named = f"{adapter.repo}@{adapter.revision}" if adapter.repo else adapter.path.resolve().name
    return AdapterRecord.of(named, decisive_files(adapter.path), card_of(adapter.path))


def _trained_on(adapters: Sequence[LocalModel]) -> TrainedOn:
    """The data sets of all adapters, with `unknown` for those whose card names none."""
    found = [trained_on(adapter.path) for adapter in adapters]
    if all(known == "unknown" for known in found):
        return "unknown"
    named = [known if isinstance(known, list) else ["unknown"] for known in found]
    return list(dict.fromkeys(source for known in named for source in known))


def _held_out(adapters: Sequence[LocalModel]) -> tuple[str, ...]:
    """The data sets that every adapter's filter kept out."""
    from ggez_hub.evaluation.results.evidence import held_out_of

    cards = [card_of(adapter.path) for adapter in adapters]
    named = [held_out_of(card) if card else [] for card in cards]
    return tuple(name for name in named[0] if all(name in own for own in named)) if named else ()


def _relative(named: str, here: Path) -> str:
    """A folder relative to the recipe, or a name as it is."""
    return str(here / named) if (here / named).is_dir() else named


class OpenedOrigin(NamedTuple):
    """The models at the betas of the results, and the tasks with their questions."""

    models: tuple[ModelUnderTest, ...]
    tasks: tuple[PreparedTask, ...]

    def models_with(self, _parts: SweptParts | None) -> tuple[ModelUnderTest, ...]:
        return self.models


def open_origin(
    evidence: Evidence,
    work: Path,
    hub: Hub,
    key_variable: str | None,
    endpoints: Collection[str] = (),
) -> OpenedOrigin:
    """Find again what was measured; `work` is a folder for what is drawn.

    A key, and the address that it is sent to, are never taken from results: the user names them.
    Raises UsageProblem where the results name another address than `endpoints`, or no origin, and
    what finding and reading raise.
    """
    from ggez_hub.evaluation.models.judge_model import with_judge
    from ggez_hub.evaluation.results.header import AtAddress
    from ggez_hub.parity.betas import read_key
    from ggez_hub.registry.task_data import origin_of, origin_tasks

    origin, results = origin_of(evidence), evidence.place
    for place in (origin.model, origin.judge):
        if isinstance(place, AtAddress) and place.address not in endpoints:
            raise UsageProblem(
                f"these results were answered at {place.address}, which they name themselves",
                f"If that is where you want to ask: --endpoint {shlex.quote(place.address)}",
            )
    source = ModelProvider(hub, work, cached=False, key_variable=key_variable)
    judge, _ = source.judge(origin.judge.named(results)) if origin.judge else (None, None)
    betas = sorted(map(read_key, evidence.header.models))
    parts = evidence.header.parts
    models = source.at_betas(
        origin.model.named(results),
        [on.named(results) for on in origin.adapters],
        betas,
        judge,
        parts.rule if parts else None,
    )
    tasks = origin_tasks(evidence, hub)
    return OpenedOrigin(models, with_judge(tasks, judge, models[0].methods))
