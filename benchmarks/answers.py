"""How well replies and refusals are read: precision and recall on the labelled replies of the tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ggez_hub.evaluation.benchmarks.replies import read_choice
from ggez_hub.evaluation.benchmarks.replies.refusals import refuses
from tests.evaluation.labelled_replies import (
    PARTS,
    LabelledReply,
    Reading,
    labelled_refusals,
    labelled_replies,
    measure,
    measure_refusals,
)


def main() -> None:
    """Each part of the set, and the tuned part by language and by what its replies show."""
    for part in PARTS:
        replies = labelled_replies(part)
        found = measure(read_choice, replies)
        print(
            _line(part, found) + f" (aims .99, .90; languages: {len(_groups(replies, _language))})"
        )
        if part == PARTS[0]:
            for group in (_language, _shows):
                for name, own in _groups(replies, group).items():
                    print("  " + _line(name, measure(read_choice, own)))
    for part in PARTS:
        refusals = labelled_refusals(part)
        print(_line(f"refusals {part}", measure_refusals(refuses, refusals)))
        for language in sorted({reply.language for reply in refusals}):
            own_language = [reply for reply in refusals if reply.language == language]
            print("  " + _line(language, measure_refusals(refuses, own_language)))


def _line(name: str, found: Reading) -> str:
    return (
        f"{name:<15} {found.n:>4} replies: precision {found.right}/{found.read} = "
        f"{found.precision:.3f}, recall {found.right}/{found.expected} = {found.recall:.3f}"
    )


def _language(reply: LabelledReply) -> str:
    return reply.language


def _shows(reply: LabelledReply) -> str:
    return reply.shows


def _groups(
    replies: Sequence[LabelledReply], group: Callable[[LabelledReply], str]
) -> dict[str, list[LabelledReply]]:
    found: dict[str, list[LabelledReply]] = {}
    for reply in replies:
        found.setdefault(group(reply), []).append(reply)
    return found
