"""Retrieval sets in mteb's layout: a corpus, queries, and which fits which (`qrels`).

Parts of `files` are `corpus`, `queries` and `qrels`; one of the first two holds the pictures, the other the
texts. Read as captions, a picture has every text that is relevant to it. Read as prompts, every text is to
be drawn, and a judge is asked whether the drawing shows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.loaders.base import (
    Captioned,
    DrawingPrompt,
    Loader,
    Options,
    PictureQuestion,
    Source,
    embedded,
)
from ggez_hub.evaluation.benchmarks.loaders.rows import Row

CORPUS, QUERIES, QRELS = "corpus", "queries", "qrels"
OTHER = {CORPUS: QUERIES, QUERIES: CORPUS}
ID_OF = {CORPUS: "corpus-id", QUERIES: "query-id"}
ANSWERS = ("yes", "no")


class RetrievalOptions(Options):
    """`pictures`: whether they are the corpus (a text looks for them) or the queries."""

    pictures: Literal["corpus", "queries"]


class TextOptions(Options):
    """`texts`: whether they are the queries or the corpus; `question` is what the judge is asked."""

    texts: Literal["corpus", "queries"] = "queries"
    question: str = "Does the picture show this: {text}"


def _read_captions(source: Source, options: RetrievalOptions) -> Iterator[Captioned]:
    _require(source, CORPUS, QUERIES, QRELS)
    pictures = options.pictures
    texts = {row["id"]: row["text"] for row in _texts(source, OTHER[pictures])}
    relevant: dict[str, list[str]] = {}
    columns = {ID_OF[CORPUS]: "text", ID_OF[QUERIES]: "text", "score": "whole"}
    for row in source.rows(QRELS, columns):
        if row["score"] <= 0:
            continue
        text = row[ID_OF[OTHER[pictures]]]
        if text not in texts:
            raise row.off(ID_OF[OTHER[pictures]], f"is {text!r}, which has no text")
        relevant.setdefault(row[ID_OF[pictures]], []).append(texts[text])
    for row in source.rows(pictures, {"id": "text", "image": "image"}):
        if row["id"] not in relevant:
            raise row.off("id", f"is {row['id']!r}, which no row of qrels names")
        image, picture = embedded(row["image"], source)
        yield Captioned(
            id=row["id"],
            image=image or row["id"],
            picture=picture,
            language="en",
            captions=tuple(relevant[row["id"]]),
        )


def _read_prompts(source: Source, options: TextOptions) -> Iterator[DrawingPrompt]:
    _require(source, options.texts)
    for row in _texts(source, options.texts):
        question = options.question.replace("{text}", row["text"])
        yield DrawingPrompt(
            id=row["id"],
            image=row["id"],
            language="en",
            prompt=row["text"],
            parts=(PictureQuestion(1, question, ANSWERS, 0, parents=()),),
        )


def _texts(source: Source, part: str) -> Iterator[Row]:
    return source.rows(part, {"id": "text", "text": "text"})


def _require(source: Source, *parts: str) -> None:
    if missing := [part for part in parts if part not in source.parts]:
        raise GgezError(f"a retrieval set of mteb needs the part {missing[0]!r} in `files`")


CAPTIONS = Loader("captions", RetrievalOptions, _read_captions, QRELS)
PROMPTS = Loader("prompts", TextOptions, _read_prompts)
