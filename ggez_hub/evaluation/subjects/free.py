"""Free answers: a reply is right if it is one of the references, and nothing else.

Case, spaces and what stands around the answer do not count (NFKC, case folding). A reply that says more
than the answer is wrong: how models of one verbosity compare is all that such a score can tell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ggez_hub.evaluation.asked import Asked
from ggez_hub.evaluation.outcomes import UNPARSED, Outcomes
from ggez_hub.evaluation.recording import details_of
from ggez_hub.evaluation.replies import after_thought, plain


def matches(reply: str, references: Sequence[str]) -> bool:
    """Whether a reply is one of the references."""
    said = plain(after_thought(reply) or "")
    return bool(said) and said in {plain(reference) for reference in references}


def answered_freely(asked: Asked, replies: Sequence[str], prompts: Sequence[str]) -> Outcomes:
    """The outcomes of free questions; `prompts` are the sha256 of each as the model got it."""
    right = np.array(
        [matches(r, f.item.references) for r, f in zip(replies, asked.free, strict=True)], np.bool_
    )
    gold = tuple(free.item.references[0] for free in asked.free)
    return Outcomes(
        items=tuple(free.item.id for free in asked.free),
        gold=gold,
        predicted=tuple(
            answer if is_right else plain(after_thought(reply) or "") or UNPARSED
            for answer, reply, is_right in zip(gold, replies, right.tolist(), strict=True)
        ),
        rank=np.where(right, 1, 2).astype(np.int32),
        correct=right,
        # There are no options to guess among.
        chance=np.zeros(len(right)),
        missing=asked.missing,
        details=details_of([free.item for free in asked.free], prompts, raw=list(replies)),
    )
