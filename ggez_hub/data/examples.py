"""From the rows of a source to examples, as its mapping says."""

from __future__ import annotations

import ast
import math
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ggez_hub.data import mapping
from ggez_hub.data.locale_fields import country_code, country_in_path, language_tag

UNKNOWN = "unknown"


@dataclass(slots=True)
class Example:
    """A picture with a text.

    id        source/row/view; as unique in the output as the source's own ids are
    picture   the cell of the source: bytes and path, or a path; None without a picture
    messages  (role, text) of a chat; a caption is one message of the assistant
    language  BCP 47, country ISO 3166-1 in lower case, or `unknown`
    scores    numbers of the source that are carried along
    """

    id: str
    source: str
    format: str
    messages: tuple[tuple[str, str], ...]
    picture: Any = None
    language: str = UNKNOWN
    country: str = UNKNOWN
    location: str = ""
    path: str = ""
    category: str = UNKNOWN
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The texts of all messages."""
        if len(self.messages) == 1:
            return self.messages[0][1]
        return "\n".join(text for _, text in self.messages)


WHOLE = re.compile(r"-?[0-9]{1,18}")


class Malformed(Exception):
    """A value of a row is not what the mapping says; the reason is a count in the report."""

    def __init__(self, reason: str, row: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.row = row


def picture_path(cell: Any) -> str:
    """The path of a picture's cell, or nothing."""
    path = cell.get("path") if isinstance(cell, dict) else cell
    return path if isinstance(path, str) else ""


def said(row: Mapping[str, Any], ref: mapping.Ref | None, parse: Any) -> str:
    """What a field says, parsed; `unknown` if it says nothing or nothing that is known."""
    text = scalar(row, ref)
    return (parse(text) or UNKNOWN) if text else UNKNOWN


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def scalar(row: Mapping[str, Any], ref: mapping.Ref | None) -> str:
    """The text of a scalar, empty for null."""
    if ref is None:
        return ""
    if not isinstance(ref, str):
        return ref.value
    value = row.get(ref)
    if isinstance(value, str):
        return value
    # What is absent may be written as a number that is none; `nan` in letters is a language.
    if _absent(value):
        return ""
    if isinstance(value, int | float):
        return str(value)
    raise Malformed(f"{ref}: wrong type")


def text_of(row: Mapping[str, Any], column: str | None) -> str:
    """A string that is not empty, without the space around it."""
    value = row.get(column or "")
    if isinstance(value, str):
        if value := value.strip():
            return value
        raise Malformed(f"{column}: empty")
    raise Malformed(f"{column}: empty" if value is None else f"{column}: wrong type")


def texts_of(row: Mapping[str, Any], column: str | None) -> list[str]:
    """A list of strings; also one that is written as text, as CSV files have it."""
    value = row.get(column or "")
    if isinstance(value, str) and value.startswith("["):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise Malformed(f"{column}: wrong type") from None
    if value is None:
        raise Malformed(f"{column}: empty")
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Malformed(f"{column}: wrong type")
    return value


def index_of(row: Mapping[str, Any], column: str) -> int:
    """A whole number; also one that is written as text."""
    value = row.get(column)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and WHOLE.fullmatch(value.strip()):
        return int(value)
    raise Malformed(f"{column}: empty" if value is None else f"{column}: wrong type")


def number_of(row: Mapping[str, Any], column: str) -> float | None:
    """A number, None for null and for what is no number."""
    value = row.get(column)
    if _absent(value):
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise Malformed(f"{column}: out of range") from None
    raise Malformed(f"{column}: wrong type")


# Authors of turns, as LLaVA-like corpora and as chat templates name them.
ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
    "system": "system",
}  # fmt: skip


class ExampleBuilder:
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
