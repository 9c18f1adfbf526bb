"""Held-out examples in a file, and whether another example repeats one of them.

How picture and text count together:

- a picture that is a copy of a held-out one decides, whatever the text: the same bytes, re-encoded,
  resized, in grey, cut, with a margin or a bar, mirrored, or turned by a right angle;
- a plain drawing that fits, but not so closely that another one of its style would not, counts with
  a text that is near the text of an example with that picture;
- a text alone decides where one of the two has no picture. Where both have one, it has to be of some
  length, of one held-out picture only, and with the same answer: a question that is asked of many
  pictures decides nothing.
"""

from __future__ import annotations

import sqlite3
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self

from ggez_hub.data.examples import Message
from ggez_hub.data.held_out.alignment import PictureFit, compare
from ggez_hub.data.held_out.passages import Passages, answers_agree, folded, share
from ggez_hub.data.held_out.portraits import Portrait
from ggez_hub.data.held_out.views import Candidate, Turn, ViewIndex
from ggez_hub.data.rows import Row

# Kinds of a leak, as the report counts them.
EXACT_PICTURE, NEAR_PICTURE, CROP = "exact picture", "near picture", "crop"
MIRROR, ROTATION = "mirror", "rotation"
EXACT_TEXT, NEAR_TEXT = "exact text", "near text"
# A shorter text says too little to be found in another one.
ENOUGH = 40
_UPRIGHT = Turn()


class Leak(NamedTuple):
    """A held-out example that another one is like, and how."""

    name: str
    kind: str


class ExampleText(NamedTuple):
    """The text of an example, folded, and the answer in it; both empty where there is none."""

    text: str
    answer: str

    @classmethod
    def of(cls, messages: list[Message]) -> ExampleText:
        """The messages of a row: an answer is an assistant's that does not stand alone."""
        is_answered = len(messages) > 1 and messages[-1]["role"] == "assistant"
        text = "\n".join(message["content"] for message in messages)
        return cls(folded(text), messages[-1]["content"] if is_answered else "")


class _Item(NamedTuple):
    """A held-out example: `picture` is the number of its picture, None without one."""

    name: str
    picture: int | None
    text: str
    answer: str


class HeldOutMatcher:
    """Held-out examples in a file: written by one process, then read by any number of them."""

    def __init__(self, path: Path, similarity: float, *, read_only: bool = False) -> None:
        self._similarity = similarity
        # What was found of the last picture is kept: a picture often has several questions.
        self._last: tuple[bytes, list[tuple[Candidate, PictureFit]]] = (b"", [])
        # A file that does not change needs no locks, which folders of other machines may lack.
        mode = "ro&immutable=1" if read_only else "rwc"
        self._base = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True)
        if not read_only:
            for statement in (
                "PRAGMA journal_mode=OFF",
                "PRAGMA synchronous=OFF",
                "CREATE TABLE IF NOT EXISTS pictures (number INTEGER PRIMARY KEY,"
                " sha256 BLOB UNIQUE, portrait BLOB)",
                "CREATE TABLE IF NOT EXISTS items (ordinal INTEGER PRIMARY KEY, name TEXT,"
                " sha256 BLOB, text TEXT, answer TEXT)",
            ):
                self._base.execute(statement)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._base.commit()
        self._base.close()

    def add(self, row: Row, ordinal: int) -> None:
        """Enter a screened row; a picture is entered once."""
        if row.sha256 is not None:
            self._base.execute(
                "INSERT OR IGNORE INTO pictures VALUES (?, ?, ?)",
                (ordinal, row.sha256, row.portrait),
            )
        self._base.execute(
            "INSERT INTO items VALUES (?, ?, ?, ?, ?)",
            (ordinal, row.id, row.sha256, *ExampleText.of(row.messages)),
        )

    def match(
        self, sha256: bytes | None, portrait: Portrait | None, question: ExampleText
    ) -> Leak | None:
        """The held-out example that one with this picture and this text is like."""
        if sha256 is not None and (items := self._with_picture.get(self._numbers.get(sha256, -1))):
            return Leak(items[0].name, EXACT_PICTURE)
        if portrait is not None and sha256 is not None:
            found = self._seen(sha256, portrait)
            for candidate, evidence in found:
                if evidence.decides(candidate.turn == _UPRIGHT):
                    first = self._with_picture[self._shown[candidate.picture]][0]
                    return Leak(first.name, _kind(candidate, evidence))
            for candidate, evidence in found:
                for item in self._with_picture[self._shown[candidate.picture]]:
                    texts = question.text, item.text
                    if all(texts) and share(*texts) >= self._similarity:
                        return Leak(item.name, _kind(candidate, evidence))
        return self.match_text(question, pictured=sha256 is not None)

    def match_text(self, question: ExampleText, *, pictured: bool) -> Leak | None:
        """The held-out example whose text decides; `pictured` is whether there is a picture."""
        if not question.text:
            return None
        for text in [question.text, *self._passages.near(question.text, self._similarity)]:
            items = self._with_text.get(text, [])
            several = len({item.picture for item in items}) > 1
            for item in items:
                if _text_decides(question, item, several, pictured):
                    return Leak(item.name, EXACT_TEXT if text == question.text else NEAR_TEXT)
        return None

    def _seen(self, sha256: bytes, portrait: Portrait) -> list[tuple[Candidate, PictureFit]]:
        """What fits a picture, the closest first."""
        if self._last[0] != sha256:
            candidates = self._views.candidates(portrait)
            held = [self._portrait(self._shown[c.picture]) for c in candidates]
            pairs = zip(candidates, compare(portrait, candidates, held), strict=True)
            fits = [(c, e) for c, e in pairs if e is not None and e.fits]
            fits.sort(key=lambda pair: -pair[1].gradients)
            self._last = (sha256, fits)
        return self._last[1]

    def _portrait(self, number: int) -> Portrait:
        row = self._base.execute("SELECT portrait FROM pictures WHERE number = ?", (number,))
        return Portrait.unpacked(row.fetchone()[0])

    @cached_property
    def _numbers(self) -> dict[bytes, int]:
        return dict(self._base.execute("SELECT sha256, number FROM pictures ORDER BY number"))

    @cached_property
    def _shown(self) -> list[int]:
        rows = self._base.execute(
            "SELECT number FROM pictures WHERE portrait IS NOT NULL ORDER BY number"
        )
        return [number for (number,) in rows]

    @cached_property
    def _views(self) -> ViewIndex:
        return ViewIndex(self._portrait(number) for number in self._shown)

    @cached_property
    def _items(self) -> list[_Item]:
        rows = self._base.execute("SELECT name, sha256, text, answer FROM items ORDER BY ordinal")
        return [_Item(name, self._numbers.get(sha256), *said) for name, sha256, *said in rows]

    @cached_property
    def _with_picture(self) -> dict[int, list[_Item]]:
        found: dict[int, list[_Item]] = {}
        for item in self._items:
            if item.picture is not None:
                found.setdefault(item.picture, []).append(item)
        return found

    @cached_property
    def _with_text(self) -> dict[str, list[_Item]]:
        found: dict[str, list[_Item]] = {}
        for item in self._items:
            if item.text:
                found.setdefault(item.text, []).append(item)
        return found

    @cached_property
    def _passages(self) -> Passages:
        return Passages(list(self._with_text))


def _text_decides(question: ExampleText, item: _Item, several: bool, pictured: bool) -> bool:
    """`several` held-out pictures have the text of `item`."""
    enough = min(len(question.text), len(item.text)) >= ENOUGH
    if item.picture is None or not pictured:
        return enough or question.text == item.text
    if not enough or several:
        return False
    if question.answer and item.answer:
        return answers_agree(question.answer, item.answer)
    # A caption; a question without its answer is only a question.
    return not (question.answer or item.answer)


def _kind(candidate: Candidate, evidence: PictureFit) -> str:
    """How a picture was changed, the most telling change first."""
    if candidate.turn.reverses:
        return MIRROR
    if candidate.turn != _UPRIGHT:
        return ROTATION
    return CROP if evidence.cut else NEAR_PICTURE
