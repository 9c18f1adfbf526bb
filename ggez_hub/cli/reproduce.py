"""`reproduce`: the paper's arithmetic and its headline claims, rechecked."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import click

from ggez_hub.cli.output import Output, output_options
from ggez_hub.errors import UsageProblem
from ggez_hub.paper.checks import Finding
from ggez_hub.paper.claim_notes import claim_notes
from ggez_hub.paper.claims import ClaimFinding, recheck_claims
from ggez_hub.paper.rules import recheck
from ggez_hub.paper.tables import PAPER, paper_recipes
from ggez_hub.quantities import interval_text


@click.command("reproduce")
@click.argument("paper", metavar="2604.11490")
@click.option(
    "--table",
    "numbers",
    multiple=True,
    metavar="1|2|3|4|5|10|14|15|16",
    help="Only this table; may be given several times.  [default: all]",
)
@click.option("--claims", "only_claims", is_flag=True, help="Only the headline claims.")
@click.option(
    "--from-printed/--run",
    "from_printed",
    default=True,
    help="Recompute from the printed columns (the default), or print the recipes of the models.",
)
@output_options
def reproduce_command(
    paper: str, numbers: tuple[str, ...], only_claims: bool, from_printed: bool, out: Output
) -> None:
    """Recheck the arithmetic of the paper's tables.

    Every number that follows from other printed numbers is recomputed and compared, with the
    tolerance that rounding leaves. Discrepancies are the paper's: the command found them, so it
    ends with 0. Without --table the headline claims are rechecked too. With --run it prints the
    recipes for those with GPUs.
    """
    if paper.removeprefix("arXiv:") != PAPER:
        raise UsageProblem(f"there is no paper {paper!r} here", f"There is: {PAPER}.")
    if only_claims and (numbers or not from_printed):
        raise UsageProblem("--claims is for the claims alone", "Leave out --table and --run.")
    if not from_printed:
        _print_recipes(numbers, out)
        return
    claims, notes = ((), ()) if numbers else (recheck_claims(), claim_notes())
    if only_claims:
        _print_claims(claims, notes, out)
        out.document({"paper": PAPER, **_claims_json(claims, notes)})
        return
    reports = recheck(numbers)
    found = [finding for report in reports for finding in report.discrepancies]
    out.table(
        ("table", "derived numbers", "within rounding", "not"),
        [
            (
                f"{report.table.number:>2}  {report.table.what}",
                str(len(report.findings)),
                str(len(report.findings) - len(report.discrepancies)),
                str(len(report.discrepancies)),
            )
            for report in reports
        ],
        title=f"arXiv {PAPER}, recomputed from its printed columns",
    )
    _print_discrepancies(found, out)
    for report in reports:
        for note in report.notes:
            out.line(f"Table {report.table.number}: {note}")
    if claims:
        out.line("")
        _print_claims(claims, notes, out)
    out.document(
        {
            "paper": PAPER,
            "tables": {
                report.table.number: {
                    "what": report.table.what,
                    "derived": len(report.findings),
                    "consistent": len(report.findings) - len(report.discrepancies),
                    "notes": list(report.notes),
                }
                for report in reports
            },
            "discrepancies": [finding.as_dict() for finding in found],
            "findings": [f.as_dict() for report in reports for f in report.findings],
            **(_claims_json(claims, notes) if claims else {}),
        }
    )


def _print_claims(found: Sequence[ClaimFinding], notes: Sequence[str], out: Output) -> None:
    out.table(
        ("family, measure", "table", "base", "adapted", "per cent", "claim", "verdict"),
        [
            (
                f"{f.family.name}, {f.measure.label}",
                f.measure.table,
                _shown(f.base.value, 3),
                _shown(f.adapted.value, 3),
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
    out.lines(notes)


def _percent(found: ClaimFinding) -> str:
    sign = "+" if found.measure.claim.name == "gain" else ""
    percent = found.percent
    value, low, high = map(float, (percent.value, percent.low, percent.high))
    return interval_text(value, low, high, sign)


def _claims_json(claims: Sequence[ClaimFinding], notes: Sequence[str]) -> dict[str, object]:
    return {"claims": [claim.as_dict() for claim in claims], "claim_notes": list(notes)}


def _print_discrepancies(found: Sequence[Finding], out: Output) -> None:
    out.line("")
    if not found:
        out.line("Every derived number follows from the printed ones within rounding.")
        return
    out.table(
        ("not within rounding", "column", "printed", "recomputed", "off by", "tolerance", "rule"),
        [
            (
                f"Table {f.table}, {f.row}",
                f.column,
                *map(_shown, (f.printed, f.recomputed, f.difference, f.tolerance)),
                f.rule,
            )
            for f in found
        ],
        title="The paper's discrepancies (tolerance: what rounding of all printed numbers allows)",
    )
    out.line("")


def _shown(value: Fraction, digits: int = 4) -> str:
    return f"{float(value):.{digits}f}".rstrip("0").rstrip(".")


def _print_recipes(numbers: tuple[str, ...], out: Output) -> None:
    found = paper_recipes(numbers)
    for recipe in found:
        out.line(f"# {recipe.path}\n{recipe.text}")
    out.line(
        "# Not run here. Copy a recipe, fill in what is unknown, and on a machine with such a GPU:"
    )
    out.line("#   ggez-hub sweep RECIPE -o RESULTS")
    out.document(
        {
            "recipes": [
                {
                    "path": str(r.path),
                    "tables": list(r.tables),
                    "unknown": list(r.unknown),
                    "recipe": r.recipe.model_dump(mode="json", exclude_none=True),
                }
                for r in found
            ]
        }
    )
