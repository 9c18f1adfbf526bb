"""beta by part of a model: a file of patterns that becomes one beta for each tensor.

    kind: betas
    parts:
      - {tensors: '^visual\\.', beta: 0}
      - {tensors: '^transformer\\.resblocks\\.(\\d+)\\.', times: 0.8, tilt: 0.5}

The first part whose pattern is found in the name of a tensor decides its beta: `beta` is the value
itself, `times` a multiple of the adapter's beta (1 if neither is given). A tensor that no pattern
finds keeps the adapter's beta.

`tilt` t lets beta rise linearly with depth, as LiNeS does (arXiv 2410.17146, lambda_l = a + b (l - 1) /
(L - 1)): from (1 - t) times the part's value in the first block to (1 + t) times in the last one, so
that a = (1 - t) and b = 2 t of it. The group in the pattern is the block's number. Tensors with the
same text before that number are one stack of blocks, whose first and last number are those of the
tensors that the pattern finds; a stack of one block has the part's value.

Patterns are RE2's (https://github.com/google/re2/wiki/Syntax): they take linear time, whatever
they are, and have neither look-around nor back-references.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from ggez_hub.errors import UsageProblem
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.linear_patterns import LONGEST_PATTERN, compile_pattern
from ggez_hub.quantities import counted

MOST_PARTS = 500
# The number of a block: no model has a million.
NUMBER = re.compile(r"[0-9]{1,6}", re.ASCII)


class Part(FrozenModel):
    """Some tensors, by a pattern, and their beta: a value, or a multiple of the adapter's beta."""

    tensors: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_PATTERN)]
    beta: float | None = Field(default=None, ge=0)
    times: float | None = Field(default=None, ge=0)
    tilt: float | None = Field(default=None, ge=-1, le=1)

    @model_validator(mode="after")
    def _says_one_thing(self) -> Part:
        given = [name for name in ("beta", "times", "tilt") if getattr(self, name) is not None]
        if not given:
            raise ValueError("give `beta`, `times` or `tilt`")
        if {"beta", "times"} <= set(given):
            raise ValueError("`beta` and `times` are two values; give one of them")
        compiled = compile_pattern(self.tensors)
        if self.tilt is not None and compiled.groups != 1:
            raise ValueError(
                f"`tilt` needs a pattern with one group, the number of the block, as in "
                f"'layers\\.(\\d+)\\.'; {self.tensors!r} has {compiled.groups}"
            )
        return self

    def value(self, beta: float, depth: float | None = None) -> float:
        """The beta of a tensor of this part where the adapter's is `beta`.

        `depth` is the place of its block: 0 for the first of the stack, 1 for the last.
        """
        value = self._factor * beta if self.beta is None else self.beta
        return value if depth is None else value * (1 + (self.tilt or 0.0) * (2 * depth - 1))

    @property
    def _factor(self) -> float:
        return 1.0 if self.times is None else self.times

    def __str__(self) -> str:
        value = f"{self._factor:g} times the adapter's" if self.beta is None else f"{self.beta:g}"
        tilt = "" if self.tilt is None else f", tilt {self.tilt:g}"
        return f"{self.tensors!r}: {value}{tilt}"


class BetasByPart(FrozenModel, strict=False):
    """A file of `kind: betas`."""

    kind: Literal["betas"] = "betas"
    parts: Annotated[tuple[Part, ...], Field(min_length=1, max_length=MOST_PARTS)]

    @property
    def is_relative(self) -> bool:
        """Whether every beta is a multiple of the adapter's: with that at 0 it is the base."""
        return not any(part.beta for part in self.parts)

    def on(self, names: Collection[str]) -> PartsOfModel:
        """The parts on the tensors of a base.

        Raises UsageProblem for a pattern that finds no tensor, whose tensors earlier parts have taken
        all, or whose group is not a number.
        """
        ordered = sorted(names)
        taken: dict[str, int] = {}
        depths: dict[str, float] = {}
        for number, part in enumerate(self.parts):
            pattern = compile_pattern(part.tensors)
            found = {name: match for name in ordered if (match := _search(pattern, name))}
            where = f"parts.{number}.tensors: {part.tensors!r}"
            if not found:
                raise UsageProblem(
                    f"{where} finds none of the base's {counted(len(names), 'tensor')}",
                    f"They are called {_some(ordered)}.",
                )
            new = [name for name in found if name not in taken]
            if not new:
                raise UsageProblem(
                    f"{where} decides nothing: earlier parts take all {counted(len(found), 'tensor')} that it "
                    "finds",
                    "The first match wins: move it up, or remove it.",
                )
            taken |= dict.fromkeys(new, number)
            if part.tilt is not None:
                deep = _depths(found, where)
                depths |= {name: deep[name] for name in new}
        return PartsOfModel(self.parts, taken, depths)


@dataclass(frozen=True)
class PartsOfModel:
    """Parts on a base: which of them decides a tensor, and how deep in its stack that is.

    A tensor that none decides is in neither mapping; `depths` has those of tilted parts alone.
    """

    parts: Sequence[Part]
    taken: Mapping[str, int]
    depths: Mapping[str, float]

    def at(self, beta: float) -> dict[str, float]:
        """The beta of every tensor that a part decides, where the adapter's is `beta`."""
        return {name: self.beta_of(name, beta) for name in self.taken}

    def beta_of(self, name: str, beta: float) -> float:
        """The beta of a tensor, where the adapter's is `beta`: that itself if no part decides it."""
        number = self.taken.get(name)
        return beta if number is None else self.parts[number].value(beta, self.depths.get(name))


def _search(pattern: Any, name: str) -> Any:
    """The first match in the name of a tensor, or None; raises UsageProblem for a name that is not text."""
    try:
        return pattern.search(name)
    except UnicodeEncodeError as error:
        raise UsageProblem(f"the name of the tensor {name!r} is not text") from error


def _depths(found: Mapping[str, Any], where: str) -> dict[str, float]:
    """The place of each tensor's block in its stack, from 0 to 1; 1/2 in a stack of one block."""
    stacks: dict[str, dict[str, int]] = {}
    for name, match in found.items():
        number = match.group(1)
        if number is None or not NUMBER.fullmatch(number):
            raise UsageProblem(
                f"{where}: its group finds {number!r} in {name!r}, which is not the number of a block",
                "Write the group as (\\d+).",
            )
        stacks.setdefault(name[: match.start(1)], {})[name] = int(number)
    depths: dict[str, float] = {}
    for stack in stacks.values():
        first, last = min(stack.values()), max(stack.values())
        for name, number in stack.items():
            depths[name] = (number - first) / (last - first) if last > first else 0.5
    return depths


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:: max(1, len(names) // 4)][:4])
    return f"{shown} and so on" if len(names) > 4 else shown
