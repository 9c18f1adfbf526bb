"""What is asked of the registry."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """A pull as it was asked for; None leaves the choice to the registry.

    form: `merged`, or an adapter form such as `peft`.
    trust: `curated` (the accepted cards), `any`, or organisations separated by commas.
    """

    region: str
    family: str | None = None
    base: str | None = None
    beta: float | None = None
    alpha: float | None = None
    method: str = "ggez_linear"
    form: str = "merged"
    wide: bool = False
    trust: str = "curated"
    live: bool = False
