"""What is said of an evaluation, wherever it ran: the comment, the summary, the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.cli.ci.run import summary
from ggez_hub.cli.output import Output

if TYPE_CHECKING:
    from ggez_hub.automation.evaluate import Evaluated
    from ggez_hub.automation.rules import ProposedCard


def folder_of(target: Path, card: ProposedCard) -> Path:
    """Where the results of a card are written."""
    return target / card.name.replace("/", "-")


def answer(found: Sequence[Evaluated], head: str, target: Path, out: Output) -> None:
    """Write the comment; raises GateFailed if a gate of a card is not passed."""
    from ggez_hub.automation.evaluation_comment import comment
    from ggez_hub.automation.submissions import FILE, submission_of, write_submissions
    from ggez_hub.errors import GateFailed

    text = "\n".join(comment(card, head) for card in found)
    text = text or "There is no card to measure in this pull request.\n"
    target.mkdir(parents=True, exist_ok=True)
    (target / "comment.md").write_text(text, encoding="utf-8")
    write_submissions(target / FILE, [submission_of(card) for card in found])
    summary(text)
    out.line(text)
    out.document(
        {
            card.path: {
                **card.report.as_dict(),
            }
            for card in found
        }
    )
    if failed := [card.path for card in found if card.outcome == "fail"]:
        raise GateFailed(f"a gate is not passed: {', '.join(failed)}")
