"""Examples: a picture with a text, and how the rows of a source become examples."""

from __future__ import annotations

import ast
import math
import re
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from ggez_hub.cards.values import UNKNOWN
from ggez_hub.data.locale_fields import country_code, country_in_path, language_tag
from ggez_hub.data.mapping import ChoiceColumn, ColumnMapping, ColumnOrConstant, View

# Authors of turns, as LLaVA-like corpora and as chat templates name them.
ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
    "system": "system",
}  # fmt: skip
LETTERS = string.ascii_uppercase
INTEGER = re.compile(r"-?[0-9]{1,18}")


class Message(TypedDict):
    """A message of a chat, as the output stores it."""

    role: str
    content: str


@dataclass(slots=True)
class Example:
    """A picture with a text.

    id        source/row/view; as unique in the output as the source's own ids are
    picture   the cell of the source: bytes and path, or a path; None without a picture
    messages  a chat; a caption is one message of the assistant
    language  BCP 47, country ISO 3166-1 in lower case, or `unknown`
    scores    numbers of the source that are carried along
    """

    id: str
    source: str
    format: str = UNKNOWN
    messages: list[Message] = field(default_factory=list)
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
        return "\n".join([message["content"] for message in self.messages])


class Unreadable(Exception):
    """A row or a value of it cannot be read; the report counts the reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ExampleBuilder:
    """Makes the examples of a source's rows.

    Without `answers`, a question whose answer is withheld is an example too: what is held out is
    protected whether its answers are public or not.
    """

    def __init__(self, source: str, mapping: ColumnMapping, *, answers: bool = True) -> None:
        self._source = source
        self._mapping = mapping
        self._answers = answers

    def examples(self, row: Mapping[str, Any], number: str) -> Iterator[Example | Unreadable]:
        """The examples of a row, with an Unreadable in place of a view that cannot be made.

        `number` names the row where the mapping has no id.
        """
        mapping = self._mapping
        try:
            shared = self._shared(row)
            identity = (_scalar(row, mapping.id) if mapping.id else number) or number
        except Unreadable as problem:
            yield from [problem] * max(1, len(mapping.examples))
            return
        if not mapping.examples:
            yield Example(f"{self._source}/{identity}/picture", self._source, **shared)
        for view in mapping.examples:
            try:
                language = _parsed(row, view.language, language_tag)
                chats = list(_chats(row, view, self._answers))
            except Unreadable as problem:
                yield problem
                continue
            for count, chat in enumerate(chats):
                if isinstance(chat, Unreadable):
                    yield chat
                    continue
                name = f"{view.key}-{count}" if view.each else view.key
                yield Example(
                    id=f"{self._source}/{identity}/{name}",
                    source=self._source,
                    format=view.format,
                    messages=[{"role": role, "content": text} for role, text in chat],
                    language=language,
                    **shared,
                )

    def _shared(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What the examples of a row share; fields that the mapping does not name are left out."""
        mapping = self._mapping
        found: dict[str, Any] = {}
        if mapping.picture is not None:
            found["picture"] = row.get(mapping.picture)
            found["path"] = picture_path(found["picture"])
        if mapping.path is not None:
            found["path"] = _scalar(row, mapping.path) or found.get("path", "")
        if mapping.country is not None:
            found["country"] = _parsed(row, mapping.country, country_code)
        elif mapping.country_in_path is not None:
            found["country"] = _parsed(row, mapping.country_in_path, country_in_path)
        if mapping.location is not None:
            found["location"] = _scalar(row, mapping.location)
        if mapping.category is not None:
            found["category"] = _scalar(row, mapping.category) or UNKNOWN
        if mapping.scores:
            numbers = ((name, _number(row, column)) for name, column in mapping.scores.items())
            found["scores"] = {name: number for name, number in numbers if number is not None}
        return found


def _chats(
    row: Mapping[str, Any], view: View, answers: bool
) -> Iterator[list[tuple[str, str]] | Unreadable]:
    """(role, text) of each example of a view; raises Unreadable if there can be none."""
    if view.turns:
        yield list(_turns(row, view.turns))
    elif view.choice:
        question = _text(row, view.question)
        options = _texts(row, view.options) if view.options else None
        if options is not None:
            if len(options) > len(LETTERS):
                raise Unreadable(f"{view.options}: more than there are letters")
            question = "\n".join(
                [question, *(f"{a}. {b}" for a, b in zip(LETTERS, options, strict=False))]
            )
        chat = [("user", question)]
        try:
            chat.append(("assistant", _chosen(row, view.choice, options)))
        except Unreadable:
            if answers:
                raise
        yield chat
    elif view.question:
        yield [("user", _text(row, view.question)), ("assistant", _text(row, view.answer))]
    elif view.each:
        captions = _texts(row, view.answer)
        if not captions:
            raise Unreadable(f"{view.answer}: empty")
        for caption in map(str.strip, captions):
            yield [("assistant", caption)] if caption else Unreadable(f"{view.answer}: empty")
    else:
        yield [("assistant", _text(row, view.answer))]


def _chosen(row: Mapping[str, Any], choice: ChoiceColumn, options: list[str] | None) -> str:
    """The answer as it is written: "C. jeepney", or the number where the options have none."""
    label = row.get(choice.column)
    if isinstance(label, str) and INTEGER.fullmatch(label.strip()):
        label = int(label)
    if not isinstance(label, int) or isinstance(label, bool):
        raise _wrong(choice.column, label)
    if label < 0:
        raise Unreadable(f"{choice.column}: the answer is withheld")
    number = label - choice.base
    count = len(options) if options is not None else choice.count or 0
    if not 0 <= number < min(count, len(LETTERS)):
        raise Unreadable(f"{choice.column}: out of range")
    return str(label) if options is None else f"{LETTERS[number]}. {options[number]}"


def _turns(row: Mapping[str, Any], column: str) -> Iterator[tuple[str, str]]:
    turns = row.get(column)
    if not isinstance(turns, list) or not turns:
        raise _wrong(column, turns or None)
    for turn in turns:
        author, text = (turn.get("from"), turn.get("value")) if isinstance(turn, dict) else (0, 0)
        role = ROLES.get(str(author))
        if role is None or not isinstance(text, str):
            raise Unreadable(f"{column}: wrong type")
        # The mark of where the picture stands belongs to one family's template.
        text = text.replace("<image>", "").strip()
        if role == "assistant" and not text:
            raise Unreadable(f"{column}: empty")
        yield role, text


def picture_path(cell: Any) -> str:
    """The path of a picture's cell, or nothing."""
    path = cell.get("path") if isinstance(cell, dict) else cell
    return path if isinstance(path, str) else ""


def _parsed(
    row: Mapping[str, Any], ref: ColumnOrConstant | None, parse: Callable[[str], str | None]
) -> str:
    """What a field says, parsed; `unknown` if that is nothing, or nothing that is known."""
    text = _scalar(row, ref)
    return (parse(text) or UNKNOWN) if text else UNKNOWN


def _scalar(row: Mapping[str, Any], ref: ColumnOrConstant | None) -> str:
    if ref is None:
        return ""
    if not isinstance(ref, str):
        return ref.value
    value = row.get(ref)
    if isinstance(value, str):
        return value
    # Null may be written as the number NaN; `nan` in letters is a language.
    if _is_null(value):
        return ""
    if isinstance(value, int | float):
        return str(value)
    raise _wrong(ref, value)


def _text(row: Mapping[str, Any], column: str | None) -> str:
    """A string that is not empty, without the space around it."""
    value = row.get(column or "")
    if isinstance(value, str):
        value = value.strip() or None
    if not isinstance(value, str):
        raise _wrong(column, value)
    return value


def _texts(row: Mapping[str, Any], column: str | None) -> list[str]:
    """A list of strings; also one that is written as text, as CSV files have it."""
    value = row.get(column or "")
    if isinstance(value, str) and value.startswith("["):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise _wrong(column, value) from None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _wrong(column, value)
    return value


def _number(row: Mapping[str, Any], column: str) -> float | None:
    """A number, None for null and NaN."""
    value = row.get(column)
    if _is_null(value):
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _wrong(column, value)
    try:
        return float(value)
    except OverflowError:
        raise Unreadable(f"{column}: out of range") from None


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _wrong(column: str | None, value: Any) -> Unreadable:
    return Unreadable(f"{column}: {'empty' if value is None else 'wrong type'}")
