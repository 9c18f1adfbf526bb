"""The policies by which beta is chosen, by name. Light: a repeated pull imports no more of parity."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ggez_hub.errors import UsageProblem

DEFAULT_SHARE = 0.98


@dataclass(frozen=True)
class Policy:
    """How beta is chosen; `share` is what has to be kept of Q_others, None for parity."""

    share: float | None = None

    @classmethod
    def parse(cls, text: str) -> Policy:
        """The policy of `parity`, `keep` or `keep=0.95`; raises UsageProblem."""
        if text == "parity":
            return PARITY
        found = re.fullmatch(r"keep(?:=(0?\.\d{1,4}))?", text)
        if found is None or (found[1] and not float(found[1])):
            raise UsageProblem(
                f"{text!r} is not a policy",
                "Use `parity`, `keep`, or `keep=SHARE` with a share between 0 and 1.",
            )
        return cls(float(found[1]) if found[1] else DEFAULT_SHARE)

    def __str__(self) -> str:
        if self.share is None:
            return "parity"
        return "keep" if self.share == DEFAULT_SHARE else f"keep={self.share:g}"


PARITY = Policy()
KEEP = Policy(DEFAULT_SHARE)
