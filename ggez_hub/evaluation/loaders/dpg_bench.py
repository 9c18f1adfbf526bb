"""DPG-Bench (TencentQQGYLab/ELLA): long prompts, and yes-or-no questions about what was drawn.

Parts of `files`: `questions`, the CSV with a row for each question; and `prompts`, a text file for each
item named by its id. The prompt is that of the file; without `prompts` the column `text`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ggez_hub.evaluation.items import BadItems
from ggez_hub.evaluation.loaders.base import Loader, Options, Part, Prompted, Source
from ggez_hub.evaluation.loaders.rows import Rows

QUESTIONS, PROMPTS = "questions", "prompts"
COLUMNS = {
    "item_id": "text",
    "text": "any text",
    "keywords": "any text?",
    "proposition_id": "whole",
    "dependency": "text",
    "category_broad": "any text?",
    "category_detailed": "any text?",
    "tuple": "any text?",
    "question_natural_language": "text",
}
ANSWERS = ("yes", "no")
NO_PARENT = 0


def _read(source: Source, options: Options) -> Iterator[Prompted]:
    if QUESTIONS not in source.parts:
        raise BadItems("DPG-Bench needs the part 'questions' in `files`")
    written = {path.stem: path for path in source.parts.get(PROMPTS, ())}
    for rows in source.rows(QUESTIONS, COLUMNS):
        by_item: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
        for number, row in enumerate(rows.values):
            by_item.setdefault(row["item_id"], []).append((number, row))
        for item, own in by_item.items():
            yield Prompted(
                id=item,
                image=item,
                picture=None,
                country=None,
                language="en",
                category=None,
                prompt=_prompt(rows, item, own, written),
                parts=_parts(rows, own),
            )


def _prompt(
    rows: Rows,
    item: str,
    own: list[tuple[int, Mapping[str, Any]]],
    written: Mapping[str, Path],
) -> str:
    """The prompt of an item: one text, whichever of its rows has it."""
    if written:
        if item not in written:
            raise rows.off(own[0][0], "item_id", f"is {item!r}, of which there is no prompt file")
        prompt = written[item].read_text(encoding="utf-8").strip()
    else:
        texts = dict.fromkeys(t for _, row in own if (t := row["text"].strip()))
        if len(texts) > 1:
            raise rows.off(own[0][0], "text", f"has {len(texts)} different prompts of {item!r}")
        prompt = next(iter(texts), "")
    if not prompt:
        raise rows.off(own[0][0], "text", f"holds no prompt of {item!r}")
    return prompt


def _parts(rows: Rows, own: list[tuple[int, Mapping[str, Any]]]) -> tuple[Part, ...]:
    """The questions of an item, each after those that it depends on."""
    parts: dict[int, Part] = {}
    lines: dict[int, int] = {}
    for line, row in own:
        number = row["proposition_id"]
        if number in parts:
            raise rows.off(line, "proposition_id", f"is {number} twice in an item")
        parents = row["dependency"].split(",")
        if not all(parent.strip().isdecimal() for parent in parents):
            raise rows.off(
                line, "dependency", f"is {row['dependency']!r}, it should be numbers with commas"
            )
        lines[number] = line
        parts[number] = Part(
            number=number,
            question=row["question_natural_language"],
            options=ANSWERS,
            gold=0,
            parents=tuple(int(parent) for parent in parents if int(parent) != NO_PARENT),
        )
    for number, part in parts.items():
        if lost := [parent for parent in part.parents if parent not in parts]:
            raise rows.off(lines[number], "dependency", f"names {lost[0]}, which is no question")
    return _ordered(rows, parts, lines)


def _ordered(rows: Rows, parts: Mapping[int, Part], lines: Mapping[int, int]) -> tuple[Part, ...]:
    placed: dict[int, Part] = {}
    while len(placed) < len(parts):
        ready = [n for n in parts if n not in placed and placed.keys() >= {*parts[n].parents}]
        if not ready:
            first = next(n for n in parts if n not in placed)
            raise rows.off(lines[first], "dependency", f"goes round in a circle from {first}")
        placed |= {n: parts[n] for n in ready}
    return tuple(placed.values())


LOADER = Loader("prompts", Options, _read)
