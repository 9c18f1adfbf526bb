"""The questions of a task: each row of a split is a picture with one name.

text_to_image_r1   a name; the candidates are all pictures of the split
image_to_text_r1   a picture; the candidates are all different names
choice_4           a picture; its name and three others of the same group

Two pictures of one name are both right answers to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ggez_hub.digests import digest_json
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.loaders import Captioned, Choice
from ggez_hub.evaluation.benchmarks.loaders.rows import read_rows
from ggez_hub.evaluation.benchmarks.multiple_choice import MultipleChoice
from ggez_hub.evaluation.benchmarks.questions import ChatQuestion, QuestionSet
from ggez_hub.evaluation.benchmarks.search import SEARCHES, Gallery, about_pictures
from ggez_hub.evaluation.benchmarks.task import Task
from ggez_hub.regions import find_region

OPTIONS = 4


def read_items(path: Path, task: Task) -> tuple[Captioned, ...]:
    """The rows of a split; raises GgezError.

    A picture without a name in the column is not asked about, but stays among those that are searched.
    """
    columns = task.columns
    kinds = {columns.id: "text", columns.image: "image"}
    if columns.group:
        kinds[columns.group] = "text"
    regions = [find_region(region) for region in task.regions]
    country = regions[0].id if len(regions) == 1 and regions[0].is_country else None
    items: dict[str, Captioned] = {}
    for row in read_rows(path, {**kinds, columns.text: "text or null"}):
        item, picture, text = row[columns.id], row[columns.image]["bytes"], row[columns.text]
        if item in items:
            raise row.off(columns.id, f"is {item!r}, as in a row before,")
        if not picture:
            raise row.off(
                columns.image,
                "holds no picture",
                "Embed the files: `datasets` keeps bytes in the parquet file with embed_external_files.",
            )
        items[item] = Captioned(
            id=item,
            image=hashlib.sha256(picture).hexdigest(),
            picture=picture,
            country=country,
            language=task.language,
            category=row.get(columns.group),
            captions=() if text is None else (text,),
        )
    if not items:
        raise GgezError(f"{path} has no rows")
    return tuple(items.values())


def ask_task(task: Task, items: Sequence[Captioned]) -> QuestionSet:
    """The questions of a task; raises GgezError if there are too few names to choose from."""
    gallery = Gallery.of(task.id, items, of_rows=True)
    if task.metric in SEARCHES:
        return QuestionSet(*SEARCHES[task.metric](gallery, gallery.named_rows), ())
    options = _draw_options(gallery, task.seed)
    prompts = [digest_json([gallery.texts[text] for text in row]) for row in options]
    pictures, questions = about_pictures(gallery, gallery.named_rows, options, prompts)
    return QuestionSet(pictures, questions, (), _chats(task, gallery, questions))


def _chats(task: Task, gallery: Gallery, questions: MultipleChoice) -> tuple[ChatQuestion, ...]:
    if task.question is None:
        return ()
    found = []
    for row, options in zip(gallery.named_rows, questions.options, strict=True):
        item = gallery.items[row]
        choice = Choice(
            **item.common,
            question=task.question,
            options=tuple(gallery.texts[text] for text in options),
            gold=0,
        )
        found.append(ChatQuestion(task.question, task.question, choice, tuple(range(OPTIONS))))
    return tuple(found)


def _draw_options(gallery: Gallery, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.intp]]:
    """The rows (n, 4) of the texts that each named picture has as options, its own first."""
    groups: dict[str | None, set[int]] = {}
    for item, texts in zip(gallery.items, gallery.own, strict=True):
        groups.setdefault(item.category, set()).update(texts)
    options = []
    for row in gallery.named_rows:
        item, (own,) = gallery.items[row], gallery.own[row]
        wrong = _draw(gallery.texts, groups[item.category] - {own}, item.id, seed)
        if len(wrong) < OPTIONS - 1:
            # A group of fewer than four names: the rest comes from the others.
            rest = set(range(len(gallery.texts))) - {own, *wrong}
            wrong += _draw(gallery.texts, rest, item.id, seed)
        options.append([own, *wrong[: OPTIONS - 1]])
    return np.array(options, dtype=np.intp)


def _draw(texts: Sequence[str], candidates: set[int], item: str, seed: int) -> list[int]:
    """At most three of the candidates, by a hash: the same for any order of rows and any library."""

    def order(text: int) -> bytes:
        return hashlib.sha256(f"{seed}\0{item}\0{texts[text]}".encode()).digest()

    return sorted(candidates, key=order)[: OPTIONS - 1]
