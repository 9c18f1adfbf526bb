"""What a registry needs, checked piece by piece: its checkout, its settings on GitHub, its hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SetupState = Literal["ok", "missing", "unknown", "note"]


@dataclass(frozen=True)
class SetupCheck:
    """One thing that was checked.

    state  ok; missing: the registry does not work, or not safely; unknown: it could not be asked;
           note: worth knowing
    found  what is there
    fix    the command or the page that changes it
    """

    topic: Literal["checkout", "GitHub", "hub"]
    name: str
    state: SetupState
    found: str
    fix: str = ""
