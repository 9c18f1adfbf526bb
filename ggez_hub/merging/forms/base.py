"""What an adapter form has to know of the base."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ggez_hub.families import Family


class Need(Enum):
    """What of the base's files a form reads: nothing, configuration only, or all."""

    NOTHING = 0
    CONFIGURATION = 1
    WEIGHTS = 2


@dataclass(frozen=True)
class FormBase:
    """The base as an adapter form names it, and its folder as far as the form needs it.

    `variant` is which set of its weights is meant, as for a merge.
    """

    name: str
    revision: str | None
    family: Family
    folder: Path | None = None
    variant: str | None = None
