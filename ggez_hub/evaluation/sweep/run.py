"""A sweep over beta: base, regional and merged models measured without writing a merged model.

With several adapters it is a joint sweep: over points with one beta for each of them.

What is answered is kept in the results folder after each task, so that a run that was stopped goes on
where it was. A model that is measured as it is is a sweep over one point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator

from ggez_hub.cards import AlphaRecord
from ggez_hub.cards.values import PolicyName
from ggez_hub.digests import digest_json
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.cache import AnswerCache, MemoryCache
from ggez_hub.evaluation.answers.outcomes import Cell, Outcomes
from ggez_hub.evaluation.answers.predictions import read_predictions, write_predictions
from ggez_hub.evaluation.benchmarks.preparation import PreparedTask
from ggez_hub.evaluation.models import ModelUnderTest, averaged
from ggez_hub.evaluation.results.closed_part import Closing
from ggez_hub.evaluation.results.evidence import RESULTS, Evidence, open_evidence
from ggez_hub.evaluation.results.figures import MeasuredBaseline, write_results
from ggez_hub.evaluation.results.header import AdapterRecord, BaselineName, SweptParts
from ggez_hub.evaluation.results.language_switch import ADAPTER, BASE
from ggez_hub.evaluation.results.leakage import refuse_leaks
from ggez_hub.evaluation.results.origin import Origin
from ggez_hub.evaluation.sweep.grid import Measurement, Progress, check_tasks, digests, measure
from ggez_hub.evaluation.sweep.recipe import grid_points
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.parity.betas import Beta, beta_key
from ggez_hub.recipe_file import BadRecipe
from ggez_hub.regions import Region

# The grid of a LoRA; a full fine-tune is strong already at small betas.
BETAS: tuple[float, ...] = (0, 0.25, 0.5, 0.75, 1, 1.25)
FINETUNE_BETAS: tuple[float, ...] = (0, 0.05, 0.1, 0.25, 0.5, 0.75, 1)
WORK = ".answers"

Known: TypeAlias = Callable[[ModelUnderTest, Path], AnswerCache]
TrainedOn: TypeAlias = list[str] | Literal["unknown"]


class SweepRecipe(FrozenModel):
    """The keys of a recipe of `kind: sweep`.

    base, adapter  a folder (relative to the recipe), or `org/name@revision` of a hub; of `adapter` a
                   list for a composition, in the order of its betas
    tasks          a folder of task files, relative to the recipe, or a built-in suite; or several
    data           a folder with the tasks' data set, or with several as OWNER/NAME; fetched from
                   the hub if left out
    pictures       a folder with pictures that a data set names by address
    judge          who says what is to be seen in the pictures of a model that draws: a folder or a
                   repository
    methods        how a model is asked multiple choice; every way that its family knows if left out
    betas          for every adapter (0 to 1.25 of LoRAs, to 1 and closer at the beginning of full
                   fine-tunes, if left out), or for a composition a list for each of them: then every
                   combination is measured
    combinations   instead of them: the betas of each point of a composition
    limit          how many points a composition may have (64)
    parts          a file of betas by part, relative to the recipe, or several: for each of them the
                   grid is measured once more, multiplied by its `times` and `tilt`
    trained_on     the data sets behind the adapters, for the leakage check; those of their cards if
                   left out
    alpha          instead of KOF's for the region
    policy         by which beta is chosen: `parity` (the highest GRP), or `keep` or `keep=0.95` (the
                   highest of the betas that keep this share of the scores outside the region)
    joint          another adapter on the same base, of a joint fine-tune of equal cost: measured at
                   beta 1 as a baseline
    """

    kind: Literal["sweep"]
    region: str
    family: str
    base: str
    adapter: str | Annotated[list[str], Field(min_length=1)]
    tasks: str | list[str]
    data: str | None = None
    pictures: str | None = None
    judge: str | None = None
    methods: list[str] | None = Field(default=None, min_length=1)
    betas: list[float] | list[list[float]] | None = Field(default=None, min_length=1)
    combinations: list[list[float]] | None = Field(default=None, min_length=1)
    limit: int | None = Field(default=None, ge=1)
    parts: str | Annotated[list[str], Field(min_length=1)] | None = None
    alpha: float | None = Field(default=None, ge=0, le=1)
    policy: PolicyName = "parity"
    trained_on: TrainedOn | None = None
    joint: str | None = None

    @field_validator("betas", "combinations", mode="before")
    @classmethod
    def _numbers(cls, betas: object) -> object:
        # YAML reads 0 and 1 as whole numbers.
        if isinstance(betas, list):
            return [cls._numbers(beta) for beta in betas]
        return float(betas) if type(betas) is int else betas

    @property
    def parts_files(self) -> tuple[str, ...]:
        """The files of betas by part."""
        return (self.parts,) if isinstance(self.parts, str) else tuple(self.parts or ())

    @property
    def adapters(self) -> tuple[str, ...]:
        """The adapters, in the order of a point's betas."""
        return (self.adapter,) if isinstance(self.adapter, str) else tuple(self.adapter)

    def points(self, *, finetunes: bool = False) -> tuple[Beta, ...]:
        """What is measured; raises UsageProblem for what is no grid of so many adapters.

        Where the recipe says nothing of betas, the grid is that of LoRAs, or of full fine-tunes.
        """
        if self.betas is not None and self.combinations is not None:
            raise UsageProblem("`betas` and `combinations` are two grids", "Give one of them.")
        betas = self.betas or list(FINETUNE_BETAS if finetunes else BETAS)
        return grid_points(len(self.adapters), betas, self.combinations, self.limit)


@dataclass(frozen=True)
class JointFineTune:
    """Another adapter on the base of a sweep, at beta 1."""

    model: ModelUnderTest
    adapter: AdapterRecord


def sweep(
    models: Sequence[ModelUnderTest],
    tasks: Sequence[PreparedTask],
    region: Region,
    alpha: AlphaRecord,
    out: Path,
    *,
    known: Known = lambda *_: MemoryCache(),
    adapters: Sequence[AdapterRecord] = (),
    joint: JointFineTune | None = None,
    parts: SweptParts | None = None,
    trained_on: Sequence[str] | Literal["unknown"] = "unknown",
    measured_by: Literal["self", "registry"] = "self",
    evaluator: str = "unknown",
    origin: Origin | None = None,
    policy: str = "parity",
    closing: Closing | None = None,
    progress: Progress | None = None,
) -> Evidence:
    """Measure every task with every model, those of a grid or one as it is, into the folder `out`.

    `known` gives the answers of a model that are there already, for a run with the folder that it
    gets to work in. `adapters` says whose the betas of a point are, in their order; of a composition
    it has to be said. `parts` are those of the models. Of embedding models the averaged outputs at
    beta 0 and 1 are measured too, at no new pass of a picture or text. A folder that holds a part of this
    very measurement is completed, one that holds all of it is measured no more. With `closing` a part of
    the test answers, and all that is kept while it is measured, stays in the folder that it names. Raises Leaked for a
    task that the adapter was trained on, UsageProblem for no tasks, tasks that such a model cannot
    be asked or a folder with something else, and what `measure` raises.
    """
    if not tasks:
        raise UsageProblem(f"the suite has no items for {region.id}", "Choose another suite.")
    check_tasks(models, tasks)
    refuse_leaks({task.id: task.record.dataset for task in tasks}, trained_on)
    key = digest_json(
        {
            "models": digests(models),
            "region": region.id,
            "tasks": {task.id: task.record.digests for task in tasks},
        }
    )
    if closing is not None and (done := _finished(out, models, tasks, region, evaluator, closing)):
        return done
    kept = _Kept((out if closing is None else closing.keep) / WORK / key)
    if out.exists() and any(out.iterdir()) and not kept.folder.is_dir():
        raise UsageProblem(
            f"{out} holds something else than this measurement",
            "Choose another folder with -o: nothing there is overwritten.",
        )
    kept.folder.mkdir(parents=True, exist_ok=True)
    run = _Run(tasks, kept.folder, known, progress, len(models) + (joint is not None))
    found: dict[BaselineName, MeasuredBaseline] = {}
    if joint is not None:
        # Before the grid, of which one copy stays in memory.
        found["joint"] = run.baseline("joint", joint.model, joint.adapter)
    measured = run.ask(models, kept)
    if (mean := run.average(models)) is not None:
        found["average"] = run.baseline("average", mean)
    header = {
        "region": region.id,
        "alpha": alpha,
        "policy": policy,
        "tasks": measured.records(),
        "data": trained_on if trained_on == "unknown" else list(trained_on),
        "measured_by": measured_by,
        "evaluator": evaluator,
        "adapters": list(adapters),
        "parts": parts,
        "models": dict(measured.models),
        "origin": origin,
    }
    return write_results(out, header, measured.outcomes, found, closing)


def _finished(
    out: Path,
    models: Sequence[ModelUnderTest],
    tasks: Sequence[PreparedTask],
    region: Region,
    evaluator: str,
    closing: Closing,
) -> Evidence | None:
    """What a folder holds if it is all of this measurement, made elsewhere with the same part closed.

    Raises NoEvidence, and what reading raises.
    """
    if not (out / RESULTS).is_file():
        return None
    found = open_evidence(out)
    header, part = found.header, found.header.closed
    same = (
        not found.problems
        and part is not None
        and (part.share, part.rotation) == (closing.rule.share, closing.rule.rotation)
        and (header.measured_by, header.evaluator, header.region)
        == ("registry", evaluator, region.id)
        and header.models == digests(models)
        and {name: record.digests for name, record in header.tasks.items()}
        == {task.id: task.record.digests for task in tasks}
    )
    return found if same else None


class _Run:
    """What is asked in a sweep, and how far it is; `points` are the models that will be."""

    def __init__(
        self,
        tasks: Sequence[PreparedTask],
        folder: Path,
        known: Known,
        progress: Progress | None,
        points: int,
    ) -> None:
        self._tasks, self._folder, self._known = tasks, folder, known
        self._progress, self._points, self._done = progress, points, 0
        # Those of the two ends of a grid: what they embed is embedded once.
        self._ends: dict[str, AnswerCache] = {}

    def ask(self, models: Sequence[ModelUnderTest], answers: _Kept) -> Measurement:
        """Every task of every one of some models."""
        steps, before = self._points * len(self._tasks), self._done

        def told(done: int, total: int) -> None:
            self._done = before + done
            if self._progress:
                self._progress(self._done, steps)

        known = self._answered
        return measure(models, self._tasks, known=known, answers=answers, progress=told)

    def baseline(
        self, name: BaselineName, model: ModelUnderTest, adapter: AdapterRecord | None = None
    ) -> MeasuredBaseline:
        """One model more, whose answers are kept beside those of the grid."""
        answers = _Kept(self._folder / name / model.digest)
        return MeasuredBaseline(model.digest, self.ask([model], answers).outcomes, adapter)

    def average(self, models: Sequence[ModelUnderTest]) -> ModelUnderTest | None:
        """The averaged outputs of base and adapter, where both are in a grid and have embeddings."""
        by_beta = {model.beta: model for model in models}
        base, adapter = by_beta.get(BASE), by_beta.get(ADAPTER)
        if base is None or adapter is None or not (base.searches and adapter.searches):
            return None
        self._points += 1
        return averaged(base, adapter, self._answered)

    def _answered(self, model: ModelUnderTest) -> AnswerCache:
        if model.beta not in (BASE, ADAPTER):
            return self._known(model, self._folder)
        if model.digest not in self._ends:
            self._ends[model.digest] = self._known(model, self._folder)
        return self._ends[model.digest]


@dataclass(frozen=True)
class _Kept:
    """Answers as one predictions file for each beta and task."""

    folder: Path

    def load(self, beta: Beta, task: str) -> Mapping[Cell, Outcomes] | None:
        path = self._path(beta, task)
        return read_predictions(path) if path.is_file() else None

    def save(self, beta: Beta, task: str, outcomes: Mapping[Cell, Outcomes]) -> None:
        # Written beside and renamed: a file that is there is whole.
        write_predictions(self._path(beta, task), outcomes)

    def _path(self, beta: Beta, task: str) -> Path:
        return self.folder / beta_key(beta) / f"{task}.parquet"


UNKNOWN = "unknown"
KEYS = ("base", "adapter", "tasks", "judge")


def blanks(recipe: SweepRecipe) -> tuple[str, ...]:
    """The keys that have to be filled in before it can be run."""
    return tuple(key for key in KEYS if UNKNOWN in _listed(getattr(recipe, key)))


def require_filled_in(recipe: SweepRecipe, path: Path) -> None:
    """Raise BadRecipe for a recipe that leaves something open."""
    if left := blanks(recipe):
        raise BadRecipe(
            f"{path} leaves open: {', '.join(left)}",
            "Copy it, and write what you mean in place of `unknown`; its comments say what is known.",
        )


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
