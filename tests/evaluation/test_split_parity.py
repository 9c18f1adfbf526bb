"""Errors that know which questions share a picture, against drawing the pictures anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ggez_hub.cards.curve import MeasuredCurve, SplitParity
from ggez_hub.evaluation.answers.outcomes import Cell, Details
from ggez_hub.evaluation.results.measured_curve import curve_of
from ggez_hub.parity.beta_choice import select_beta
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.intervals import estimate_grp, estimate_grp_difference
from ggez_hub.parity.moments import GLOBAL, OTHERS, REGIONAL
from ggez_hub.parity.policy import KEEP
from tests.evaluation.conftest import outcomes
from tests.evaluation.results import TASKS, write

N = 500
SHARES = {0.0: (0.8, 0.5), 1.0: (0.75, 0.6)}


def answers(shared):
    """Both tasks ask about the same pictures, or about pictures of their own; luck is the picture's."""
    luck = np.random.default_rng(0).random((2, N))
    found = {}
    for split in ("validation", "test"):
        for number, task in enumerate(("world", "thai")):
            for beta, sides in SHARES.items():
                right = luck[0 if shared else number] < sides[number]
                plain = outcomes(right, items=[f"{task}-{row}" for row in range(N)])
                images = [f"{0 if shared else number}-{row}" for row in range(N)]
                found[Cell(beta, task, split)] = replace(
                    plain, details=Details.of(N, images=images)
                )
    return found


@pytest.mark.parametrize("shared", [True, False])
def test_the_errors_are_those_of_drawing_the_pictures_anew(shared, tmp_path):
    evidence = write(tmp_path, answers(shared))
    alpha = evidence.header.alpha.value
    curve = ParityCurve.of(curve_of(evidence), "test", "th")
    assert curve.is_joint
    stream = np.random.default_rng(1)
    rows = stream.integers(0, N, (4000, N))
    others = rows if shared else stream.integers(0, N, (4000, N))
    grps = []
    for beta in SHARES:
        world, thai = (
            evidence.outcomes[Cell(beta, task, "test")].correct for task in ("world", "thai")
        )
        grps.append(alpha * world[rows].mean(axis=1) + (1 - alpha) * thai[others].mean(axis=1))
    for index, drawn in enumerate(grps):
        assert estimate_grp(curve.moments, alpha, index).se == pytest.approx(
            100 / 0.75 * drawn.std(), rel=0.06
        )
    difference = 100 / 0.75 * (grps[1] - grps[0]).std()
    assert estimate_grp_difference(curve.moments, alpha, 1, 0).se == pytest.approx(
        difference, rel=0.06
    )
    shared_error = curve.moments.covariance[GLOBAL, 0, REGIONAL, 0]
    assert (shared_error > 0.5) if shared else (shared_error == pytest.approx(0, abs=1e-9))


def test_what_is_stored_is_what_is_computed(tmp_path):
    """Through a card's YAML the errors stay those of the answers."""
    evidence = write(tmp_path, answers(shared=True))
    measured = curve_of(evidence)
    stored = {
        split: SplitParity.model_validate(sides.model_dump(mode="json"))
        for split, sides in measured.parity.items()
    }
    again = ParityCurve.of(MeasuredCurve(measured.rows, stored, "th"), "test", "th")
    first = ParityCurve.of(measured, "test", "th")
    for side in (GLOBAL, OTHERS, REGIONAL):
        assert (
            again.moments.covariance[side, 0, side, 1] == first.moments.covariance[side, 0, side, 1]
        )


def test_paired_errors_let_keep_see_what_independent_ones_hide(tmp_path):
    """The two models miss the same pictures but for 1 %: rows alone cannot show it."""
    luck = np.random.default_rng(3).random(4000)
    cells = {}
    for split in ("validation", "test"):
        for beta, (world, thai) in {0.0: (0.8, 0.5), 0.5: (0.796, 0.6)}.items():
            cells[Cell(beta, "world", split)] = outcomes(luck < world)
            cells[Cell(beta, "thai", split)] = outcomes(
                luck < thai, items=[f"t{n}" for n in range(4000)]
            )
    measured = curve_of(write(tmp_path, cells))
    assert select_beta(measured, 0.4, "th", KEEP).beta == 0.5
    alone = replace(measured, parity="independent")
    assert select_beta(alone, 0.4, "th", KEEP).beta == 0.0
    first, second = (ParityCurve.of(m, "validation", "th") for m in (measured, alone))
    assert first.moments.combine(first.moments.surplus(1, 0.98, 0))[0] == pytest.approx(
        second.moments.combine(second.moments.surplus(1, 0.98, 0))[0]
    )


def test_a_region_of_its_own_in_the_global_side(tmp_path):
    """Items of the region are no part of Q_others, and weigh in Q_global."""
    places = ["jp"] * 500 + ["th"] * 100
    cells = {}
    for beta, thai in ((0.0, 20), (0.5, 90)):
        right = [1] * 400 + [0] * 100 + [1] * thai + [0] * (100 - thai)
        regional = [1] * 5 * thai + [0] * (500 - 5 * thai)
        for split in ("validation", "test"):
            cells[Cell(beta, "world", split)] = outcomes(right, countries=places)
            cells[Cell(beta, "thai", split)] = outcomes(
                regional, items=[f"t{n}" for n in range(500)]
            )
    curve = ParityCurve.of(curve_of(write(tmp_path, cells, tasks=TASKS)), "test", "th")
    assert curve.has_others
    assert curve.moments.scores[OTHERS] == pytest.approx((80.0, 80.0))
    assert curve.moments.scores[GLOBAL] == pytest.approx((70.0, 100 * 490 / 600))
    assert curve.moments.combine(curve.moments.surplus(1, 1.0, 0)) == pytest.approx((0.0, 0.0))


def test_without_items_outside_there_is_nothing_to_keep(tmp_path):
    cells = answers(shared=False)
    for cell, found in cells.items():
        if cell.task == "world":
            details = replace(found.details, countries=("th",) * N)
            cells[cell] = replace(found, details=details)
    measured = curve_of(write(tmp_path, cells))
    assert not ParityCurve.of(measured, "test", "th").has_others
    with pytest.raises(NoCurve, match="no item is outside"):
        select_beta(measured, 0.4, "th", KEEP)
