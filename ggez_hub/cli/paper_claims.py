"""The paper's headline claims, for people and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ggez_hub.cli.output import Output

if TYPE_CHECKING:
    from ggez_hub.evaluation.paper.claims import ClaimFinding, Figure


def print_claims(found: Sequence[ClaimFinding], notes: Sequence[str], out: Output) -> None:
    """Print both claims on the models that the paper takes, and the notes."""
    out.table(
        ("family, measure", "table", "base", "adapted", "per cent", "claim", "verdict"),
        [
            (
                f"{f.family.name}, {f.measure.label}",
                f.measure.table,
                _plain(f.base),
                _plain(f.adapted),
                _percent(f),
                f.measure.claim.name,
                f.verdict,
            )
            for f in found
            if f.is_chosen
        ],
        title="The headline claims on the models that the paper takes, with what rounding allows",
    )
    for claim in dict.fromkeys(f.measure.claim for f in found):
        out.line(f"{claim.name}: {claim.text}")
    out.line("")
    for note in notes:
        out.line(note)


def _plain(figure: Figure) -> str:
    return f"{float(figure.value):.3f}".rstrip("0").rstrip(".")


def _percent(found: ClaimFinding) -> str:
    sign = "+" if found.measure.claim.name == "gain" else ""
    value, low, high = (
        f"{float(v):{sign}.2f}"
        for v in (found.percent.value, found.percent.low, found.percent.high)
    )
    return f"{value} [{low}, {high}]"
