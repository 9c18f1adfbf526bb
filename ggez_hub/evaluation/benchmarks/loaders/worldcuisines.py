"""WorldCuisines: questions on dishes in thirty languages (`worldcuisines/vqa`, and its v1.1).

The first version counts its answers from 1 and writes the options into the prompt, as numbered
lines; version 1.1 counts from 0. Pictures are addresses: those of food-kb, which holds them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pydantic import Field

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.loaders.base import (
    Choice,
    Item,
    Loader,
    OpenQuestion,
    Options,
    Source,
    embedded,
)
from ggez_hub.evaluation.benchmarks.loaders.rows import Row, read_rows

OPTIONS = 5
# Of a dish, food-kb has up to eight pictures, each beside its address.
KB_IMAGES = range(1, 9)
KB_COLUMNS = {
    name: kind
    for number in KB_IMAGES
    for name, kind in ((f"image{number}", "image?"), (f"image{number}_url", "any text?"))
}
COLUMNS = {
    "qa_id": "text",
    "lang": "text",
    "food_id": "text",
    "prompt_id": "text or whole?",
    "prompt_type": "text or whole",
    "multi_choice_prompt": "text",
    "image_url": "text",
    "multi_choice_answer": "whole",
}
COLUMNS_OPEN = {
    **{name: kind for name, kind in COLUMNS.items() if not name.startswith("multi_choice")},
    "open_ended_prompt": "text",
    "answer": "text",
}
COLUMNS_1_1 = {
    "question": "text",
    "options": "texts",
    "mcq_answer_index": "whole",
    "image_path": "text",
    "lang": "text?",
}
OPTION = re.compile(r"^\s*(\d)\s*[.)]\s*(\S.*?)\s*$", re.MULTILINE)
# Tags of the data set that are not BCP 47: a register or a spelling follows the language.
TAG = re.compile(r"^[a-z]{2,3}(?=$|[_-])")


class VqaOptions(Options):
    """`prompt_types`: 1 no context, 2 location, 3 context, 4 adversarial; all if left out."""

    prompt_types: list[int] = Field(default=[1, 2, 3, 4], min_length=1)


def _read(source: Source, options: VqaOptions) -> Iterator[Choice]:
    for row, dish in _dishes(source, options, COLUMNS):
        question, choices = _options(row)
        gold = row.option("multi_choice_answer", OPTIONS, first=1)
        yield Choice(**vars(dish), question=question, options=choices, gold=gold)


def _read_open(source: Source, options: VqaOptions) -> Iterator[OpenQuestion]:
    """The same questions without options; `answer` is the one reference."""
    for row, dish in _dishes(source, options, COLUMNS_OPEN):
        yield OpenQuestion(
            **vars(dish), question=row["open_ended_prompt"], references=(row["answer"],)
        )


def _dishes(
    source: Source, options: VqaOptions, columns: Mapping[str, str]
) -> Iterator[tuple[Row, Item]]:
    """The rows with the prompt types that are asked for."""
    pictures = _food_kb(source)
    for row in source.all_rows(columns):
        if not str(row["prompt_type"]).isdecimal():
            raise row.off("prompt_type", f"is {row['prompt_type']!r}, not a number")
        if int(row["prompt_type"]) not in options.prompt_types:
            continue
        url = row["image_url"]
        yield (
            row,
            Item(
                id=f"{row['qa_id']}/{row['lang']}",
                # All pictures of a dish are one: each of them gives the answer away.
                image=row["food_id"],
                picture=pictures.get(url) or source.picture(url),
                language=_language(row["lang"]),
                category=f"prompt type {row['prompt_type']}",
            ),
        )


def _read_1_1(source: Source, options: Options) -> Iterator[Choice]:
    pictures = _food_kb(source)
    for part in source.parts:
        for number, row in enumerate(source.rows(part, COLUMNS_1_1)):
            place = row["image_path"]
            yield Choice(
                id=f"{part}-{number:06}",
                image=place,
                picture=pictures.get(place) or source.picture(place),
                language=_language(row["lang"]) if row.get("lang") else None,
                question=row["question"],
                options=tuple(row["options"]),
                gold=row.option("mcq_answer_index", len(row["options"])),
            )


def _options(row: Row) -> tuple[str, tuple[str, ...]]:
    """The question, and the options of the numbered lines that follow it."""
    prompt = row["multi_choice_prompt"]
    found = list(OPTION.finditer(prompt))
    if [int(line[1]) for line in found] != [*range(1, OPTIONS + 1)]:
        raise row.off(
            "multi_choice_prompt",
            f"has {len(found)} numbered options, it should have {OPTIONS}, from 1 on,",
        )
    return prompt[: found[0].start()].strip(), tuple(line[2] for line in found)


def _language(tag: str) -> str | None:
    """The language of a tag such as `id_formal`, `zh_cn` or `nan` (Min Nan, which is not a number)."""
    found = TAG.match(tag)
    if found is None:
        return None
    import langcodes

    return langcodes.standardize_tag(found[0])


def _food_kb(source: Source) -> Mapping[str, bytes]:
    """Address -> picture."""
    found: dict[str, bytes] = {}
    for path in source.extra:
        has_addresses = False
        for row in read_rows(path, KB_COLUMNS):
            has_addresses = has_addresses or bool(row.get("image1_url"))
            for number in KB_IMAGES:
                value, url = row.get(f"image{number}"), row.get(f"image{number}_url")
                if value and url and (data := embedded(value, source)[1]) is not None:
                    found[url] = data
        if not has_addresses:
            raise GgezError(f"{path} has no column 'image1_url' with addresses")
    return found


LOADER = Loader("choices", VqaOptions, _read)
LOADER_OPEN = Loader("answers", VqaOptions, _read_open)
LOADER_1_1 = Loader("choices", Options, _read_1_1)
