"""Search: captions are looked for among all pictures of a benchmark, pictures among all captions.

The queries are those of one side, select or report; what is searched is the same on both: every
picture of the data set and every caption, as published figures have it. A picture is its bytes, in
however many rows it stands: all their captions are right for it, and none of them counts as wrong.
A text that is a caption of two pictures is one candidate, and right for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ggez_hub.evaluation.items import BadItems
from ggez_hub.evaluation.loaders import Captioned, Item
from ggez_hub.evaluation.questions import OPTIONS, Questions
from ggez_hub.evaluation.recording import details_of
from ggez_hub.weights import digest_json


@dataclass(frozen=True, eq=False)
class Gallery:
    """N different pictures and M different captions.

    items     (N) of each picture the first item that shows it
    texts     (M) the captions; those of pictures that are gone are among them
    text_ids  (M)
    own       (N) of each picture the rows of its captions
    """

    items: tuple[Captioned, ...]
    texts: tuple[str, ...]
    text_ids: tuple[str, ...]
    own: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, task: str, items: Sequence[Item]) -> Gallery:
        """The gallery of all items of a task; raises BadItems where there is nothing to search."""
        captioned = [item for item in items if isinstance(item, Captioned)]
        text_ids: dict[str, str] = {}
        for item in captioned:
            for number, caption in enumerate(item.captions):
                text_ids.setdefault(caption, f"{item.id}#{number}")
        row = {caption: number for number, caption in enumerate(text_ids)}
        first: dict[bytes, Captioned] = {}
        own: dict[bytes, dict[int, None]] = {}
        for item in captioned:
            if item.picture is not None:
                first.setdefault(item.picture, item)
                captions = own.setdefault(item.picture, {})
                captions.update(dict.fromkeys(row[caption] for caption in item.captions))
        if min(len(first), len(text_ids)) < OPTIONS:
            raise BadItems(
                f"task {task!r}: {len(first)} pictures with {len(text_ids)} different captions "
                f"are there, at least {OPTIONS} are needed"
            )
        return cls(
            tuple(first.values()),
            tuple(text_ids),
            tuple(text_ids.values()),
            tuple(tuple(rows) for rows in own.values()),
        )

    @property
    def pictures(self) -> tuple[bytes, ...]:
        """The pictures (N), as encoded files."""
        return tuple(item.picture or b"" for item in self.items)

    def rows_of(self, items: Sequence[Item]) -> list[int]:
        """The rows of the pictures that these items show, each once."""
        row = {picture: number for number, picture in enumerate(self.pictures)}
        return list(dict.fromkeys(row[item.picture] for item in items if item.picture is not None))


def _text_to_image(gallery: Gallery, rows: Sequence[int]) -> tuple[tuple[bytes, ...], Questions]:
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
    texts = tuple(gallery.texts[text] for text in used)
    ids = tuple(item.id for item in gallery.items)
    return gallery.pictures, Questions(
        items=tuple(f"{ids[row]}#{place}" for row, place in asked),
        gold=tuple(ids[row] for row, _ in asked),
        texts=texts,
        asked_by="text",
        queries=np.array([used[text] for text in queries], dtype=np.intp),
        options=np.broadcast_to(np.arange(len(ids)), right.shape),
        right=right,
        option_ids=ids,
        names_gold=True,
        details=details_of(
            [gallery.items[row] for row, _ in asked],
            [digest_json(gallery.texts[text]) for text in queries],
        ),
    )


def _image_to_text(gallery: Gallery, rows: Sequence[int]) -> tuple[tuple[bytes, ...], Questions]:
    """The pictures in these rows, whose captions are looked for among all captions."""
    right = np.zeros((len(rows), len(gallery.texts)), dtype=np.bool_)
    for question, row in enumerate(rows):
        right[question, list(gallery.own[row])] = True
    items = [gallery.items[row] for row in rows]
    return tuple(item.picture or b"" for item in items), Questions(
        items=tuple(item.id for item in items),
        gold=tuple(gallery.text_ids[gallery.own[row][0]] for row in rows),
        texts=gallery.texts,
        asked_by="picture",
        queries=np.arange(len(rows)),
        options=np.broadcast_to(np.arange(len(gallery.texts)), right.shape),
        right=right,
        option_ids=gallery.text_ids,
        names_gold=True,
        # Everything is a candidate: one prompt for all.
        details=details_of(items, [digest_json(list(gallery.texts))] * len(rows)),
    )


SEARCHES: Mapping[str, Callable[[Gallery, Sequence[int]], tuple[tuple[bytes, ...], Questions]]] = {
    "text_to_image_r1": _text_to_image,
    "image_to_text_r1": _image_to_text,
}
