"""Figures over seeds: each of a few, a t-interval over five or more, and only of the same tasks."""

from __future__ import annotations

import statistics

import pytest
from pydantic import ValidationError

from ggez_hub.cards.curve import MeasuredCurve
from ggez_hub.cards.measurements import SeedRun
from ggez_hub.cards.schema import AdapterCard
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.score_intervals import t_quantile
from ggez_hub.parity.seeds import OverSeeds, seed_sides, seed_summary
from tests.cards.blocks import block
from tests.parity.curves import measured

ALPHA = 0.4
POINTS = {"0": (60.0, 20.0), "0.5": (58.0, 40.0), "1": (40.0, 45.0)}
MODELS = {beta: str(number) * 64 for number, beta in enumerate(POINTS)}


def run(seed, shift=0.0, points=POINTS):
    """A seed whose scores are those of the published adapter, moved by `shift`."""
    moved = {beta: (world + shift, region + 2 * shift) for beta, (world, region) in points.items()}
    sides = seed_sides(measured(moved, floor=0.25))
    return SeedRun(seed=seed, models=MODELS, predictions="unknown", sides=sides)


def card(*runs, seed=0):
    """A card with a curve and other seeds."""
    training = {"method": "x", "hyper_parameters": "unknown", "seed": seed, "versions": "unknown"}
    curve = measured(POINTS, floor=0.25)
    rows = {
        beta: {k: row.model_dump() for k, row in tasks.items()}
        for beta, tasks in curve.rows.items()
    }
    seeds = [found.model_dump() for found in runs]
    return AdapterCard.model_validate(
        block() | {"training": training, "curve": rows, "seeds": seeds}
    )


def summary(found, beta=0.5, region="th"):
    curve = ParityCurve.of(found.measured, "validation", region)
    return seed_summary(found, curve, "validation", beta, ALPHA)


# Of tables of Student's t, two-sided 95 %.
@pytest.mark.parametrize(
    ("freedom", "value"),
    [(1, 12.7062), (2, 4.3027), (4, 2.7764), (7, 2.3646), (9, 2.2622), (30, 2.0423)],
)
def test_the_quantiles_are_those_of_the_tables(freedom, value):
    assert t_quantile(0.975, freedom) == pytest.approx(value, abs=5e-5)


def test_an_interval_is_that_of_the_mean():
    # Worked by hand: mean 3, sd sqrt(2.5), 2.7764 * sqrt(2.5 / 5) on each side.
    found = OverSeeds.of([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.mean, found.sd) == (3.0, pytest.approx(2.5**0.5))
    assert found.high - 3 == pytest.approx(2.77645 * 0.5**0.5, abs=1e-4)
    assert found.low + found.high == pytest.approx(6.0)


def test_of_a_few_seeds_each_is_printed_and_no_interval():
    found = summary(card(run(1, 2.0), run(2, -1.0)))
    assert found.intervals is None
    assert [figures.seed for figures in found.seeds] == [0, 1, 2]
    own, second = found.seeds[:2]
    curve = ParityCurve.of(measured(POINTS, floor=0.25), "validation", "th")
    assert own.grp == pytest.approx(curve.grp(1, ALPHA))
    assert own.gain == pytest.approx(curve.grp(1, ALPHA) - curve.grp(0, ALPHA))
    # 2 points on the global side and 4 on the regional one, of scores above a chance of .25 %.
    span = 100 / (100 - 0.25)
    assert second.grp - own.grp == pytest.approx(span * (ALPHA * 2 + (1 - ALPHA) * 4), abs=1e-6)
    assert second.regional - own.regional == pytest.approx(span * 4, abs=1e-6)
    assert second.gain == pytest.approx(own.gain, abs=1e-6)
    first, _, last, count = found.lines()
    assert first.startswith(f"seed 0, published, at beta 0.5: GRP {own.grp:.2f}, ")
    assert last.startswith("seed 2, at beta 0.5: ")
    assert count == "3 seeds: an interval over seeds needs 5"
    assert found.as_dict()["over_seeds"] is None


def test_over_five_seeds_there_is_an_interval():
    shifts = (1.0, 2.0, 3.0, 4.0)
    found = summary(card(*(run(seed, shift) for seed, shift in enumerate(shifts, 1))))
    grps = [figures.grp for figures in found.seeds]
    assert len(grps) == 5
    over = found.intervals["grp"]
    half = 2.77645 * statistics.stdev(grps) / 5**0.5
    assert over.mean == pytest.approx(statistics.fmean(grps))
    assert (over.low, over.high) == (
        pytest.approx(over.mean - half, abs=1e-4), pytest.approx(over.mean + half, abs=1e-4),
    )  # fmt: skip
    assert set(found.intervals) == {"grp", "others", "regional", "gain"}
    # All seeds gain the same over their own bases.
    assert found.intervals["gain"].sd == pytest.approx(0, abs=1e-6)
    (line,) = found.lines()
    assert line.startswith(
        f"5 seeds at beta 0.5: GRP {over.mean:.2f} [{over.low:.2f}, {over.high:.2f}]"
    )
    assert found.as_dict()["over_seeds"]["grp"]["interval"] == [over.low, over.high]


def test_only_the_same_tasks_at_a_measured_beta_for_the_same_region_count():
    assert summary(card()) is None
    assert summary(card(run(1)), beta=0.75) is None
    assert summary(card(run(1, points={"0": (60.0, 20.0)}))) is None
    other = measured(POINTS, floor=0.25)
    rows = {
        beta: {f"other-{key}": row for key, row in tasks.items()}
        for beta, tasks in other.rows.items()
    }
    sides = seed_sides(MeasuredCurve(rows, "independent", "th"))
    strange = SeedRun(seed=1, models="unknown", predictions="unknown", sides=sides)
    assert summary(card(strange)) is None
    assert [f.seed for f in summary(card(strange, run(2))).seeds] == [0, 2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["seeds"].append(c["seeds"][0]), "seed 1 is there twice"),
        (
            lambda c: c["training"].update(seed=1),
            "that of the published adapter is `training.seed`",
        ),
        (
            lambda c: c["seeds"][0]["sides"]["validation"]["q_regional"].pop(),
            "2 scores for 3 betas",
        ),
        (lambda c: c["seeds"][0]["sides"]["validation"].update(q_others="some"), "q_global"),
        (lambda c: c["seeds"][0]["sides"].clear(), "at least 1 item"),
    ],
)
def test_seeds_that_cannot_be_are_refused(change, words):
    content = card(run(1)).model_dump()
    change(content)
    with pytest.raises(ValidationError) as refused:
        AdapterCard.model_validate(content)
    assert words in str(refused.value)
