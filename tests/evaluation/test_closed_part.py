"""The closed part of the test side: which pictures, what is published of them, and what they catch."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from ggez_hub.cards.measurements import ClosedRule
from ggez_hub.cli.main import cli
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.answers.predictions import read_predictions
from ggez_hub.evaluation.gates.outcome import Limits, gate_report
from ggez_hub.evaluation.results.closed_part import CLOSED, Closing, divide
from ggez_hub.evaluation.results.evidence import open_evidence
from ggez_hub.evaluation.results.figures import MeasuredBaseline, write_results
from ggez_hub.evaluation.results.measured_curve import curve_of
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.effects import effects, independent_difference
from ggez_hub.parity.intervals import Interval
from tests.evaluation.conftest import outcomes
from tests.evaluation.results import header, write

RULE = ClosedRule(share=0.2, rotation="2026-12")
PICTURES = 700
SIDES = ("world", "thai")


def picture(side, split, number):
    return f"picture-{side}-{split}-{number:03d}"


def right(rng, share):
    """Which of the pictures are answered right: two questions about each."""
    return np.repeat(rng.random(PICTURES) < share, 2)


def answers(shares, rng, merged=None):
    """Answers by cell at beta 0 and 0.5; `merged` gives those of (side, split) at 0.5 instead."""
    found = {}
    for split in ("validation", "test"):
        for place, side in enumerate(SIDES):
            images = [picture(side, split, n // 2) for n in range(2 * PICTURES)]
            items = [f"{image}-{n % 2}" for n, image in enumerate(images)]
            base = right(rng, shares[0][place])
            other = (merged or {}).get((side, split))
            if other is None:
                other = base | right(rng, shares[1][place])
            for beta, correct in ((0.0, base), (0.5, other)):
                found[Cell(beta, side, split)] = outcomes(correct, items=items, images=images)
    return found


@pytest.fixture
def close(tmp_path):
    """Write a results folder with a closed part."""

    def write_closed(cells, rule=RULE, measured=None):
        made = header(measured_by="registry", models={"0": "0" * 64, "0.5": "5" * 64})
        folder, keep = tmp_path / "results", tmp_path / "kept"
        return write_results(folder, made, cells, measured, Closing(rule, keep))

    return write_closed


def gate(report, name):
    return next(gate for gate in report.gates if gate.name == name)


def gained(seed=0):
    """Of an adapter that is really better on the region, by the same on every picture."""
    return answers(((0.8, 0.4), (0.2, 0.3)), np.random.default_rng(seed))


def test_all_questions_about_a_picture_are_on_one_side_and_nothing_is_lost():
    cells = gained()
    opened, closed = divide(cells, RULE)
    assert {cell.split for cell in closed} == {"test"}
    for cell, whole in cells.items():
        if cell.split == "validation":
            assert opened[cell] is whole
            continue
        mine, theirs = set(opened[cell].pictures), set(closed[cell].pictures)
        assert not mine & theirs
        assert mine | theirs == set(whole.pictures)
        assert {*opened[cell].items, *closed[cell].items} == set(whole.items)
        # About the share of them: within four standard errors of a fifth of 700.
        assert abs(len(theirs) - 140) < 4 * (PICTURES * 0.2 * 0.8) ** 0.5
    again = divide(gained(1), RULE)[1]
    assert [o.items for o in again.values()] == [o.items for o in closed.values()]


def test_another_rotation_closes_other_pictures():
    cell = Cell(0.0, "thai", "test")
    one, other = (
        set(divide(gained(), RULE.model_copy(update={"rotation": rotation}))[1][cell].pictures)
        for rotation in ("2026-12", "2027-03")
    )
    assert one != other
    assert len(one & other) < len(one) / 2


def test_what_was_not_asked_stays_open():
    cell = Cell(0.0, "thai", "test")
    cells = gained()
    cells[cell] = replace(cells[cell], missing=("gone",))
    opened, closed = divide(cells, RULE)
    assert opened[cell].missing == ("gone",)
    assert closed[cell].missing == ()


def test_the_aggregates_are_those_of_the_closed_items(close, tmp_path):
    cells = gained()
    part = close(cells).header.closed
    kept = read_predictions(tmp_path / "kept" / CLOSED)
    pictures = {p for answered in kept.values() for p in answered.pictures}
    assert part.pictures == len(pictures)
    assert all(map(RULE.is_closed, pictures))
    # The same parity as of a measurement that asked nothing but the closed pictures.
    alone = {c: o for c, o in cells.items() if c.split == "validation"} | kept
    expected = curve_of(write(tmp_path / "alone", alone, measured_by="registry")).parity["test"]
    assert part.parity == expected


def test_nothing_of_the_closed_items_is_published(close, tmp_path):
    cells = gained()
    average = {c: o for c, o in cells.items() if c.beta == 0.5}
    close(cells, measured={"average": MeasuredBaseline("a" * 64, average)})
    published = sorted((tmp_path / "results").iterdir())
    assert [p.name for p in published] == ["average.parquet", "predictions.parquet", "results.json"]
    text = "".join(
        json.dumps(_table(path)) if path.suffix == ".parquet" else path.read_text()
        for path in published
    )
    named = {
        picture(side, "test", n): RULE.is_closed(picture(side, "test", n))
        for side in SIDES
        for n in range(PICTURES)
    }
    assert [p for p, is_closed in named.items() if is_closed and p in text] == []
    assert all(p in text for p, is_closed in named.items() if not is_closed)


def _table(path):
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()


def test_an_honest_adapter_passes_on_both_parts(close):
    report = gate_report(close(gained()), Limits(), 0.5)
    for name in ("gain", "gain on the closed part", "jump"):
        assert gate(report, name).verdict == "pass", gate(report, name)
    (said,) = (s for s in report.statements if s.startswith("closed part"))
    assert "rotation 2026-12" in said


def test_one_that_learned_the_open_answers_is_found(close):
    # Right on every open picture whose answer was seen, and no better than the base elsewhere.
    rng = np.random.default_rng(3)
    cells = answers(((0.8, 0.4), (0.0, 0.0)), rng)
    cell = Cell(0.5, "thai", "test")
    base = cells[Cell(0.0, "thai", "test")]
    seen = np.array([not RULE.is_closed(p) for p in base.pictures])
    cells[cell] = outcomes(
        base.correct | (seen & right(rng, 0.3)), items=base.items, images=base.pictures
    )
    report = gate_report(close(cells), Limits(), 0.5)
    assert gate(report, "gain").verdict == "pass"
    assert gate(report, "gain on the closed part").verdict == "undetermined"
    assert gate(report, "jump").verdict == "undetermined"
    assert "possible selection on the test side" in gate(report, "jump").reason
    assert report.outcome == "undetermined"


def test_the_best_of_fifty_submissions_by_the_open_score_does_not_pass(close):
    """Fifty adapters that change a tenth of the answers at random: their author keeps the best."""
    rng = np.random.default_rng(8)
    cells = answers(((0.8, 0.4), (0.0, 0.0)), rng)
    base = cells[Cell(0.0, "thai", "test")]
    seen = np.array([not RULE.is_closed(p) for p in base.pictures])
    tries = []
    for _ in range(50):
        flipped = right(rng, 0.1)
        tries.append(np.where(flipped, right(rng, 0.4), base.correct))
    best = max(tries, key=lambda correct: correct[seen].mean())
    cells[Cell(0.5, "thai", "test")] = outcomes(best, items=base.items, images=base.pictures)
    report = gate_report(close(cells), Limits(), 0.5)
    # By the open part alone it would be published as an improvement.
    assert gate(report, "gain").verdict == "pass", gate(report, "gain")
    closed, jump = gate(report, "gain on the closed part"), gate(report, "jump")
    assert "pass" not in {closed.verdict} & {jump.verdict}
    assert report.outcome != "pass"


def test_the_worst_of_both_parts_counts(close):
    # Lost on the closed pictures, gained on the open ones.
    rng = np.random.default_rng(4)
    cells = answers(((0.8, 0.5), (0.0, 0.3)), rng)
    cell = Cell(0.5, "thai", "test")
    whole = cells[cell]
    apart = np.array([RULE.is_closed(p) for p in whole.pictures])
    worse = np.where(apart, whole.correct & right(rng, 0.55), whole.correct)
    cells[cell] = outcomes(worse, items=whole.items, images=whole.pictures)
    report = gate_report(close(cells), Limits(), 0.5)
    assert gate(report, "gain").verdict == "pass"
    assert gate(report, "gain on the closed part").verdict == "fail"
    assert report.outcome == "fail"


def test_too_few_closed_pictures_decide_nothing(close):
    report = gate_report(close(gained(), ClosedRule(share=1e-9, rotation="a")), Limits(), 0.5)
    assert gate(report, "gain on the closed part").verdict == "undetermined"
    assert gate(report, "jump").verdict == "undetermined"
    assert "0 closed pictures" in gate(report, "jump").reason


def test_retention_is_asked_of_both_where_the_policy_keeps(close):
    from ggez_hub.parity.policy import Policy

    report = gate_report(close(gained()), Limits(), 0.5, Policy.parse("keep"))
    names = [gate.name for gate in report.gates]
    assert "retention" in names
    assert "retention on the closed part" in names


def test_the_difference_of_two_gains():
    one, other = Interval(5.0, 1.0, 3.0, 8.0, 400), Interval(1.0, 2.0, -3.0, 4.0, 100)
    found = independent_difference(one, other)
    assert (found.value, found.pictures) == (4.0, 500)
    assert found.se == pytest.approx(5**0.5)
    assert (found.low, found.high) == pytest.approx((4 - 13**0.5, 4 + 5.0))
    assert found.refusal is None
    refused = replace(other, refusal="too few")
    assert not independent_difference(replace(one, low=4.9), refused).is_above_zero


def verify(*arguments):
    return CliRunner().invoke(cli, ["verify", *map(str, arguments)])


def test_verify_says_what_it_cannot_recompute_and_recomputes_it_with_the_file(close, tmp_path):
    close(gained())
    folder, kept = tmp_path / "results", tmp_path / "kept" / CLOSED
    without = verify(folder)
    assert without.exit_code == 0, without.output
    assert "figures rest on answers that are not published until the rotation changes" in (
        without.output
    )
    found = verify(folder, "--closed", kept, "--json")
    assert found.exit_code == 0, found.output
    closed = json.loads(found.stdout)["closed"]
    assert closed["recomputed"] is True
    assert closed["rotation"] == "2026-12"
    # A part measured otherwise, in a file of its own.
    other = tmp_path / "other.parquet"
    from ggez_hub.evaluation.answers.predictions import write_predictions

    write_predictions(other, divide(gained(1), RULE)[1])
    changed = verify(folder, "--closed", other)
    assert changed.exit_code == 1
    assert "it is another file, or was changed" in changed.output
    assert "closed: parity" in changed.output


def test_verify_finds_a_changed_aggregate_and_a_closed_picture_among_the_open(close, tmp_path):
    from ggez_hub.evaluation.answers.predictions import write_predictions

    cells = gained()
    close(cells)
    folder, kept = tmp_path / "results", tmp_path / "kept" / CLOSED
    place = folder / "results.json"
    content = json.loads(place.read_text())
    content["header"]["closed"]["parity"]["q_regional"]["above_chance"][1] += 1
    place.write_text(json.dumps(content))
    assert verify(folder).exit_code == 0
    assert "closed: parity: q_regional" in verify(folder, "--closed", kept).output
    content["header"]["sha256"] = write_predictions(folder / "predictions.parquet", cells)
    place.write_text(json.dumps(content))
    leaked = verify(folder)
    assert leaked.exit_code == 1
    assert "answers of the open part are about closed pictures" in leaked.output


def test_effects_of_a_record_are_those_of_its_curve(close):
    found = close(gained())
    curve = ParityCurve.of(curve_of(found), "test", "th")
    record = ParityCurve.of_record(curve_of(found).parity["test"], "th")
    assert effects(curve, 1, 0.6, 0.98) == effects(record, 1, 0.6, 0.98)
    assert open_evidence(found.place).header == found.header
