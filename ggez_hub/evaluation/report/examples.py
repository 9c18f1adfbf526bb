"""Single questions: what the base got wrong and the merged model got right, and the reverse."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ggez_hub.cards.curve import Split
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.outcomes import Outcomes
from ggez_hub.evaluation.benchmarks.drawing_scores import Judged, NotJudged
from ggez_hub.evaluation.benchmarks.preparation import PreparedTask
from ggez_hub.evaluation.benchmarks.questions import QuestionSet
from ggez_hub.evaluation.benchmarks.task import Task
from ggez_hub.evaluation.benchmarks.task_questions import read_items
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.extras import require
from ggez_hub.images import BadPicture, to_rgb
from ggez_hub.parity.betas import Beta

# Of each kind; a page with hundreds of pictures is no longer read.
EACH = 6
# A page carries its pictures: larger ones are made smaller.
MAX_PICTURE = 200_000
SIDE = 384
SHA256 = re.compile(r"^[0-9a-f]{64}\Z")
MAGIC = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}

TEST: Split = "test"


class Shown(NamedTuple):
    """What is to be seen of an item: its text, and its picture as a file."""

    text: str | None
    picture: bytes | None


# By the id of a task: the items of its report side by id; none if they are not on this machine.
Material: TypeAlias = Callable[[str], Mapping[str, Shown]]


def task_files(tasks: Sequence[Task], folder: Path) -> Material:
    """The data of tasks whose files are their splits; answers are items there."""
    files = {task.id: (task, folder / task.splits[TEST]) for task in tasks if TEST in task.splits}

    def items(name: str) -> Mapping[str, Shown]:
        if name not in files or not files[name][1].is_file():
            return {}
        task, path = files[name]
        return {
            item.id: Shown(next(iter(item.captions), None), item.picture)
            for item in read_items(path, task)
        }

    return items


def prepared_tasks(tasks: Sequence[PreparedTask]) -> Material:
    """Tasks with their questions, whose answers are texts."""
    posed = {task.id: task.asked[TEST] for task in tasks if TEST in task.asked}
    return lambda name: _questions(posed[name]) if name in posed else {}


def _questions(asked: QuestionSet) -> Mapping[str, Shown]:
    if asked.recognised is not None:
        return {w.item: Shown(w.prompt, None) for w in asked.recognised.wanted}
    if asked.drawn is not None:
        return {prompt.id: Shown(prompt.prompt, None) for prompt in asked.drawn[1]}
    if asked.free:
        return {f.item.id: Shown(f.item.question, f.item.picture) for f in asked.free}
    if asked.questions is None or asked.questions.asked_by == "text":
        return {}
    questions = asked.questions
    said: list[str | None] = [chat.item.question for chat in asked.choices]
    said = said or [None] * len(questions.items)
    return {
        item: Shown(text, asked.pictures[row])
        for item, text, row in zip(questions.items, said, questions.queries, strict=True)
    }


def examples(
    evidence: Evidence,
    base_beta: Beta | None,
    beta: Beta,
    scale: str | None,
    material: Material | None = None,
) -> list[dict[str, Any]]:
    """A few questions of the regional report side, chosen by a hash, not picked.

    Those that base and merged model answer otherwise; of one model (`base_beta` is None) those that
    it answers rightly, and others. `scale` is that of the tasks, any if None. Raises UsageProblem if
    `material` has none of the tasks.
    """
    merged = evidence.tasks_at(beta, TEST)
    base = None if base_beta is None else evidence.tasks_at(base_beta, TEST)
    found = []
    named = [
        name
        for name, record in evidence.header.tasks.items()
        if record.side == "regional"
        and scale in {None, record.scale}
        and name in merged
        and (base is None or (name in base and merged[name].items == base[name].items))
    ]
    known = {name: material(name) for name in named} if material else {}
    if material and named and not any(known.values()):
        raise UsageProblem(
            "the data that were given are of no regional task", "Give the tasks' own data set."
        )
    for won in (True, False):
        candidates = [
            (name, row)
            for name in named
            for row in np.flatnonzero(
                (merged[name].correct == won) & (base is None or base[name].correct != won)
            )
        ]
        candidates.sort(
            key=lambda c: hashlib.sha256(f"{c[0]}\0{merged[c[0]].items[c[1]]}".encode()).digest()
        )
        found += [
            _example(
                name,
                int(row),
                merged[name],
                None if base is None else base[name],
                known.get(name, {}),
                evidence.place,
                won=won,
            )
            for name, row in candidates[:EACH]
        ]
    return found


def _example(
    task: str,
    row: int,
    merged: Outcomes,
    base: Outcomes | None,
    items: Mapping[str, Shown],
    place: Path,
    *,
    won: bool,
) -> dict[str, Any]:
    def shown(item: str, drawn: bytes | None = None) -> dict[str, str | None]:
        text, picture = items.get(item, Shown(None, None))
        return {
            "id": item or "unreadable",
            "text": text,
            "picture": _picture(drawn or picture),
        }

    def answer(outcomes: Outcomes) -> dict[str, str | None]:
        drawn = _drawn(outcomes, row, place)
        if outcomes.credit is None:
            return shown(outcomes.predicted[row], drawn)
        worth = f"worth {outcomes.credit[row]:.2g} of 1"
        return {"id": worth, "text": None, "picture": _picture(drawn)}

    item = shown(merged.items[row])
    return {
        "task": task,
        "won": won,
        "item": item,
        # Of what has parts there is no one right answer.
        "right": shown(merged.gold[row]) if merged.credit is None else item,
        "base": None if base is None else answer(base),
        "merged": answer(merged),
        "drawn": _drawn(merged, row, place) is not None,
    }


def _drawn(outcomes: Outcomes, row: int, place: Path) -> bytes | None:
    """The first picture that a model drew, if it did and the results folder holds it."""
    raw = outcomes.details.raw[row] if outcomes.details else None
    try:
        name = Judged.from_text(raw).pictures[0]
    except NotJudged:
        # Of what is recognised, the drawing itself is the answer.
        name = raw or ""
    path = place / "pictures" / f"{name}.png"
    # The name is from a file of predictions, which may be a stranger's.
    return path.read_bytes() if SHA256.match(name) and path.is_file() else None


def _picture(data: bytes | None) -> str | None:
    """A data: address of a picture, made smaller if it is large; None for what is not one."""
    if data is not None and len(data) > MAX_PICTURE:
        data = _smaller(data)
    kind = next((kind for magic, kind in MAGIC.items() if (data or b"").startswith(magic)), None)
    if data is None or kind is None:
        return None
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _smaller(data: bytes) -> bytes | None:
    require("eval", "PIL")
    stream = io.BytesIO()
    try:
        small = to_rgb(data)
    except BadPicture:
        return None
    small.thumbnail((SIDE, SIDE))
    small.save(stream, "JPEG")
    return stream.getvalue()
