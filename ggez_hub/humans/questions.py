"""What the models of a study are asked: items of a file, of suites, or of a results folder's tasks."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.evaluation.benchmarks.benchmark import Drawing
from ggez_hub.evaluation.benchmarks.loaders import Item
from ggez_hub.evaluation.benchmarks.multiple_choice import GENERATION
from ggez_hub.evaluation.benchmarks.preparation import PreparedTask
from ggez_hub.evaluation.results.evidence import open_evidence
from ggez_hub.hub import Hub
from ggez_hub.humans.outputs import Content, Picture, PictureFile, displayable
from ggez_hub.humans.spec import ItemRow, ItemsSpec, StudySpec
from ggez_hub.humans.study import MAX_PROMPT, Side
from ggez_hub.regions import Region, find_region
from ggez_hub.registry.task_data import TaskData, find_tasks, origin_tasks
from ggez_hub.text_files import read_text
from ggez_hub.validation_errors import listed

MAX_FILE = 256 << 20
TEST = "test"
# Where data do not say in which language a prompt is (BCP 47).
UNKNOWN_LANGUAGE = "und"


@dataclass(frozen=True)
class Question:
    """An item before its outputs are there.

    text      what a model that writes gets, with the picture if there is one
    drawing   how a pipeline draws the prompt; `seed` is the one of this item
    answer    where a results folder has the answer: task, item, and the number of its seed; None of a
              choice, where it names an option
    outputs   those that are there already, by model
    """

    id: str
    side: Side
    category: str
    language: str
    prompt: str
    text: str
    translations: Mapping[str, str] = field(default_factory=dict)
    picture: Picture | None = None
    drawing: Drawing | None = None
    seed: int = 0
    reply_tokens: int = 0
    answer: tuple[str, str, int] | None = None
    outputs: Mapping[str, Content] = field(default_factory=dict)
    gold: Mapping[str, tuple[float, ...]] | None = None

    @property
    def is_drawn(self) -> bool:
        """Whether its outputs are pictures."""
        given = any(not isinstance(output, str) for output in self.outputs.values())
        return given or (self.drawing is not None and not self.outputs)


def read_questions(spec: StudySpec, folder: Path, hub: Hub) -> list[Question]:
    """The questions of a study whose YAML is in `folder`; raises GgezError."""
    items, region = spec.items, find_region(spec.region)
    if items.file is not None:
        found = list(_of_file(spec, folder, items.file))
    else:
        tasks = _tasks(items, region, folder, hub)
        found = _once([q for task in tasks for q in _of_task(task) if _is_judged(q, spec)])
    if not found:
        raise GgezError(
            "the study has no items",
            "A suite needs prompts to draw, or questions in a language of the raters; results, "
            "drawings or free answers.",
        )
    return found if items.sample is None else _sampled(found, items.sample, spec.seed)


def _of_file(spec: StudySpec, folder: Path, name: str) -> Iterator[Question]:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UsageProblem(f"{name} leads out of the folder of the study")
    try:
        lines = read_text(path, MAX_FILE).split("\n")
    except (OSError, ValueError) as error:
        raise GgezError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = ItemRow.model_validate(json.loads(line))
        except (ValueError, RecursionError) as error:
            problem = listed(error) if isinstance(error, ValidationError) else f"  {error}"
            raise GgezError(f"line {number} of {path} is not an item:\n{problem}") from error
        yield from _of_row(row, spec, path.parent)


def _of_row(row: ItemRow, spec: StudySpec, folder: Path) -> Iterator[Question]:
    """A question for each seed, where the outputs are not there yet."""
    named = {model.name for model in spec.models}
    outputs: dict[str, Content] = {
        name: PictureFile(given.picture, folder) if given.picture else given.text or ""
        for name, given in row.outputs.items()
        if name in named
    }
    seeds = spec.drawing.seeds if spec.drawing and not outputs else [0]
    task, _, item = row.id.partition("/")
    gold = None if row.gold is None else {name: tuple(v) for name, v in row.gold.items()}
    for number, seed in enumerate(seeds):
        yield Question(
            id=row.id if len(seeds) == 1 else f"{row.id}/{seed}",
            side=row.side,
            category=row.category,
            language=row.language,
            prompt=displayable(row.prompt),
            text=row.prompt,
            translations={tag: displayable(text) for tag, text in row.translations.items()},
            picture=PictureFile(row.picture, folder) if row.picture else None,
            drawing=spec.drawing,
            seed=seed,
            reply_tokens=spec.reply_tokens,
            # An id may name a question of a task: TASK/ITEM.
            answer=(task, item, number),
            outputs=outputs,
            gold=gold,
        )


def _tasks(items: ItemsSpec, region: Region, folder: Path, hub: Hub) -> Iterable[PreparedTask]:
    if items.results is not None:
        return origin_tasks(open_evidence(folder / items.results), hub)
    data, pictures = (
        None if named is None else folder / named for named in (items.data, items.pictures)
    )
    suites = [str(folder / name) if (folder / name).is_dir() else name for name in items.suites]
    source = TaskData(hub, data, pictures, (GENERATION,), single=True)
    return source.prepare(find_tasks(suites), region)[0]


def _of_task(task: PreparedTask) -> Iterator[Question]:
    """The questions of a task's report side that can be drawn or answered in writing."""
    asked = task.asked.get(TEST)
    if asked is None or task.record.side == "safety":
        return
    side: Side = "regional" if task.record.side == "regional" else "global"

    def question(name: str, prompt: str, item: Item | None, **fields: Any) -> Question:
        language = (item and item.language) or task.record.language
        return Question(
            id=f"{task.id}/{name}",
            side=side,
            category=(item and item.category) or "",
            language=UNKNOWN_LANGUAGE if language in {"mul", "unknown"} else str(language),
            prompt=displayable(prompt, MAX_PROMPT),
            **{"text": prompt, "reply_tokens": asked.reply_tokens or 64, **fields},
        )

    if asked.drawn is not None:
        benchmark, prompts = asked.drawn
        for own in prompts:
            for number, seed in enumerate(benchmark.drawing.seeds if benchmark.drawing else ()):
                yield question(
                    f"{own.id}/{seed}", own.prompt, own, drawing=benchmark.drawing, seed=seed,
                    answer=(task.id, own.id, number),
                )  # fmt: skip
    elif asked.recognised is not None:
        for wanted in asked.recognised.wanted:
            yield question(
                wanted.item, wanted.prompt, None, drawing=asked.recognised.drawing(wanted),
                seed=wanted.seed, answer=(task.id, wanted.item, 0),
            )  # fmt: skip
    for free in asked.free:
        yield question(
            free.item.id, free.item.question, free.item, text=free.text, picture=free.item.picture,
            answer=(task.id, free.item.id, 0),
        )  # fmt: skip
    for chat in asked.choices:
        # Without its options: an answer that names one of them is nothing to judge.
        yield question(
            chat.item.id, chat.item.question, chat.item, text=chat.text, picture=chat.item.picture
        )


def _is_judged(question: Question, spec: StudySpec) -> bool:
    """Whether raters can judge it: a drawing, or an answer in their language that says more than A."""
    if question.answer is None and any(model.results for model in spec.models):
        return False
    return question.is_drawn or question.language in spec.languages


def _once(questions: Sequence[Question]) -> list[Question]:
    """Without what is asked on both sides: the global one of a suite may contain the region's items."""

    def content(question: Question) -> tuple[str, Picture | None, int]:
        return question.text, question.picture, question.seed

    of_region = {content(q) for q in questions if q.side == "regional"}
    return [q for q in questions if q.side == "regional" or content(q) not in of_region]


def _sampled(questions: Sequence[Question], count: int, seed: int) -> list[Question]:
    """`count` questions of each side, in turn from each category, in their order; and all gold."""

    def place(question: Question) -> bytes:
        return hashlib.sha256(f"{seed}|{question.id}".encode()).digest()

    turn: Counter[tuple[str, str]] = Counter()
    ranked: dict[str, list[tuple[int, bytes, str]]] = {}
    for question in sorted(questions, key=place):
        if question.gold is None:
            cell = question.side, question.category
            ranked.setdefault(question.side, []).append((turn[cell], place(question), question.id))
            turn[cell] += 1
    taken = {name for own in ranked.values() for *_, name in sorted(own)[:count]}
    return [q for q in questions if q.gold is not None or q.id in taken]
