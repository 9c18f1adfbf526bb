"""A sweep over beta: base, regional and merged models measured without writing a merged model.

With several adapters it is a joint sweep: over points with one beta for each of them.

What is answered is kept in the results folder after each task, so that a run that was stopped goes on
where it was. A model that is measured as it is is a sweep over one point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from ggez_hub.cards import AlphaRecord
from ggez_hub.cards.values import UNKNOWN, Unknown
from ggez_hub.digests import digest_json
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.benchmarks.preparation import PreparedTask
from ggez_hub.evaluation.models import ModelUnderTest, averaged
from ggez_hub.evaluation.results.closed_part import Closing
from ggez_hub.evaluation.results.evidence import RESULTS, Evidence, open_evidence
from ggez_hub.evaluation.results.figures import MeasuredBaseline, write_results
from ggez_hub.evaluation.results.header import AdapterRecord, BaselineName, Origin, SweptParts
from ggez_hub.evaluation.results.language_switch import ADAPTER, BASE
from ggez_hub.evaluation.results.leakage import refuse_leaks
from ggez_hub.evaluation.sweep.grid import (
    KeptAnswers,
    Measurement,
    Progress,
    check_tasks,
    digests,
    measure,
)
from ggez_hub.regions import Region

WORK = ".answers"

Known: TypeAlias = Callable[[ModelUnderTest, Path], AnswerCache]


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
    known: Known = lambda *_: AnswerCache(),
    adapters: Sequence[AdapterRecord] = (),
    joint: JointFineTune | None = None,
    parts: SweptParts | None = None,
    trained_on: Sequence[str] | Unknown = UNKNOWN,
    measured_by: Literal["self", "registry"] = "self",
    evaluator: str = UNKNOWN,
    origin: Origin | None = None,
    policy: str = "parity",
    closing: Closing | None = None,
    progress: Progress | None = None,
) -> Evidence:
    """Measure every task with every model, those of a grid or one as it is, into the folder `out`.

    known     the cache of a model's answers, for a run with the folder that it gets to work in
    adapters  whose the betas of a point are, in their order; a composition needs them
    parts     those of the models
    closing   keeps a part of the test answers, and all that is kept during the run, in its folder

    Of embedding models the averaged outputs at beta 0 and 1 are measured too, without a new pass of a
    picture or text. A folder that holds a part of this very measurement is completed.

    Raises: GateFailed: for a task that the adapter was trained on. UsageProblem: for no tasks, tasks
    that such a model cannot be asked, or a folder with something else. And what `measure` raises.
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
    if closing and (finished := _finished(out, models, tasks, region, evaluator, closing)):
        return finished
    work = (out if closing is None else closing.keep) / WORK / key
    if out.exists() and any(out.iterdir()) and not work.is_dir():
        raise UsageProblem(
            f"{out} holds something else than this measurement",
            "Choose another folder with -o: nothing there is overwritten.",
        )
    work.mkdir(parents=True, exist_ok=True)
    caches: dict[str, AnswerCache] = {}

    def cache_of(model: ModelUnderTest) -> AnswerCache:
        # What the two ends of a grid embed is embedded once.
        if model.beta not in (BASE, ADAPTER):
            return known(model, work)
        if model.digest not in caches:
            caches[model.digest] = known(model, work)
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
        measured = ask([model], work / name / model.digest)
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
