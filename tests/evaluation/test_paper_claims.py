"""The paper's headline claims: intervals of rounding, verdicts, and what the tables cannot show."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from ggez_hub.paper.claim_notes import claim_notes
from ggez_hub.paper.claims import FAMILIES, GAIN, KEPT, recheck_claims
from ggez_hub.paper.tables import Figure, tables


@pytest.fixture(scope="module")
def chosen():
    """The findings on the models that the paper takes, by family, claim and measure."""
    found = [f for f in recheck_claims() if f.is_chosen]
    return {(f.family.name, f.measure.claim.name, f.measure.label): f for f in found}


def changed(number, row, column, value):
    """The tables with one other number."""
    table = tables()[number]
    rows = {name: dict(cells) for name, cells in table.rows.items()}
    rows[row][column] = Figure.printed(Fraction(str(value)), table.rows[row][column].half)
    return {**tables(), number: replace(table, rows=rows)}


def percent(low, high):
    return Figure(Fraction(low), Fraction(low), Fraction(high))


@pytest.mark.parametrize(
    ("claim", "low", "high", "verdict"),
    [
        (GAIN, "5", "15", "holds"),
        (GAIN, "4.99", "15", "not decidable within rounding"),
        (GAIN, "14", "15.01", "not decidable within rounding"),
        (GAIN, "4", "16", "not decidable within rounding"),
        (GAIN, "4", "4.99", "does not hold"),
        (GAIN, "15.01", "16", "does not hold"),
        (KEPT, "98.01", "120", "holds"),
        (KEPT, "98", "98.2", "not decidable within rounding"),
        (KEPT, "97", "98", "does not hold"),
    ],
)
def test_a_verdict_is_on_every_value_that_rounding_allows(claim, low, high, verdict):
    assert claim.verdict(percent(low, high)) == verdict


def test_the_vlms_gain_and_its_parts(chosen):
    def shown(label, claim="gain"):
        found = chosen["VLM", claim, label]
        figures = (found.percent.value, found.percent.low, found.percent.high)
        return [round(float(x), 1) for x in figures], found.verdict

    assert shown("SEA average") == ([13.3, 13.1, 13.5], "holds")
    assert shown("WorldCuisines, SEA") == ([0.2, 0.0, 0.3], "does not hold")
    assert shown("CVQA, SEA") == ([2.5, 2.4, 2.7], "does not hold")
    assert shown("SEA-VQA") == ([50.5, 50.2, 50.8], "does not hold")
    assert shown("global average", "kept") == ([101.4, 101.3, 101.6], "holds")
    assert shown("average rank, global", "kept")[1] == "does not hold"


def test_the_ends_are_those_of_the_printed_intervals(chosen):
    found = chosen["VLM", "gain", "SEA average"].percent
    assert found.low == 100 * (Fraction("63.75") / Fraction("56.35") - 1)
    assert found.high == 100 * (Fraction("63.85") / Fraction("56.25") - 1)
    mean = chosen["embedding", "gain", "mean of CVQA and SEA-VQA, SEA"]
    assert mean.base.value == (Fraction("24.02") + Fraction("25.81")) / 2
    assert mean.base.high - mean.base.value == Fraction("0.005")


def test_every_familys_headline_holds_and_one_part_is_undecidable(chosen):
    for key, found in chosen.items():
        if found.measure.role == "headline":
            assert found.verdict == "holds", key
    undecided = [k[2] for k, f in chosen.items() if f.verdict == "not decidable within rounding"]
    assert undecided == ["naturalness, Landmark"]


def test_the_chosen_rows_are_the_papers_best():
    every = tables()
    for family in FAMILIES:
        table = {"VLM": "1", "embedding": "5"}.get(family.name)
        if table is not None:
            rows = every[table].rows
            assert max(rows, key=lambda name: rows[name]["GRP"].value) == family.chosen
        for measure in family.measures:
            assert {family.base, family.chosen} <= set(every[measure.table].rows)


def test_a_worse_number_fails_the_claim():
    found = recheck_claims(changed("1", "SEA-Gemma-3 10%", "global_avg", 62.2))
    (kept,) = [
        f for f in found
        if f.is_chosen and f.measure.claim is KEPT and f.measure.label == "global average"
    ]  # fmt: skip
    assert kept.verdict == "not decidable within rounding"
    assert kept.percent.low < 98 < kept.percent.high


def test_what_the_tables_show_beside_the_claims():
    notes = "\n".join(claim_notes())
    assert "Table 1 does not print the items outside the region" in notes
    assert "17.8 to 18.5 %" in notes
    assert "Table 3 does not print which prompts are of the region" in notes
    assert "SEA-VQA 92.0 [91.2, 92.9] %" in notes
    assert "None of its three tasks gains 5 to 15 %" in notes
    assert "Laos 0.0 % of 72" in notes
    assert "Vietnam 18.9 % of 313" in notes
    assert "Thailand" not in notes
    assert "-0.09 and +0.84 from guessing" in notes
    assert "rules out grades 0, 1, 2" in notes
    assert "both claims hold for SEA-SigLIP2 50%, SEA-SigLIP2 75%, SEA-SigLIP2 (w/o merge)" in notes


def test_notes_follow_the_tables():
    above = {**changed("10", "Google Gemma-3", "lao", 30.6)}
    notes = "\n".join(claim_notes(above))
    assert "Laos" not in notes
    assert "Vietnam 18.9 % of 313" in notes
