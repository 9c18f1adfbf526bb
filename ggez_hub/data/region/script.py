"""Evidence in the script of a text's letters."""

from __future__ import annotations

from dataclasses import dataclass

from ggez_hub.data.example import Example
from ggez_hub.data.region.base import Verdict
from ggez_hub.regions.script import share


@dataclass(frozen=True)
class Script:
    """Enough letters of the text are in one of the scripts."""

    wanted: frozenset[str]
    least: float
    name: str = "script"

    def __call__(self, example: Example) -> Verdict:
        if share(example.text, self.wanted) >= self.least:
            return True
        return False, "another script"
