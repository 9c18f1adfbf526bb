"""Which checks apply to which table, and what a table cannot be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from ggez_hub.errors import UsageProblem
from ggez_hub.paper.checks import (
    Check,
    Finding,
    FromKof,
    MeanOfRatings,
    MeanRank,
    OneShare,
    SameAs,
    ShareOf,
    Weighted,
)
from ggez_hub.paper.tables import COUNTRIES, DIGITS, Table, tables
from ggez_hub.regions import alpha


def notes_on(table: Table) -> tuple[str, ...]:
    """The notes on a table, in words."""
    note = _NOTES.get(table.number)
    if note is None:
        return ()
    return (note if isinstance(note, str) else note(table),)


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


# Ratings of Table 4, by Tradition, Landmark and Cuisine.
RATINGS = {
    "StabilityAI SDXL": (149, 129, 150),
    "SEA-SDXL 25%": (150, 129, 150),
    "SEA-SDXL (w/o merge)": (150, 129, 150),
}


def _likert(table: Table) -> str:
    base, merged = ((table.rows[name], sum(RATINGS[name])) for name in list(RATINGS)[:2])
    gains = []
    for what, column in (("correctness", "c_overall"), ("naturalness", "n_overall")):
        means = [(float(row[column].value), n) for row, n in (base, merged)]
        # Of 1, 2 and 3 with this mean: next to it, or at both ends.
        least = sum((m % 1) * (1 - m % 1) / n for m, n in means)
        most = sum((m - 1) * (3 - m) / n for m, n in means)
        gain = means[1][0] - means[0][0]
        gains.append(
            f"{what} {gain:+.3f}, of at least ±{1.96 * least**0.5:.3f} and at most ±{1.96 * most**0.5:.3f}"
        )
    return (
        "The numbers of ratings are not printed. With 150 of Tradition (149 of the base's), 129 of Landmark and "
        "150 of Cuisine every mean is a sum of whole ratings, and overall is the mean over all of them. "
        f"No interval is printed; were the ratings independent, those of the gains would be: {'; '.join(gains)}."
    )


_NOTES: Mapping[str, str | Callable[[Table], str]] = {
    "2": "Mid-ranks (models that tie share a rank) make every column sum to 6.",
    "3": "No derived number: overall is the mean over prompts after the dependency rule, the "
    "categories are means over questions. There is no GRP: the paper declines one.",
    "4": _likert,
    "5": _share,
    "10": _macro,
    "14": _macro,
    "15": _macro,
    "16": _eleven,
}


LANGUAGES = ("fil", "ind", "tha", "vie", "zsm")


@dataclass(frozen=True)
class Report:
    """What came of one table: its findings, and notes on it."""

    table: Table
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def discrepancies(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if not f.consistent)


def recheck(numbers: Iterable[str] = ()) -> tuple[Report, ...]:
    """Recompute the derived numbers of the tables `numbers`, or of all; raises UsageProblem."""
    every = tables()
    asked = tuple(numbers) or tuple(every)
    if unknown := [number for number in asked if number not in every]:
        raise UsageProblem(
            f"there is no Table {unknown[0]} here", f"There are: {', '.join(DIGITS)}."
        )
    return tuple(_report(every[number], every) for number in dict.fromkeys(asked))


def _report(table: Table, every: Mapping[str, Table]) -> Report:
    found = [f for check in _checks(table.number) for f in check.findings(table, every)]
    return Report(table, tuple(found), notes_on(table))


def _mean(column: str, *parts: str) -> Weighted:
    rule = f"mean of {', '.join(parts)}"
    return Weighted(column, dict.fromkeys(parts, Fraction(1, len(parts))), rule)


def _parity(weights: Mapping[str, Fraction], of: str) -> Weighted:
    return Weighted("GRP", weights, f"0.43 * global + 0.57 * SEA of {of}")


def _micro() -> Weighted:
    counts = tables()["10"].counts
    total = sum(counts.values())
    weights = {country: Fraction(counts[country], total) for country in COUNTRIES}
    return Weighted("avg", weights, f"mean over {total} questions (micro average)")


def _checks(number: str) -> tuple[Check, ...]:
    a = tables()["1"].alpha
    assert a is not None  # noqa: S101 - it is in the shipped file
    b = 1 - a
    shares = ShareOf({country: country for country in COUNTRIES})
    rules: Mapping[str, tuple[Check, ...]] = {
        "1": (
            _mean("global_avg", "global_WC", "global_CVQA"),
            _mean("sea_avg", "sea_SEAVQA", "sea_WC", "sea_CVQA"),
            _parity({"global_avg": a, "sea_avg": b}, "the printed averages"),
            _parity(
                {
                    "global_WC": a / 2,
                    "global_CVQA": a / 2,
                    "sea_SEAVQA": b / 3,
                    "sea_WC": b / 3,
                    "sea_CVQA": b / 3,
                },
                "the tasks",
            ),
            SameAs("sea_SEAVQA", "10", "avg"),
        ),
        "2": (
            _mean("sea", *LANGUAGES),
            _parity({"global": a, "sea": b}, "the printed averages"),
            MeanRank(("global", "sea", *LANGUAGES)),
        ),
        "3": (),
        "4": tuple(
            MeanOfRatings(f"{scale}_overall", tuple(f"{scale}_{part}" for part in "TLC"), RATINGS)
            for scale in "cn"
        ),
        "5": (
            _parity(
                {"cvqa_global": a, "cvqa_sea": b / 2, "seavqa_sea": b / 2}, "CVQA, CVQA, SEA-VQA"
            ),
            OneShare("cvqa_global", "cvqa_sea", "cvqa_others"),
            SameAs("seavqa_sea", "14", "avg"),
            ShareOf({"seavqa_khm": "khm", "seavqa_ind": "idn", "seavqa_vie": "vnm"}),
        ),
        "10": (_micro(), shares),
        "14": (_micro(), shares),
        "15": (_micro(), shares),
        "16": (FromKof(),),
    }
    return rules[number]
