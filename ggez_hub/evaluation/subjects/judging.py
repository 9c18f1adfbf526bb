"""The judge of what a model draws: itself a model that is asked questions about pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answered import Answered
from ggez_hub.evaluation.subjects.base import Subject, UnderTest
from ggez_hub.weights import digest_json

if TYPE_CHECKING:
    from ggez_hub.evaluation.prepared import Prepared


@dataclass(frozen=True)
class Judge:
    """A model with the name that people know it by. Another judge is another benchmark."""

    name: str
    model: UnderTest
    known: Callable[[UnderTest], Answered]

    @property
    def method(self) -> str:
        """How it is asked: by similarity, by likelihood ..."""
        return self.model.methods[0]

    @property
    def label(self) -> str:
        """What results and cards call it: its name, the beginning of its digest, and how."""
        return f"{self.name} ({self.model.digest[:12]}) by {self.method}"

    def open(self) -> Subject:
        """Make it ready."""
        return self.model.open(self.known(self.model))


def with_judge(tasks: Sequence[Prepared], judge: Judge | None) -> tuple[Prepared, ...]:
    """The tasks as this judge decides them: its name and digest are a part of each.

    Raises UsageProblem for tasks about pictures where there is a judge, as a model that draws is
    asked for pictures alone; and for those that are to be drawn where there is none.
    """
    drawn = {task.id for task in tasks if any(asked.drawn for asked in task.asked.values())}
    if judge is None:
        if drawn:
            raise UsageProblem(
                f"the pictures of {', '.join(sorted(drawn))} are to be drawn first",
                "Name a pipeline of diffusers as MODEL, and who judges with --judge.",
            )
        return tuple(tasks)
    if others := [task.id for task in tasks if task.id not in drawn]:
        raise UsageProblem(
            f"a model that draws cannot be asked about pictures: {', '.join(others)}",
            "Choose suites of prompts, as dpg-bench.",
        )
    return tuple(_decided(task, judge) for task in tasks)


def _decided(task: Prepared, judge: Judge) -> Prepared:
    decided = {"judge": judge.model.digest, "method": judge.method}
    digests = {
        split: digest_json({"task": digest, **decided})
        for split, digest in task.record.digests.items()
    }
    record = task.record.model_copy(update={"judge": judge.label, "digests": digests})
    return replace(task, record=record, method=judge.method)
