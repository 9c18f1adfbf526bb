"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["ok", "note", "broken"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    state   ok; note: worth knowing, and nothing of the core needs it; broken: the core needs it
    found   what is there
    mend    the way out, where there is one
    """

    topic: str
    name: str
    state: State
    found: str
    mend: str = ""
