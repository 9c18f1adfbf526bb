"""Single questions: what the base got wrong and the merged model got right, and the reverse."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.choosing import REPORT
from ggez_hub.evaluation.evidence import Evidence
from ggez_hub.evaluation.items import Items, read_items
from ggez_hub.evaluation.outcomes import Outcomes
from ggez_hub.evaluation.task import Task

# Of each kind; a page with hundreds of pictures is no longer read.
EACH = 6
# A page carries its pictures: larger ones are left out.
MAX_PICTURE = 200_000
MAGIC = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


@dataclass(frozen=True, eq=False)
class Material:
    """The tasks' own data, where it lies on this machine: pictures and texts by item."""

    tasks: Sequence[Task]
    folder: Path

    def items(self, name: str) -> Items | None:
        """The items of a task's report side; None if the folder or the tasks do not have them."""
        task = next((t for t in self.tasks if t.id == name), None)
        path = self.folder / task.splits[REPORT] if task and REPORT in task.splits else None
        return read_items(path, task.columns) if task and path and path.is_file() else None


def examples(
    evidence: Evidence, beta: float, scale: str, material: Material | None = None
) -> list[dict[str, Any]]:
    """A few questions of the regional report side, chosen by a hash: nobody picked them.

    Raises UsageProblem if `material` has none of the tasks.
    """
    merged, base = evidence.tasks_at(beta, REPORT), evidence.tasks_at(0.0, REPORT)
    found = []
    named = [
        name
        for name, record in evidence.header.tasks.items()
        if record.side == "regional" and record.scale == scale and name in merged and name in base
    ]
    known = {name: material.items(name) for name in named} if material else {}
    if material and not any(known.values()):
        raise UsageProblem(
            f"{material.folder} holds the data of no regional task", "Give the tasks' own data set."
        )
    for won in (True, False):
        candidates = [
            (name, row)
            for name in named
            if merged[name].items == base[name].items
            for row in np.flatnonzero((merged[name].correct == won) & (base[name].correct != won))
        ]
        candidates.sort(
            key=lambda c: hashlib.sha256(f"{c[0]}\0{merged[c[0]].items[c[1]]}".encode()).digest()
        )
        for name, row in candidates[:EACH]:
            found.append(
                _example(name, int(row), merged[name], base[name], known.get(name), won=won)
            )
    return found


def _example(
    task: str, row: int, merged: Outcomes, base: Outcomes, items: Items | None, *, won: bool
) -> dict[str, Any]:
    answers = {
        "right": merged.gold[row],
        "base": base.predicted[row],
        "merged": merged.predicted[row],
    }
    rows = {item: number for number, item in enumerate(items.ids)} if items else {}

    def shown(item: str) -> dict[str, str | None]:
        at = rows.get(item)
        if items is None or at is None:
            return {"id": item or "unreadable", "text": None, "picture": None}
        return {"id": item, "text": items.texts[at], "picture": _picture(items.pictures[at])}

    return {
        "task": task,
        "won": won,
        "item": shown(merged.items[row]),
        **{name: shown(item) for name, item in answers.items()},
    }


def _picture(data: bytes) -> str | None:
    """A data: address of a picture, None if it is large or of another format."""
    kind = next((kind for magic, kind in MAGIC.items() if data.startswith(magic)), None)
    if kind is None or len(data) > MAX_PICTURE:
        return None
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
