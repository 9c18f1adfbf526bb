"""The labelled replies of `replies/` and `refusals/`, and how well a reader reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

FOLDER = Path(__file__).parent / "replies"
PARTS = ("tuned", "held_out", "unseen")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Read = Callable[[str, Sequence[str]], int | None]


@dataclass(frozen=True)
class LabelledReply:
    """A reply, the number of the option that it names (None: no choice can be read), and why it is there."""

    language: str
    kind: str
    question: str
    options: tuple[str, ...]
    reply: str
    expected: int | None
    shows: str


@dataclass(frozen=True)
class Reading:
    """What a reader made of some replies.

    precision  of the replies from which a choice is read, the share that is the expected one
    recall     of the replies with an expected choice, the share that is read as it
    """

    n: int
    read: int
    right: int
    expected: int
    wrong: tuple[tuple[LabelledReply, int | None], ...]

    @property
    def precision(self) -> float:
        return self.right / self.read if self.read else 1.0

    @property
    def recall(self) -> float:
        return self.right / self.expected if self.expected else 1.0


def labelled_replies(part: str) -> tuple[LabelledReply, ...]:
    """The replies of a part, in the order of its file."""
    blocks = yaml.safe_load((FOLDER / f"{part}.yaml").read_text(encoding="utf-8"))
    return tuple(
        LabelledReply(
            language=block["language"],
            kind=block["type"],
            question=block["question"],
            options=tuple(block["options"]),
            reply=reply,
            expected=None if letter is None else LETTERS.index(letter),
            shows=shows,
        )
        for block in blocks
        for letter, shows, reply in block["replies"]
    )


def measure(read: Read, replies: Sequence[LabelledReply]) -> Reading:
    """How well a reader reads some replies."""
    found = [(reply, read(reply.reply, reply.options)) for reply in replies]
    return Reading(
        n=len(found),
        read=sum(choice is not None for _, choice in found),
        right=sum(choice is not None and choice == r.expected for r, choice in found),
        expected=sum(r.expected is not None for r, _ in found),
        wrong=tuple((r, choice) for r, choice in found if choice != r.expected),
    )


@dataclass(frozen=True)
class LabelledRefusal:
    """A reply, and whether it refuses."""

    language: str
    reply: str
    refuses: bool


def labelled_refusals(part: str) -> tuple[LabelledRefusal, ...]:
    """The replies of a part, in the order of its file."""
    path = Path(__file__).parent / "refusals" / f"{part}.yaml"
    blocks = yaml.safe_load(path.read_text(encoding="utf-8"))
    return tuple(
        LabelledRefusal(block["language"], reply, kind == "refuses")
        for block in blocks
        for kind in ("refuses", "answers")
        for reply in block[kind]
    )


def measure_refusals(
    read: Callable[[str], bool | None], replies: Sequence[LabelledRefusal]
) -> Reading:
    """How well refusals are read: precision and recall of "refuses"."""
    found = [(reply, read(reply.reply)) for reply in replies]
    return Reading(
        n=len(found),
        read=sum(bool(refuses) for _, refuses in found),
        right=sum(bool(refuses) and r.refuses for r, refuses in found),
        expected=sum(r.refuses for r, _ in found),
        wrong=(),
    )
