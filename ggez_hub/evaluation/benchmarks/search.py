"""Search: captions are looked for among all pictures, pictures among all captions.

In a benchmark the queries are those of one side, select or report; what is searched is the same on
both: every picture of the data set and every caption, as published figures have it. A picture is its
bytes, in however many rows it is. In a task every row is a picture with at most one caption.

All captions of a picture are right for it, and none of them counts as wrong. A text that is a caption
of two pictures is one candidate, and right for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ggez_hub.digests import digest_json
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.loaders import Captioned, Item
from ggez_hub.evaluation.benchmarks.multiple_choice import MultipleChoice, details_of
from ggez_hub.quantities import counted

FEWEST = 4


@dataclass(frozen=True, eq=False)
class Gallery:
    """N pictures and M different captions.

    items     (N) the item of each picture
    texts     (M) the captions; those of missing pictures are among them
    text_ids  (M)
    own       (N) of each picture the rows of its captions
    of_rows   whether each row of the data is a picture, with one caption
    """

    items: tuple[Captioned, ...]
    texts: tuple[str, ...]
    text_ids: tuple[str, ...]
    own: tuple[tuple[int, ...], ...]
    of_rows: bool

    @classmethod
    def of(cls, task: str, items: Sequence[Item], *, of_rows: bool = False) -> Gallery:
        """The gallery of all items of a task; raises GgezError where there is nothing to search."""
        captioned = [item for item in items if isinstance(item, Captioned)]
        text_ids: dict[str, str] = {}
        for item in captioned:
            for number, caption in enumerate(item.captions):
                text_ids.setdefault(caption, item.id if of_rows else f"{item.id}#{number}")
        row = {caption: number for number, caption in enumerate(text_ids)}
        first: dict[bytes | str, Captioned] = {}
        own: dict[bytes | str, dict[int, None]] = {}
        for item in captioned:
            if item.picture is not None:
                key = item.id if of_rows else item.picture
                first.setdefault(key, item)
                captions = own.setdefault(key, {})
                captions.update(dict.fromkeys(row[caption] for caption in item.captions))
        if min(len(first), len(text_ids)) < FEWEST:
            raise GgezError(
                f"task {task!r}: {counted(len(first), 'picture')} with {counted(len(text_ids), 'different caption')} "
                f"are there, at least {FEWEST} are needed"
            )
        return cls(
            tuple(first.values()),
            tuple(text_ids),
            tuple(text_ids.values()),
            tuple(tuple(rows) for rows in own.values()),
            of_rows,
        )

    @property
    def pictures(self) -> tuple[bytes, ...]:
        return tuple(item.picture or b"" for item in self.items)

    def rows_of(self, items: Sequence[Item]) -> list[int]:
        """The rows of the pictures that these items show, each once."""
        row = {picture: number for number, picture in enumerate(self.pictures)}
        return list(dict.fromkeys(row[item.picture] for item in items if item.picture is not None))

    @property
    def named_rows(self) -> list[int]:
        return [row for row, own in enumerate(self.own) if own]


def text_to_image(
    gallery: Gallery, rows: Sequence[int]
) -> tuple[tuple[bytes, ...], MultipleChoice]:
    """Every caption of the pictures in these rows, looked for among all pictures."""
    right_of: dict[int, list[int]] = {}
    for row, own in enumerate(gallery.own):
        for text in own:
            right_of.setdefault(text, []).append(row)
    asked = [(row, place) for row in rows for place in range(len(gallery.own[row]))]
    queries = [gallery.own[row][place] for row, place in asked]
    right = np.zeros((len(asked), len(gallery.items)), dtype=np.bool_)
    for question, text in enumerate(queries):
        right[question, right_of[text]] = True
    used = {text: number for number, text in enumerate(dict.fromkeys(queries))}
    ids = tuple(item.id for item in gallery.items)
    return gallery.pictures, MultipleChoice(
        items=tuple(ids[r] if gallery.of_rows else f"{ids[r]}#{place}" for r, place in asked),
        gold=tuple(ids[row] for row, _ in asked),
        texts=tuple(gallery.texts[text] for text in used),
        asked_by="text",
        queries=np.array([used[text] for text in queries], dtype=np.intp),
        options=np.broadcast_to(np.arange(len(ids)), right.shape),
        right=right,
        option_ids=ids,
        names_gold=not gallery.of_rows,
        details=details_of(
            [gallery.items[row] for row, _ in asked],
            [digest_json(gallery.texts[text]) for text in queries],
        ),
    )


def image_to_text(
    gallery: Gallery, rows: Sequence[int]
) -> tuple[tuple[bytes, ...], MultipleChoice]:
    """The pictures in these rows, whose captions are looked for among all captions."""
    options = np.broadcast_to(np.arange(len(gallery.texts)), (len(rows), len(gallery.texts)))
    # Everything is a candidate: one prompt for all.
    prompts = [digest_json(list(gallery.texts))] * len(rows)
    return about_pictures(gallery, rows, options, prompts)


def about_pictures(
    gallery: Gallery, rows: Sequence[int], options: np.ndarray, prompts: Sequence[str]
) -> tuple[tuple[bytes, ...], MultipleChoice]:
    """The pictures in these rows, each with candidates among the captions: `options` (n, k)."""
    right = np.zeros(options.shape, dtype=np.bool_)
    for question, row in enumerate(rows):
        right[question] = np.isin(options[question], gallery.own[row])
    items = [gallery.items[row] for row in rows]
    return tuple(item.picture or b"" for item in items), MultipleChoice(
        items=tuple(item.id for item in items),
        gold=tuple(gallery.text_ids[gallery.own[row][0]] for row in rows),
        texts=gallery.texts,
        asked_by="picture",
        queries=np.arange(len(rows)),
        options=options,
        right=right,
        option_ids=gallery.text_ids,
        names_gold=not gallery.of_rows,
        details=details_of(items, prompts),
    )


SEARCHES: Mapping[
    str, Callable[[Gallery, Sequence[int]], tuple[tuple[bytes, ...], MultipleChoice]]
] = {"text_to_image_r1": text_to_image, "image_to_text_r1": image_to_text}
