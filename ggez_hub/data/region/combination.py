"""Pieces of evidence, combined: so many of them have to hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ggez_hub.data.example import Example
from ggez_hub.data.region.base import Evidence

HOLDS = "holds"


@dataclass(frozen=True)
class Combination:
    """`needed` of the evidence has to hold; `pending` rules are decided later.

    `seen` counts, for each piece, how often it held and why it did not. Pieces that cannot change
    the answer any more are not asked: their counts are of the examples that they were asked about.
    """

    evidence: tuple[Evidence, ...]
    needed: int
    pending: int = 0
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __call__(self, example: Example) -> tuple[bool | None, str, int]:
        """(the answer, the reason of a no, how many held); the answer is None while it is open."""
        held = 0
        open_ = len(self.evidence) + self.pending
        reasons: list[str] = []
        for stage in self.evidence:
            verdict = stage(example)
            open_ -= 1
            if verdict is True:
                held += 1
                self.seen[stage.name, HOLDS] += 1
                if held >= self.needed:
                    return True, "", held
            else:
                reason = verdict[1]
                self.seen[stage.name, reason] += 1
                reasons.append(f"{stage.name}: {reason}")
                if held + open_ < self.needed:
                    return False, self._reason(reasons), held
        return None, self._reason(reasons), held

    def _reason(self, reasons: list[str]) -> str:
        total = len(self.evidence) + self.pending
        if self.needed == total:
            return reasons[-1] if reasons else ""
        if len(reasons) == 1 == total:
            return reasons[0]
        return f"fewer than {self.needed} of {total} rules hold"
