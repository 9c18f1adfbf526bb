"""What is off with data that do not follow their schema, each with the mend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pydantic import ValidationError

# What a person can read in one go.
MOST = 40
MOST_LETTERS = 300
# The tag of a branch of a union that is no key of the data.
BRANCH = "()"


class Problem(NamedTuple):
    """The path of a key, and what is off with it or how it is mended."""

    path: tuple[int | str, ...]
    mend: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.path))}: {self.mend}" if self.path else self.mend


def problems(error: ValidationError) -> Iterator[Problem]:
    """The problems of an error of validation, in the order of the data."""
    for found in error.errors(include_url=False):
        path = tuple(part for part in found["loc"] if part != BRANCH)
        yield Problem(path, _mend(found["type"], found["msg"])[:MOST_LETTERS])


def listed(error: ValidationError) -> str:
    """The problems in lines of their own."""
    told = [f"  {problem}" for problem in problems(error)]
    more = [f"  and {len(told) - MOST} more"] if len(told) > MOST else []
    return "\n".join([*told[:MOST], *more])


def _mend(kind: str, message: str) -> str:
    if kind == "missing":
        return "is missing; add it"
    if kind == "extra_forbidden":
        return "is no key here; remove it"
    if kind == "string_type":
        # YAML reads a bare no, on or 12 as something else than text: the tag of Norwegian, say.
        return "should be text; put it in quotes"
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
