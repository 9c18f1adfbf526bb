"""What flows through the stages: an example, made of a row of a source."""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ggez_hub.data import mapping
from ggez_hub.data.fields import country_code, country_in_path, language_tag

UNKNOWN = "unknown"
# Authors of turns, as LLaVA-like corpora and as chat templates name them.
ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
    "system": "system",
}  # fmt: skip


class Malformed(Exception):
    """A value of a row is not what the mapping says; the reason is a count in the report."""

    def __init__(self, reason: str, row: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.row = row


@dataclass(slots=True)
class Example:
    """A picture with a text.

    id        unique in the output: source/row/view
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
            identity = _scalar(row, spec.id) if spec.id else number
        except Malformed as problem:
            for _ in spec.examples:
                yield problem
            return
        for view in spec.examples:
            try:
                language = _said(row, view.language, language_tag) if view.language else UNKNOWN
                chats = list(_chats(row, view, self._answers))
            except Malformed as problem:
                yield problem
                continue
            for count, messages in enumerate(chats):
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
            found["path"] = _scalar(row, spec.path) or found.get("path", "")
        if spec.country is not None:
            found["country"] = _said(row, spec.country, country_code)
        elif spec.country_in_path is not None:
            found["country"] = country_in_path(_scalar(row, spec.country_in_path)) or UNKNOWN
        if spec.location is not None:
            found["location"] = _scalar(row, spec.location)
        if spec.category is not None:
            found["category"] = _scalar(row, spec.category) or UNKNOWN
        if spec.scores:
            numbers = ((name, _number(row, column)) for name, column in spec.scores.items())
            found["scores"] = {name: number for name, number in numbers if number is not None}
        return found


def picture_path(cell: Any) -> str:
    """The path of a picture's cell, or nothing."""
    path = cell.get("path") if isinstance(cell, dict) else cell
    return path if isinstance(path, str) else ""


def _chats(
    row: Mapping[str, Any], view: mapping.View, answers: bool
) -> Iterator[tuple[tuple[str, str], ...]]:
    if view.turns:
        yield tuple(_turns(row, view.turns))
    elif view.choice:
        question = _text(row, view.question)
        options = _texts(row, view.options) if view.options else None
        asked = question if options is None else f"{question}\n{_listed(options)}"
        try:
            answer = _chosen(_index(row, view.choice.column), view.choice, options)
        except Malformed:
            if answers:
                raise
            yield (("user", asked),)
        else:
            yield (("user", asked), ("assistant", answer))
    elif view.question:
        yield (("user", _text(row, view.question)), ("assistant", _text(row, view.answer)))
    elif view.each:
        captions = _texts(row, view.answer)
        if not captions:
            raise Malformed(f"{view.answer}: empty")
        for caption in captions:
            yield (("assistant", caption),)
    else:
        yield (("assistant", _text(row, view.answer)),)


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
        if role is None or not isinstance(turn["value"], str):
            raise Malformed(f"{column}: wrong type")
        # The mark of where the picture stands belongs to one family's template.
        yield role, turn["value"].replace("<image>", "").strip()


def _said(row: Mapping[str, Any], ref: mapping.Ref | None, parse: Any) -> str:
    """What a field says, parsed; `unknown` if it says nothing or nothing that is known."""
    text = _scalar(row, ref)
    return (parse(text) or UNKNOWN) if text else UNKNOWN


def _scalar(row: Mapping[str, Any], ref: mapping.Ref | None) -> str:
    """The text of a scalar, empty for null."""
    if ref is None:
        return ""
    if not isinstance(ref, str):
        return ref.value
    value = row.get(ref)
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, int | float):
        return str(value)
    raise Malformed(f"{ref}: wrong type")


def _text(row: Mapping[str, Any], column: str | None) -> str:
    value = row.get(column or "")
    if isinstance(value, str):
        if value := value.strip():
            return value
        raise Malformed(f"{column}: empty")
    raise Malformed(f"{column}: empty" if value is None else f"{column}: wrong type")


def _texts(row: Mapping[str, Any], column: str | None) -> list[str]:
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


def _index(row: Mapping[str, Any], column: str) -> int:
    value = row.get(column)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    raise Malformed(f"{column}: empty" if value is None else f"{column}: wrong type")


def _number(row: Mapping[str, Any], column: str) -> float | None:
    value = row.get(column)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise Malformed(f"{column}: wrong type")
