"""What one should know beside the findings of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

from ggez_hub.evaluation.paper.checks import OneShare
from ggez_hub.evaluation.paper.printed import Table
from ggez_hub.regions import alpha

COUNTRIES = ("khm", "idn", "lao", "mys", "phl", "sgp", "tha", "vnm")


def notes_on(table: Table) -> tuple[str, ...]:
    """The notes on a table, in words."""
    return (_NOTES[table.number](table),) if table.number in _NOTES else ()


def _macro(table: Table) -> str:
    means = [
        (name, float(sum((row[c].value for c in COUNTRIES), Fraction()) / len(COUNTRIES)))
        for name, row in table.rows.items()
    ]
    return "The mean over the eight countries (macro average) would be: " + ", ".join(
        f"{name} {value:.2f}" for name, value in means
    )


def _share(table: Table) -> str:
    low, high = OneShare("cvqa_global", "cvqa_sea", "cvqa_others").share(table)
    if low > high:
        return "No one share of Southeast Asian items fits the global column of all rows."
    return (
        f"The global column contains the region: {100 * float(low):.1f} to {100 * float(high):.1f} "
        "% of its items are Southeast Asian. Retention needs the column of the others."
    )


def _eleven(table: Table) -> str:
    eleven = 100 * alpha("southeast-asia", 2023, release="2025").value
    return (
        "Southeast Asia is the mean of ten: Timor-Leste was lost under KOF's outdated code TMP. "
        f"With it 2023 is {eleven:.2f}."
    )


def _said(text: str) -> Callable[[Table], str]:
    return lambda table: text


_NOTES: Mapping[str, Callable[[Table], str]] = {
    "2": _said("Mid-ranks (models that tie share a rank) make every column sum to 6."),
    "3": _said(
        "No derived number: overall is the mean over prompts after the dependency rule, the "
        "categories are means over questions. There is no GRP: the paper declines one."
    ),
    "4": _said("Overall is a mean over pictures, whose numbers by category are not printed."),
    "5": _share,
    "10": _macro,
    "14": _macro,
    "15": _macro,
    "16": _eleven,
}
