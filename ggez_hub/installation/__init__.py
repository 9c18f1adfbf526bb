"""A check of the installation: what is there, what is not, and the way out.

    findings   what a check finds               packages   python, libraries, extras
    machine    devices and disks                hubs       the hub, the token, the embedded hub

Nothing heavy is imported: torch is asked for its devices in a process of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["ok", "note", "broken"]


@dataclass(frozen=True)
class CheckResult:
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
