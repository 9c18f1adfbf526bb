"""What a sweep's recipe names, opened: the models of its grid, and its tasks with their questions."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from ggez_hub.cli.merge_inputs import read_parts
from ggez_hub.cli.models import Found, ModelPlace, card_of, find_adapter, find_model, trained_on
from ggez_hub.cli.tasks import TaskData, find_tasks
from ggez_hub.digests import sha256_file
from ggez_hub.errors import UsageProblem

if TYPE_CHECKING:
    from ggez_hub.cli.tasks import AnyTask
    from ggez_hub.evaluation.benchmarks.preparation import PreparedTask
    from ggez_hub.evaluation.models import ModelUnderTest
    from ggez_hub.evaluation.models.model_digest import StoredModel
    from ggez_hub.evaluation.results.evidence import Evidence
    from ggez_hub.evaluation.results.header import AdapterRecord, Origin, Place, SweptParts
    from ggez_hub.evaluation.sweep.recipe import SweepRecipe, TrainedOn
    from ggez_hub.evaluation.sweep.run import JointFineTune
    from ggez_hub.hub import Hub
    from ggez_hub.regions import Region


@dataclass(frozen=True)
class OpenedParts:
    """A file of betas by part, the models of the grid that it multiplies, and their results folder."""

    parts: SweptParts
    results: Path
    models: tuple[ModelUnderTest, ...]
    origin: Origin


@dataclass(frozen=True)
class Opened:
    """A recipe with what it names.

    place   keeps the models' answers
    found   where the adapters are, in the order of `adapters`
    origin  says where all of it was
    """

    recipe: SweepRecipe
    region: Region
    models: tuple[ModelUnderTest, ...]
    by_part: tuple[OpenedParts, ...]
    tasks: tuple[PreparedTask, ...]
    adapters: tuple[AdapterRecord, ...]
    joint: JointFineTune | None
    trained_on: TrainedOn
    place: ModelPlace
    found: tuple[Found, ...]
    origin: Origin

    def models_with(self, parts: SweptParts | None) -> tuple[ModelUnderTest, ...]:
        """The models of a results folder that was measured with `parts`; raises UsageProblem."""
        if parts is None:
            return self.models
        for known in self.by_part:
            if known.parts.parts == parts.parts:
                return known.models
        raise UsageProblem(
            f"the recipe has no file of betas by part that says what {parts.name} said",
            "Give the recipe that the results were made with.",
        )


def open_recipe(recipe: Path, target: Path, hub: Hub, *, cached: bool) -> Opened:
    """Read a recipe and fetch what it names; `target` is the results folder.

    Raises BadRecipe, UsageProblem, and what fetching, tasks and data raise.
    """
    from ggez_hub.evaluation.benchmarks.preparation import require_both_sides
    from ggez_hub.evaluation.models import Adapted, grid_on, model_in
    from ggez_hub.evaluation.models.judge_model import with_judge
    from ggez_hub.evaluation.models.model_digest import StoredModel
    from ggez_hub.evaluation.results.header import moved
    from ggez_hub.evaluation.sweep.part_gains import folder_of
    from ggez_hub.evaluation.sweep.recipe import SweepRecipe
    from ggez_hub.evaluation.sweep.run import JointFineTune
    from ggez_hub.families import get_family
    from ggez_hub.merging.adapters import is_finetune
    from ggez_hub.recipe_file import read_recipe
    from ggez_hub.regions import find_region

    asked, here = read_recipe(recipe, "sweep", SweepRecipe), recipe.parent
    asked.require_filled_in(recipe)
    region, family = find_region(asked.region), get_family(asked.family)
    base = find_model(asked.base, here, hub)
    adapters = [find_adapter(named, here, hub) for named in asked.adapters]
    records = tuple(map(_recorded, adapters))
    _require_different(records)
    place = ModelPlace(hub, target, cached)
    judged_by = asked.judge and _here(asked.judge, here)
    judge, judge_place = place.judge(judged_by) if judged_by else (None, None)
    model = StoredModel(base.path, tuple(adapter.path for adapter in adapters), family)
    points = asked.points(finetunes=all(is_finetune(adapter) for adapter in model.adapters))
    way = place.way(family, judge)
    models = grid_on(model, points, way)
    joint, rival = None, find_adapter(asked.joint, here, hub) if asked.joint else None
    if rival is not None:
        on_base = model_in(base.path, family, way, Adapted(rival.path, 1.0))
        joint = JointFineTune(on_base, _recorded(rival))
    swept = _read_parts([here / named for named in asked.parts_files], model)
    source, tasks = _asked(asked, here, hub, models[0].methods)
    prepared, _ = source.prepare(tasks, region)
    require_both_sides((task.record.side for task in prepared), region)

    def origin(results: Path) -> Origin:
        places = [adapter.place(results) for adapter in adapters]
        judged = judge_place and moved(judge_place, target, results)
        return source.origin(tasks, results, base.place(results), places, judged)

    return Opened(
        asked,
        region,
        models,
        tuple(
            OpenedParts(
                parts,
                results := folder_of(target, parts),
                grid_on(replace(model, parts=parts.rule), points, place.way(family, judge)),
                origin(results),
            )
            for parts in swept
        ),
        with_judge(prepared, judge, models[0].methods),
        records,
        joint,
        asked.trained_on or _trained_on([*adapters, *([rival] if rival else [])]),
        place,
        tuple(adapters),
        origin(target),
    )


def _read_parts(paths: Sequence[Path], model: StoredModel) -> list[SweptParts]:
    """The files of betas by part, tried on the base.

    Raises BadRecipe, BadParts, and UsageProblem for two files of one name, or for betas that are not
    multiples of the grid's.
    """
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


def _recorded(adapter: Found) -> AdapterRecord:
    """An adapter as the results name it: a local folder by its last name, which is all it says."""
    from ggez_hub.evaluation.models.model_digest import decisive_files
    from ggez_hub.evaluation.results.header import AdapterRecord

    named = f"{adapter.repo}@{adapter.revision}" if adapter.repo else adapter.path.resolve().name
    return AdapterRecord.of(named, decisive_files(adapter.path), card_of(adapter.path))


def _require_different(records: Sequence[AdapterRecord]) -> None:
    if len({tuple(sorted(record.files.items())) for record in records}) < len(records):
        raise UsageProblem("an adapter is named twice", "Name it once: its betas may be larger.")


def _trained_on(adapters: Sequence[Found]) -> TrainedOn:
    """What the adapters were trained on, all together, with a word for what one does not say."""
    found = [trained_on(adapter.path) for adapter in adapters]
    if all(known == "unknown" for known in found):
        return "unknown"
    named = [known if isinstance(known, list) else ["unknown"] for known in found]
    return list(dict.fromkeys(source for known in named for source in known))


def _asked(
    asked: SweepRecipe, here: Path, hub: Hub, methods: Sequence[str]
) -> tuple[TaskData, list[AnyTask]]:
    """The tasks of a recipe, and where their data come from."""
    from ggez_hub.evaluation.benchmarks.contents import Pool

    suites = [asked.tasks] if isinstance(asked.tasks, str) else asked.tasks
    tasks = find_tasks([_here(suite, here) for suite in suites])
    data, pictures = (here / f if f is not None else None for f in (asked.data, asked.pictures))
    return TaskData(hub, data, pictures, asked.methods or methods, Pool(), single=True), tasks


def _here(named: str, here: Path) -> str:
    """A folder relative to the recipe, or what else is named."""
    return str(here / named) if (here / named).is_dir() else named


class Reopened(NamedTuple):
    """The models at the betas of the results, and the tasks with their questions."""

    models: tuple[ModelUnderTest, ...]
    tasks: tuple[PreparedTask, ...]


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
    from ggez_hub.evaluation.models.judge_model import with_judge
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
    from ggez_hub.evaluation.results.header import AtAddress

    for place in places:
        if isinstance(place, AtAddress) and place.address not in endpoints:
            raise UsageProblem(
                f"these results were answered at {place.address}, which they name themselves",
                f"If that is where you want to ask: --endpoint {shlex.quote(place.address)}",
            )


def origin_tasks(evidence: Evidence, hub: Hub) -> tuple[PreparedTask, ...]:
    """The tasks of results with their questions; raises as `open_origin`."""
    from ggez_hub.evaluation.benchmarks.contents import Pool
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
