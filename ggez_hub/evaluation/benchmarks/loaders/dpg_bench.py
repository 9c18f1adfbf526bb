"""DPG-Bench (TencentQQGYLab/ELLA): long prompts, and yes-or-no questions about what was drawn.

Parts of `files`: `questions`, the CSV with a row for each question; and `prompts`, a text file for each
item named by its id. The prompt is that of the file; without `prompts` the column `text`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.loaders.base import (
    DrawingPrompt,
    Loader,
    Options,
    PictureQuestion,
    Source,
)
from ggez_hub.evaluation.benchmarks.loaders.rows import Row

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


def _read(source: Source, options: Options) -> Iterator[DrawingPrompt]:
    if QUESTIONS not in source.parts:
        raise GgezError("DPG-Bench needs the part 'questions' in `files`")
    written = {path.stem: path for path in source.parts.get(PROMPTS, ())}
    # The questions of an item are in one file.
    by_item: dict[tuple[Path, str], list[Row]] = {}
    for row in source.rows(QUESTIONS, COLUMNS):
        by_item.setdefault((row.path, row["item_id"]), []).append(row)
    for (_, item), own in by_item.items():
        yield DrawingPrompt(
            id=item,
            image=item,
            language="en",
            prompt=_prompt(item, own, written),
            parts=_parts(own),
            script=_script(own),
        )


def _prompt(item: str, own: list[Row], written: Mapping[str, Path]) -> str:
    if written:
        if item not in written:
            raise own[0].off("item_id", f"is {item!r}, which has no prompt file")
        prompt = written[item].read_text(encoding="utf-8").strip()
    else:
        texts = dict.fromkeys(t for row in own if (t := row["text"].strip()))
        if len(texts) > 1:
            raise own[0].off("text", f"has {len(texts)} different prompts of {item!r}")
        prompt = next(iter(texts), "")
    if not prompt:
        raise own[0].off("text", f"holds an empty prompt of {item!r}")
    return prompt


def _parts(own: list[Row]) -> tuple[PictureQuestion, ...]:
    """The questions of an item, each after those that it depends on."""
    parts: dict[int, PictureQuestion] = {}
    asked: dict[int, Row] = {}
    for row in own:
        number = row["proposition_id"]
        if number in parts:
            raise row.off("proposition_id", f"is {number} twice in an item")
        parents = row["dependency"].split(",")
        if not all(parent.strip().isdecimal() for parent in parents):
            raise row.off(
                "dependency", f"is {row['dependency']!r}, it should be numbers with commas"
            )
        asked[number] = row
        parts[number] = PictureQuestion(
            number=number,
            question=row["question_natural_language"],
            options=ANSWERS,
            gold=0,
            parents=tuple(int(parent) for parent in parents if int(parent) != NO_PARENT),
            category=_category(row),
        )
    for number, part in parts.items():
        if lost := [parent for parent in part.parents if parent not in parts]:
            raise asked[number].off("dependency", f"names {lost[0]}, which is not a question")
    return _ordered(parts, asked)


def _script(own: list[Row]) -> tuple[int, ...]:
    """The questions of an item that ELLA's `compute_dpg_bench.py` reads, in its order.

    It skips the first row of the file, and where an item's rows are not consecutive it
    keeps the last of the blocks.
    """
    block: list[Row] = []
    for row in own:
        if block and row.number != block[-1].number + 1:
            block = []
        block.append(row)
    return tuple(row["proposition_id"] for row in block if row.number)


def _category(row: Row) -> str | None:
    """The question's category of the first level: entity, attribute, relation, global or other.

    As the benchmark's own script has it, from `attribute - color (...)` in `tuple`; where that is
    empty, from `category_broad`.
    """
    named = (row["tuple"] or "").partition("(")[0].partition("-")[0] or row["category_broad"] or ""
    return named.strip().lower() or None


def _ordered(
    parts: Mapping[int, PictureQuestion], asked: Mapping[int, Row]
) -> tuple[PictureQuestion, ...]:
    placed: dict[int, PictureQuestion] = {}
    while len(placed) < len(parts):
        ready = [n for n in parts if n not in placed and placed.keys() >= {*parts[n].parents}]
        if not ready:
            first = next(n for n in parts if n not in placed)
            raise asked[first].off("dependency", f"goes round in a circle from {first}")
        placed |= {n: parts[n] for n in ready}
    return tuple(placed.values())


LOADER = Loader("prompts", Options, _read)
