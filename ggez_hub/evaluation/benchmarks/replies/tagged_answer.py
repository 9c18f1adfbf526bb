"""Answers after a tag that the prompt asks for (`Jawaban: B`), read as SEA-HELM reads them.

The rule is that of its F1AccMetric (aisingapore/SEA-HELM, src/metrics/f1_acc_metric.py at cc8e95a): the
first label after the tag; without one, the whole reply, if it is a label but for case and punctuation.
"""

from __future__ import annotations

import re
import string
from typing import NamedTuple


class TaggedAnswer(NamedTuple):
    """A tag, and what the options are called after it."""

    tag: str
    labels: tuple[str, ...]

    def read(self, reply: str) -> int | None:
        """The number of the option that a reply names, from 0; None if it names none."""
        named = "|".join(map(re.escape, self.labels))
        found = re.search(rf"{re.escape(self.tag)}[\s*]*({named})+", reply, re.IGNORECASE)
        said = (found[1] if found else reply).strip().lower()
        said = " ".join(said.strip(f"{string.punctuation} \n").split())
        numbers = {label.lower(): number for number, label in enumerate(self.labels)}
        return numbers.get(said)
