"""Suites as tasks of inspect-ai: `inspect eval ggez_hub/benchmark -T suite=cvqa -T region=sea`.

The prompt, the reading of replies and the score are those of `ggez-hub eval` by generation. Imported by
inspect-ai alone (the entry point of this package), which the extra `inspect` installs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageUser, ContentImage, ContentText, GenerateConfig
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import TaskState, generate

from ggez_hub.chat_endpoint import data_url
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.outcomes import UNPARSED, Average
from ggez_hub.evaluation.benchmarks.multiple_choice import GENERATION
from ggez_hub.evaluation.benchmarks.preparation import PreparedTask
from ggez_hub.evaluation.benchmarks.questions import QuestionSet
from ggez_hub.evaluation.benchmarks.replies import TaggedAnswer, read_choice
from ggez_hub.evaluation.models.generative_model import matches, pose, read_replies
from ggez_hub.hub_connection import connect
from ggez_hub.regions import find_region
from ggez_hub.registry.task_data import TaskData, find_tasks

PICTURE = "picture"
WEIGHT = "weight"


@task
def benchmark(
    suite: str,
    region: str,
    name: str | None = None,
    split: Literal["validation", "test"] = "test",
    data: str | None = None,
    pictures: str | None = None,
    hub: str = "hf",
) -> Task:
    """One task of a suite, as a model that writes is asked: with the options, or a free answer.

    suite, region, data, pictures, hub   as of `ggez-hub eval`
    name   the task's id, where the suite has several
    split  `test` is the report side, `validation` the one that may choose beta

    Raises UsageProblem for a name that is none of them, and what finding and reading raise.
    """
    place = find_region(region)
    tasks = {own.id: own for own in find_tasks([suite])}
    if name is None and len(tasks) == 1:
        (name,) = tasks
    if name not in tasks:
        raise UsageProblem(
            f"{suite} has several tasks" if name is None else f"{suite} has no task {name!r}",
            f"Name one with -T name=ID: {', '.join(tasks)}",
        )
    folders = [None if folder is None else Path(folder) for folder in (data, pictures)]
    with connect(hub, quiet=True) as server:
        source = TaskData(server, folders[0], folders[1], (GENERATION,))
        found = [own for own in source.prepare([tasks[name]], place)[0] if _is_written(own, split)]
    if not found:
        raise UsageProblem(
            f"{name} has no questions of {place.id} on the {split} side that a model answers in writing"
        )
    return _as_inspect(found[0], split)


def _is_written(own: PreparedTask, split: str) -> bool:
    asked = own.asked.get(split)
    return asked is not None and bool(asked.free or asked.choices)


def _as_inspect(own: PreparedTask, split: str) -> Task:
    asked, record = own.asked[split], own.record
    return Task(
        name=own.id,
        dataset=MemoryDataset(_samples(asked, record.average), name=record.dataset),
        solver=generate(),
        scorer=reply(),
        config=GenerateConfig(temperature=0.0, max_tokens=asked.reply_tokens),
        metadata={
            "metric": record.metric,
            "task_sha256": record.digests.get(split, ""),
            "dataset_revision": record.revision,
            "split": split,
            "missing": len(asked.missing),
        },
    )


def _samples(asked: QuestionSet, average: Average) -> list[Sample]:
    """The questions; in the metadata is what the scorer needs of each."""
    # What no answer decides: the cluster and the weight of each question, and the right answer.
    blank = read_replies(asked, [""] * len(asked.items)).by(average)
    reading: list[dict[str, Any]] = [
        {
            "options": list(chat.options),
            "tag": chat.tagged and [chat.tagged.tag, *chat.tagged.labels],
        }
        for chat in asked.choices
    ] or [{"references": list(free.item.references)} for free in asked.free]
    columns = (
        asked.items,
        pose(asked),
        reading,
        blank.gold,
        blank.pictures,
        blank.weights.tolist(),
    )
    return [
        Sample(
            id=item,
            input=[
                ChatMessageUser(
                    content=[
                        ContentImage(image=data_url(posed.picture)),
                        ContentText(text=posed.prompt),
                    ]
                )
            ],
            target=gold,
            metadata={**read, PICTURE: picture, WEIGHT: weight},
        )
        for item, posed, read, gold, picture, weight in zip(*columns, strict=True)
    ]


@scorer(metrics=[mean(), stderr(cluster=PICTURE)])
def reply() -> Scorer:
    """Whether a reply gives the right answer, times the question's weight.

    The mean is the score of `ggez-hub eval` / 100, also where that is a macro average; the error is
    clustered by picture.
    """

    async def score(state: TaskState, target: Target) -> Score:
        known, said = state.metadata, state.output.completion
        if "references" in known:
            right = matches(said, known["references"])
            answer = target.text if right else said
        else:
            place = (
                TaggedAnswer(known["tag"][0], tuple(known["tag"][1:])).read(said)
                if known["tag"]
                else read_choice(said, known["options"])
            )
            answer = UNPARSED if place is None else known["options"][place]
            right = answer == target.text
        return Score(value=known[WEIGHT] if right else 0.0, answer=answer, explanation=said)

    return score
