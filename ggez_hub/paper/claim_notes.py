"""Notes on the headline claims, computed from the same tables."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import comb

from ggez_hub.paper.checks import OneShare
from ggez_hub.paper.claims import (
    DIFFUSION,
    EMBEDDING,
    FAMILIES,
    GAIN,
    KEPT,
    VLM,
    ClaimFinding,
    Family,
    recheck_claims,
)
from ggez_hub.paper.tables import COUNTRIES, Figure, Tables, tables
from ggez_hub.quantities import interval_text

# SEA-VQA and CVQA have four options.
OPTIONS = 4
CHANCE = Fraction(100, OPTIONS)
NAMES = {"khm": "Cambodia", "idn": "Indonesia", "lao": "Laos", "mys": "Malaysia",
         "phl": "the Philippines", "sgp": "Singapore", "tha": "Thailand", "vnm": "Vietnam"}  # fmt: skip


def claim_notes(every: Tables | None = None) -> tuple[str, ...]:
    """The notes, in words; by default on the shipped tables."""
    every = every or tables()
    found = recheck_claims(every)
    return (
        *_outside(every, found),
        _shares_of_gain(every, found),
        *_below_guessing(every),
        _at_chance(every),
        _grades(every),
        _ranks(found),
        *_both_hold(found),
    )


def _outside(every: Tables, found: tuple[ClaimFinding, ...]) -> Iterator[str]:
    low, high = OneShare("cvqa_global", "cvqa_sea", "cvqa_others").share(every["5"])
    yield (
        "VLM: Table 1 does not print the items outside the region, so what is kept there cannot be "
        f'derived. "Global" contains the region: in Table 5 {100 * float(low):.1f} to '
        f"{100 * float(high):.1f} % of CVQA's global items are Southeast Asian."
    )
    yield (
        "diffusion: Table 3 does not print which prompts are of the region, so what is kept outside "
        'it cannot be derived. Its column "global" is a category of prompts, not the world.'
    )
    kept = next(f for f in found if f.is_chosen and f.measure.role == "outside")
    yield (
        f"embedding: outside the region {_value(kept.base)} goes to {_value(kept.adapted)}, which is "
        f"{_shown(kept.percent, 2)} % kept: the one family whose table has that column."
    )


def _shares_of_gain(every: Tables, found: tuple[ClaimFinding, ...]) -> str:
    columns = {"SEA-VQA": "sea_SEAVQA", "CVQA": "sea_CVQA", "WorldCuisines": "sea_WC"}
    gains = {name: _gain_of(every, VLM, "1", column) for name, column in columns.items()}
    total = sum((g.value for g in gains.values()), Fraction())
    parts = ", ".join(
        f"{name} {_shown(_share(gain, [g for n, g in gains.items() if n != name]))} %"
        for name, gain in gains.items()
    )
    return (
        f"VLM: of the SEA average's gain ({float(total) / 3:.1f} points) the tasks' shares are {parts}. "
        f"{_holding(found)} of its three tasks gains 5 to 15 %."
    )


def _holding(found: tuple[ClaimFinding, ...]) -> str:
    parts = [f for f in found if f.family is VLM and f.is_chosen and f.measure.claim is GAIN]
    holding = [f for f in parts if f.measure.role == "part" and f.verdict == "holds"]
    return str(len(holding)) if holding else "None"


def _gain_of(every: Tables, family: Family, table: str, column: str) -> Figure:
    rows = every[table].rows
    return rows[family.chosen][column] - rows[family.base][column]


def _share(part: Figure, others: list[Figure]) -> Figure:
    """100 * part / (part + others): it rises with the part and falls with the others."""
    rest = Figure.weighted((Fraction(1), other) for other in others)
    return Figure(
        100 * part.value / (part.value + rest.value),
        100 * part.low / (part.low + rest.high),
        100 * part.high / (part.high + rest.low),
    )


def _below_guessing(every: Tables) -> Iterator[str]:
    table = every["10"]
    base, chosen = table.rows[VLM.base], table.rows[VLM.chosen]
    right = {c: (_right(base[c], n), _right(chosen[c], n)) for c, n in table.counts.items()}
    below = [c for c in COUNTRIES if base[c].value + base[c].half < CHANCE]
    if not below:
        return
    shown = ", ".join(
        f"{NAMES[c]} {float(base[c].value):.1f} % of {table.counts[c]} "
        f"(guessing gets so few with P = {_tail(right[c][0], table.counts[c]):.2g})"
        for c in below
    )
    yield (
        f"VLM: the base is below guessing (25 %) on SEA-VQA of {shown}. That points at answers "
        "that could not be read, not at knowledge. P is for one country of eight, and for questions that are "
        "independent, but several share a picture."
    )
    gained = sum(after - before for before, after in right.values())
    theirs = sum(right[c][1] - right[c][0] for c in below)
    rest = [c for c in COUNTRIES if c not in below]
    n = sum(table.counts[c] for c in rest)
    before, after = (sum(right[c][i] for c in rest) for i in (0, 1))
    yield (
        f"VLM: {theirs} of about {gained} right answers gained on SEA-VQA "
        f"({100 * theirs / gained:.0f} %) are of {' and '.join(NAMES[c] for c in below)}. Without them "
        f"SEA-VQA goes from {100 * before / n:.1f} to {100 * after / n:.1f} % of {n} "
        f"(+{100 * (after / before - 1):.0f} %)."
    )


def _right(cell: Figure, n: int) -> int:
    """The number of right answers of n that is nearest to a printed per cent."""
    return round(cell.value * n / 100)


def _tail(k: int, n: int) -> float:
    """P(at most k of n right) for one who guesses; exact."""
    return sum(comb(n, i) * (OPTIONS - 1) ** (n - i) for i in range(k + 1)) / OPTIONS**n


def _at_chance(every: Tables) -> str:
    region, others = (
        next(m for m in EMBEDDING.measures if m.columns == columns).figure(EMBEDDING.base, every)
        for columns in (("cvqa_sea", "seavqa_sea"), ("cvqa_others",))
    )
    return (
        f"embedding: with four options guessing gets 25 %. The base's SEA mean is {_value(region)} and "
        f"its CVQA outside the region {_value(others)}, which is {float(region.value - CHANCE):+.2f} and "
        f"{float(others.value - CHANCE):+.2f} from guessing: there is no score to gain on or to keep in "
        "per cent."
    )


def _grades(every: Tables) -> str:
    table = every["4"]
    highest = max(cell.value - cell.half for row in table.rows.values() for cell in row.values())
    gains = []
    for name, column in (("correctness", "c_overall"), ("naturalness", "n_overall")):
        base, chosen = (
            table.rows[row][column].scaled(1, -1) for row in (DIFFUSION.base, DIFFUSION.chosen)
        )
        gains.append(f"{name} {_shown(chosen.ratio_to(base).scaled(100, -100), sign=True)} %")
    return (
        "diffusion: a per cent of a grade depends on where the scale begins. The table does not say; a "
        f"mean of {float(highest):.2f} rules out grades 0, 1, 2. If they are 1, 2, 3, the gains above the "
        f"lowest grade are {', '.join(gains)}."
    )


def _ranks(found: tuple[ClaimFinding, ...]) -> str:
    kept = next(
        f for f in found if f.is_chosen and f.measure.role == "people" and f.measure.claim is KEPT
    )
    return (
        f"VLM: raters rank the merged model's global answers lower than the base's, {_value(kept.adapted)} "
        f"against {_value(kept.base)} (higher is better): {_shown(kept.percent)} %. A ratio of ranks is not "
        "a share of quality, and the ranks do not add up (see Table 2)."
    )


def _both_hold(found: tuple[ClaimFinding, ...]) -> Iterator[str]:
    for family in FAMILIES:
        ours = [f for f in found if f.family is family and f.measure.role == "headline"]
        # A row of a table that prints only one of the two claims' columns decides nothing.
        measured = {f.row for f in ours if f.measure.claim is GAIN}
        measured &= {f.row for f in ours if f.measure.claim is KEPT}
        rows = [row for row in dict.fromkeys(f.row for f in ours) if row in measured]
        holding = [r for r in rows if all(f.verdict == "holds" for f in ours if f.row == r)]
        yield (
            f"{family.name}: of {len(rows)} adapted models with both figures, both claims hold for "
            f"{', '.join(holding) or 'none'}."
        )


def _value(figure: Figure) -> str:
    return f"{float(figure.value):.3f}".removesuffix("0")


def _shown(figure: Figure, digits: int = 1, *, sign: bool = False) -> str:
    value, low, high = map(float, (figure.value, figure.low, figure.high))
    return interval_text(value, low, high, "+" if sign else "", digits=digits)
