"""From the rows of a source to examples, as its mapping says."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from typing import Any

from ggez_hub.data import mapping
from ggez_hub.data.cells import (
    Malformed,
    index_of,
    number_of,
    picture_path,
    said,
    scalar,
    text_of,
    texts_of,
)
from ggez_hub.data.example import UNKNOWN, Example
from ggez_hub.data.fields import country_code, country_in_path, language_tag

# Authors of turns, as LLaVA-like corpora and as chat templates name them.
ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
    "system": "system",
}  # fmt: skip


class Builder:
    """Makes the examples of a source's rows.

    Without `answers`, a question whose answer is withheld is an example too: what is held out is
    protected whether its answers are public or not.
    """

    def __init__(self, source: str, spec: mapping.Mapping, *, answers: bool = True) -> None:
        self._source = source
        self._spec = spec
        self._answers = answers

    def examples(self, row: Mapping[str, Any], number: str) -> Iterator[Example | Malformed]:
        """The examples of a row; a view that cannot be made is a Malformed in its place.

        `number` names the row where the mapping has no id.
        """
        spec = self._spec
        try:
            shared = self._shared(row)
            identity = scalar(row, spec.id) if spec.id else number
        except Malformed as problem:
            for _ in spec.examples:
                yield problem
            return
        for view in spec.examples:
            try:
                language = said(row, view.language, language_tag) if view.language else UNKNOWN
                chats = list(_chats(row, view, self._answers))
            except Malformed as problem:
                yield problem
                continue
            for count, messages in enumerate(chats):
                if isinstance(messages, Malformed):
                    yield messages
                    continue
                name = f"{view.key}-{count}" if view.each else view.key
                yield Example(
                    id=f"{self._source}/{identity or number}/{name}",
                    source=self._source,
                    format=view.format,
                    messages=messages,
                    language=language,
                    **shared,
                )

    def _shared(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What the examples of a row share; fields that the mapping does not name are left out."""
        spec = self._spec
        found: dict[str, Any] = {}
        if spec.picture is not None:
            found["picture"] = row.get(spec.picture)
            found["path"] = picture_path(found["picture"])
        if spec.path is not None:
            found["path"] = scalar(row, spec.path) or found.get("path", "")
        if spec.country is not None:
            found["country"] = said(row, spec.country, country_code)
        elif spec.country_in_path is not None:
            found["country"] = country_in_path(scalar(row, spec.country_in_path)) or UNKNOWN
        if spec.location is not None:
            found["location"] = scalar(row, spec.location)
        if spec.category is not None:
            found["category"] = scalar(row, spec.category) or UNKNOWN
        if spec.scores:
            numbers = ((name, number_of(row, column)) for name, column in spec.scores.items())
            found["scores"] = {name: number for name, number in numbers if number is not None}
        return found


def _chats(
    row: Mapping[str, Any], view: mapping.View, answers: bool
) -> Iterator[tuple[tuple[str, str], ...] | Malformed]:
    """The messages of each example of a view; raises Malformed if there can be none."""
    if view.turns:
        yield tuple(_turns(row, view.turns))
    elif view.choice:
        question = text_of(row, view.question)
        options = texts_of(row, view.options) if view.options else None
        if options is not None and len(options) > len(string.ascii_uppercase):
            raise Malformed(f"{view.options}: more than there are letters")
        asked = question if options is None else f"{question}\n{_listed(options)}"
        try:
            answer = _chosen(index_of(row, view.choice.column), view.choice, options)
        except Malformed:
            if answers:
                raise
            yield (("user", asked),)
        else:
            yield (("user", asked), ("assistant", answer))
    elif view.question:
        yield (("user", text_of(row, view.question)), ("assistant", text_of(row, view.answer)))
    elif view.each:
        captions = texts_of(row, view.answer)
        if not captions:
            raise Malformed(f"{view.answer}: empty")
        for caption in captions:
            said = caption.strip()
            yield (("assistant", said),) if said else Malformed(f"{view.answer}: empty")
    else:
        yield (("assistant", text_of(row, view.answer)),)


def _listed(options: list[str]) -> str:
    """A. the first, B. the second, each on a line."""
    letters = string.ascii_uppercase
    return "\n".join(
        f"{letter}. {option}" for letter, option in zip(letters, options, strict=False)
    )


def _chosen(label: int, choice: mapping.Choice, options: list[str] | None) -> str:
    """The answer as it is written: "C. jeepney", or the number where the options have none."""
    if label < 0:
        raise Malformed(f"{choice.column}: the answer is withheld")
    number = label - choice.base
    count = len(options) if options is not None else choice.count or 0
    if not 0 <= number < min(count, len(string.ascii_uppercase)):
        raise Malformed(f"{choice.column}: out of range")
    if options is None:
        return str(label)
    return f"{string.ascii_uppercase[number]}. {options[number]}"


def _turns(row: Mapping[str, Any], column: str) -> Iterator[tuple[str, str]]:
    turns = row.get(column)
    if not isinstance(turns, list) or not turns:
        raise Malformed(f"{column}: wrong type" if turns else f"{column}: empty")
    for turn in turns:
        role = ROLES.get(str(turn.get("from"))) if isinstance(turn, dict) else None
        said = turn.get("value") if isinstance(turn, dict) else None
        if role is None or not isinstance(said, str):
            raise Malformed(f"{column}: wrong type")
        # The mark of where the picture stands belongs to one family's template.
        text = said.replace("<image>", "").strip()
        if role == "assistant" and not text:
            raise Malformed(f"{column}: empty")
        yield role, text
