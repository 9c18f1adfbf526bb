"""The judge of what a model draws: itself a model that is asked questions about pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ggez_hub.digests import digest_json
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.benchmarks.multiple_choice import RECOGNITION, shown_digest
from ggez_hub.evaluation.models.model_under_test import LoadedModel, ModelUnderTest

if TYPE_CHECKING:
    from ggez_hub.evaluation.benchmarks.preparation import PreparedTask


@dataclass(frozen=True)
class JudgeModel:
    """A model with the name that people know it by. Another judge is another benchmark."""

    name: str
    model: ModelUnderTest
    known: Callable[[ModelUnderTest], AnswerCache]

    @property
    def method(self) -> str:
        return self.model.methods[0]

    @property
    def label(self) -> str:
        """What results and cards call it: its name, the beginning of its digest, and how."""
        return f"{self.name} ({self.model.digest[:12]}) by {self.method}"

    def open(self) -> LoadedModel:
        return self.model.open(self.known(self.model))


def with_judge(
    tasks: Sequence[PreparedTask], judge: JudgeModel | None, methods: Sequence[str]
) -> tuple[PreparedTask, ...]:
    """The tasks as this judge decides them: its name and digest are a part of each.

    `methods` are those of the model. Raises UsageProblem for tasks that a model that draws cannot be
    asked, as those about pictures; for tasks that are to be drawn where it does not draw; and where
    nobody judges.
    """
    judged, own = (
        {task.id for task in tasks if any(getattr(a, field) for a in task.asked.values())}
        for field in ("drawn", "recognised")
    )
    own |= {task.id for task in tasks if task.is_drawn}
    if RECOGNITION not in methods:
        if judged | own:
            raise UsageProblem(
                f"the pictures of {', '.join(sorted(judged | own))} are to be drawn first",
                "Name a pipeline of diffusers as MODEL, and who judges with --judge.",
            )
        return tuple(tasks)
    if others := [task.id for task in tasks if task.id not in judged | own]:
        raise UsageProblem(
            f"a model that draws cannot be asked about pictures: {', '.join(others)}",
            "Choose suites of prompts, as dpg-bench.",
        )
    if judge is None and judged:
        raise UsageProblem(
            f"nobody judges the pictures of {', '.join(sorted(judged))}",
            "Name who judges its pictures: --judge MODEL, or `judge:` in a recipe.",
        )
    if judge is not None and not judged:
        raise UsageProblem(
            f"the tasks name their own judge: {', '.join(sorted(own))}", "Leave the judge out."
        )
    return tuple(_decided(t, judge) if judge and t.id in judged else t for t in tasks)


def _decided(task: PreparedTask, judge: JudgeModel) -> PreparedTask:
    decided = {"judge": judge.model.digest, "method": judge.method}
    seeds = {asked.drawn[0].seed for asked in task.asked.values() if asked.drawn}
    digests = {
        split: digest_json({"task": shown_digest(digest, max(seeds), judge.method), **decided})
        for split, digest in task.record.digests.items()
    }
    record = task.record.model_copy(update={"judge": judge.label, "digests": digests})
    return replace(task, record=record, method=judge.method)
