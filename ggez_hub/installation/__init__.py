"""A check of the installation: libraries, devices, disks, the hub, and how to fix what is broken.

Nothing heavy is imported: torch is asked for its devices in a process of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NAME = "ggez-hub"


@dataclass(frozen=True)
class CheckResult:
    """One thing that was checked.

    state   ok; note: worth knowing, and nothing of the core needs it; broken: the core needs it
    found   what is there
    fix     how to fix it, where it can be fixed
    """

    topic: str
    name: str
    state: Literal["ok", "note", "broken"]
    found: str
    fix: str = ""
