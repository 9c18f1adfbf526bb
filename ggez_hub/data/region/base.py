"""What a piece of evidence is."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

from ggez_hub.data.example import Example
from ggez_hub.errors import UsageProblem

Verdict: TypeAlias = Literal[True] | tuple[Literal[False], str]


class BadRule(UsageProblem):
    """A rule of the spec cannot be applied."""


class Evidence(Protocol):
    """A stage: True, or (False, reason). Reasons are few: they are counted."""

    @property
    def name(self) -> str:
        """The name in the spec."""
        ...

    def __call__(self, example: Example) -> Verdict:
        """Look at an example."""
        ...
