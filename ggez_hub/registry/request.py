"""What is asked of the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Form = Literal["merged"]


@dataclass(frozen=True)
class Request:
    """A pull as it was asked for; None leaves the choice to the registry.

    trust: `curated` (the accepted cards), `any`, or organisations separated by commas.
    """

    region: str
    family: str | None = None
    base: str | None = None
    beta: float | None = None
    alpha: float | None = None
    method: str = "ggez_linear"
    form: Form = "merged"
    wide: bool = False
    trust: str = "curated"
    live: bool = False
