"""Betas by part as a lock keeps them: the parts as they were written, and what they came to."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from ggez_hub.frozen_model import FrozenModel
from ggez_hub.merging.betas_by_part import MOST_PARTS, BadParts, BetasByPart, Part

Name = Annotated[str, StringConstraints(min_length=1)]
Beta = Annotated[float, Field(ge=0)]


class ResolvedParts(FrozenModel, strict=False):
    """Parts, and the beta that each tensor got that one of them decides.

    The betas decide the merge, so that reading a lock needs no regular expressions.
    """

    parts: Annotated[tuple[Part, ...], Field(min_length=1, max_length=MOST_PARTS)]
    betas: Annotated[dict[Name, Beta], Field(min_length=1)]

    @classmethod
    def of(cls, asked: BetasByPart, names: Collection[str], beta: float) -> ResolvedParts:
        """The parts on the tensors of a base, of an adapter whose own beta is `beta`.

        Raises BadParts and MissingExtra as `BetasByPart.on` does.
        """
        return cls(parts=asked.parts, betas=asked.on(names).at(beta))

    def require_same(self, names: Collection[str], beta: float) -> None:
        """Raise BadParts unless the betas are what the parts come to on a base.

        A lock that was changed by hand may say one thing and do another.
        """
        now = BetasByPart(parts=self.parts).on(names).at(beta)
        if now != self.betas:
            other = min(
                name for name in now.keys() | self.betas if self.betas.get(name) != now.get(name)
            )
            raise BadParts(
                f"the lock's beta of {other!r} is {self.betas.get(other)}, by its parts it is "
                f"{now.get(other)}",
                "The lock was changed. Pull anew without --locked.",
            )

    def lines(self) -> Iterator[str]:
        """Each part in words, and over how many tensors the betas reach."""
        yield from map(str, self.parts)
        low, high = min(self.betas.values()), max(self.betas.values())
        span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        yield f"{len(self.betas)} tensors at {span}"


def decisive_beta(beta: float | None, parts: ResolvedParts | None) -> Any:
    """The weight of an adapter as merge digests take it: a number, with parts one by tensor too."""
    return beta if parts is None else [beta, parts.betas]
