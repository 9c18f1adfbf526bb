"""What is off with data that do not follow their schema, each with the mend."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from pydantic import ValidationError

# What a person can read in one go.
MOST = 40
MOST_LETTERS = 300
# The tag of a branch of a union that is no key of the data.
BRANCH = "()"
# What pydantic calls kinds of values, where several may stand: the second only at the end.
KIND = re.compile(r"constrained-[a-z]+|(literal|list|tuple|dict|function-[a-z]+)\[.*\]")
PLAIN = ("str", "int", "float", "bool")


class Problem(NamedTuple):
    """The path of a key, and what is off with it or how it is mended."""

    path: tuple[int | str, ...]
    mend: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.path))}: {self.mend}" if self.path else self.mend


def problems(error: ValidationError) -> Iterator[Problem]:
    """The problems of an error of validation, in the order of the data; one for each key.

    Of a key that takes values of several kinds all are said.
    """
    mends: dict[tuple[int | str, ...], list[str]] = {}
    for found in error.errors(include_url=False):
        # A key that is none may be called anything.
        foreign = found["type"] == "extra_forbidden"
        path = tuple(part for part in found["loc"] if part != BRANCH)
        said = mends.setdefault(path if foreign else _keys(path), [])
        said.append(_mend(found["type"], found["msg"]))
    for path, said in mends.items():
        yield Problem(path, ", or ".join(dict.fromkeys(said))[:MOST_LETTERS])


def _keys(path: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The path without the kinds of values, which pydantic puts among the keys."""
    kept = [part for part in path if not (isinstance(part, str) and KIND.fullmatch(part))]
    while kept and kept[-1] in PLAIN:
        kept.pop()
    return tuple(kept)


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
