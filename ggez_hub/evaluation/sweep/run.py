"""A sweep over beta: base, regional and merged models measured without writing a merged model.

Every task and split is asked at every point of a grid: one beta, or with several adapters one for each
of them. What is answered is kept in the results folder after each task, so that a run that was stopped
goes on where it was. A model that is measured as it is is a sweep over one point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from ggez_hub.cards import AlphaRecord
from ggez_hub.cards.values import UNKNOWN, Unknown
from ggez_hub.digests import digest_json
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.answers.meeting import Meeting, MetAnswers
from ggez_hub.evaluation.answers.outcomes import Answers, Cell, Outcomes, TaskRecord
from ggez_hub.evaluation.answers.predictions import read_predictions, write_predictions
from ggez_hub.evaluation.benchmarks.multiple_choice import GENERATION, RECOGNITION
from ggez_hub.evaluation.benchmarks.preparation import PreparedTask
from ggez_hub.evaluation.benchmarks.prompt_language import prompt_languages, with_prompt_languages
from ggez_hub.evaluation.models import LoadedModel, ModelUnderTest, averaged
from ggez_hub.evaluation.results.closed_part import Closing
from ggez_hub.evaluation.results.evidence import RESULTS, Evidence, open_evidence
from ggez_hub.evaluation.results.figures import MeasuredBaseline, write_results
from ggez_hub.evaluation.results.header import AdapterRecord, BaselineName, Origin, SweptParts
from ggez_hub.evaluation.results.language_switch import ADAPTER, BASE
from ggez_hub.evaluation.results.leakage import refuse_leaks
from ggez_hub.parity.betas import Beta, beta_key, betas_of
from ggez_hub.regions import Region

WORK = ".answers"
# The cache of a model's answers, for a run with the folder that it gets to work in.
Known: TypeAlias = Callable[[ModelUnderTest, Path], AnswerCache]
# Called with the number of steps that are measured, of how many.
Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True)
class KeptAnswers:
    """Answers as one predictions file for each beta and task, so that a stopped run goes on."""

    folder: Path

    def load(self, beta: Beta, task: str) -> Answers | None:
        path = self._path(beta, task)
        return read_predictions(path) if path.is_file() else None

    def save(self, beta: Beta, task: str, outcomes: Answers) -> None:
        write_predictions(self._path(beta, task), outcomes)

    def _path(self, beta: Beta, task: str) -> Path:
        return self.folder / beta_key(beta) / f"{task}.parquet"


@dataclass(frozen=True, eq=False)
class Measurement:
    """What came out of a grid; `models` has for each beta what identifies the model."""

    tasks: tuple[PreparedTask, ...]
    outcomes: Answers
    models: Mapping[str, str]

    def records(self) -> dict[str, TaskRecord]:
        return {task.id: task.record for task in self.tasks}


def measure(
    models: Sequence[ModelUnderTest],
    tasks: Sequence[PreparedTask],
    *,
    known: Callable[[ModelUnderTest], AnswerCache] = lambda _: AnswerCache(),
    answers: KeptAnswers | None = None,
    progress: Progress | None = None,
) -> Measurement:
    """Ask every task of every model: those of a grid, or one as it is; nothing is fetched.

    `known` gives the answers of a model that are there already; tasks that `answers` holds are not
    asked at all. Raises UsageProblem, MissingExtra, and what opening the models raises.
    """
    check_tasks(models, tasks)
    languages = prompt_languages(tasks)
    outcomes: dict[Cell, Outcomes] = {}
    done = 0
    for model in models:
        subject: LoadedModel | None = None
        for task in tasks:
            found = answers.load(model.beta, task.id) if answers else None
            if found is None:
                # Opened for the first task whose answers are not known.
                subject = subject or model.open(known(model))
                found = {
                    Cell(model.beta, task.id, split): subject.answer(asked, task.method)
                    for split, asked in task.asked.items()
                }
                if answers:
                    answers.save(model.beta, task.id, found)
            outcomes |= with_prompt_languages(found, languages)
            done += 1
            if progress:
                progress(done, len(models) * len(tasks))
    return Measurement(tuple(tasks), outcomes, digests(models))


def digests(models: Sequence[ModelUnderTest]) -> dict[str, str]:
    """Beta key -> what identifies the model; raises UsageProblem for what is not a grid."""
    keys = [beta_key(model.beta) for model in models]
    if len(set(keys)) != len(keys) or not keys:
        raise UsageProblem(f"the betas {', '.join(keys) or '(none)'} have to be different numbers")
    if len({len(betas_of(model.beta)) for model in models}) > 1:
        raise UsageProblem("the points of a grid have to be of the same adapters")
    return {key: model.digest for key, model in zip(keys, models, strict=True)}


def check_tasks(models: Sequence[ModelUnderTest], tasks: Sequence[PreparedTask]) -> None:
    """Raise UsageProblem unless the models can be asked all of the tasks."""
    digests(models)
    if len({task.id for task in tasks}) != len(tasks):
        raise UsageProblem("two tasks have the same id")
    free = [task.id for task in tasks if task.is_free]
    if free and not all(GENERATION in model.methods for model in models):
        raise UsageProblem(
            f"free answers are asked of models that write alone: {', '.join(free)}",
            "Choose other suites, or a vision-language model.",
        )
    ways = set.intersection(*(set(model.methods) for model in models))
    if unheard := [task.id for task in tasks if task.method and task.method not in ways]:
        raise UsageProblem(
            f"only a model that writes can be asked: {', '.join(unheard)}",
            "Choose a vision-language model, or tasks without a question.",
        )
    drawn = [task.id for task in tasks if task.is_drawn]
    if drawn and not all(RECOGNITION in model.methods for model in models):
        raise UsageProblem(
            f"only a model that draws can be asked: {', '.join(drawn)}",
            "Name a pipeline of diffusers.",
        )
    searching = [task.id for task in tasks if not task.is_choice]
    if searching and not all(model.searches for model in models):
        raise UsageProblem(
            f"a generating model cannot search among pictures or texts: {', '.join(searching)}",
            "Choose suites of multiple choice, or an embedding model.",
        )


@dataclass(frozen=True)
class JointFineTune:
    """Another adapter on the base of a sweep, at beta 1."""

    model: ModelUnderTest
    adapter: AdapterRecord


def work_folder(
    models: Sequence[ModelUnderTest], tasks: Sequence[PreparedTask], region: Region, out: Path
) -> Path:
    """Where the answers of this very measurement are kept until it is written to `out`, or beside it."""
    key = digest_json(
        {
            "models": digests(models),
            "region": region.id,
            "tasks": {task.id: task.record.digests for task in tasks},
        }
    )
    return out / WORK / key


def joint_folder(work: Path, model: ModelUnderTest) -> Path:
    """Where the answers of a joint fine-tune are, as those of the grid are in `work`."""
    return _beside(work, "joint", model)


def _beside(work: Path, name: BaselineName, model: ModelUnderTest) -> Path:
    return work / name / model.digest


def meeting_folder(work: Path, model: ModelUnderTest) -> Path:
    """Where the answers of a model meet that several tasks compute."""
    return work / "met" / model.digest


def sweep(
    models: Sequence[ModelUnderTest],
    tasks: Sequence[PreparedTask],
    region: Region,
    alpha: AlphaRecord,
    out: Path,
    *,
    known: Known = lambda *_: AnswerCache(),
    adapters: Sequence[AdapterRecord] = (),
    joint: JointFineTune | None = None,
    parts: SweptParts | None = None,
    trained_on: Sequence[str] | Unknown = UNKNOWN,
    held_out: Sequence[str] = (),
    measured_by: Literal["self", "registry"] = "self",
    evaluator: str = UNKNOWN,
    origin: Origin | None = None,
    policy: str = "parity",
    closing: Closing | None = None,
    progress: Progress | None = None,
    before: Callable[[], None] | None = None,
) -> Evidence:
    """Measure every task with every model, those of a grid or one as it is, into the folder `out`.

    adapters  whose the betas of a point are, in their order; a composition needs them
    parts     those of the models
    trained_on, held_out   the data sets behind the adapters, and those kept out of them
    closing   keeps a part of the test answers, and all that is kept during the run, in its folder
    before    has the questions answered by other processes, as `tasks` does

    Of embedding models the averaged outputs at beta 0 and 1 are measured too, without a new pass of a
    picture or text. A folder that holds a part of this very measurement is completed.

    Raises: GateFailed: for a task that the adapter was trained on. UsageProblem: for no tasks, tasks
    that such a model cannot be asked, or a folder with something else. And what `measure` raises.
    """
    if not tasks:
        raise UsageProblem(f"the suite has no items for {region.id}", "Choose another suite.")
    check_tasks(models, tasks)
    refuse_leaks({task.id: task.record.dataset for task in tasks}, trained_on, held_out)
    if closing and (finished := _finished(out, models, tasks, region, evaluator, closing)):
        return finished
    work = work_folder(models, tasks, region, out if closing is None else closing.keep)
    if out.exists() and any(out.iterdir()) and not work.is_dir():
        raise UsageProblem(
            f"{out} holds something else than this measurement",
            "Choose another folder with -o: nothing there is overwritten.",
        )
    work.mkdir(parents=True, exist_ok=True)
    if before:
        before()
    caches: dict[str, AnswerCache] = {}

    def open_cache(model: ModelUnderTest) -> AnswerCache:
        met = meeting_folder(work, model)
        return MetAnswers(Meeting(met), known(model, work)) if before else known(model, work)

    def cache_of(model: ModelUnderTest) -> AnswerCache:
        # What the two ends of a grid embed is embedded once.
        if model.beta not in (BASE, ADAPTER):
            return open_cache(model)
        if model.digest not in caches:
            caches[model.digest] = open_cache(model)
        return caches[model.digest]

    average = _average(models, cache_of)
    beside = [each for each in (joint, average) if each is not None]
    steps, done = (len(models) + len(beside)) * len(tasks), 0

    def ask(asked: Sequence[ModelUnderTest], folder: Path) -> Measurement:
        nonlocal done
        before = done

        def report(now: int, _: int) -> None:
            nonlocal done
            done = before + now
            if progress:
                progress(done, steps)

        return measure(asked, tasks, known=cache_of, answers=KeptAnswers(folder), progress=report)

    def baseline(
        name: BaselineName, model: ModelUnderTest, adapter: AdapterRecord | None = None
    ) -> MeasuredBaseline:
        measured = ask([model], _beside(work, name, model))
        return MeasuredBaseline(model.digest, measured.outcomes, adapter)

    found: dict[BaselineName, MeasuredBaseline] = {}
    if joint is not None:
        # Before the grid, of which one copy stays in memory.
        found["joint"] = baseline("joint", joint.model, joint.adapter)
    measured = ask(models, work)
    if average is not None:
        found["average"] = baseline("average", average)
    header = {
        "region": region.id,
        "alpha": alpha,
        "policy": policy,
        "tasks": measured.records(),
        "data": trained_on if trained_on == UNKNOWN else list(trained_on),
        "held_out": list(held_out),
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

    Raises what reading raises.
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


def _average(
    models: Sequence[ModelUnderTest], cache_of: Callable[[ModelUnderTest], AnswerCache]
) -> ModelUnderTest | None:
    """The averaged outputs of base and adapter, where both are in a grid and have embeddings."""
    by_beta = {model.beta: model for model in models}
    base, adapter = by_beta.get(BASE), by_beta.get(ADAPTER)
    if base is None or adapter is None or not (base.searches and adapter.searches):
        return None
    return averaged(base, adapter, cache_of)
