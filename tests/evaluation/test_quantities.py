"""Q_global, Q_others and Q_regional; and what stands in place of a GRP."""

from __future__ import annotations

import json
from itertools import product

import pytest

from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.results.breakdown import pareto, suite
from ggez_hub.evaluation.results.figures import figures
from ggez_hub.evaluation.results.measured_curve import curve_of
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.moments import GLOBAL, OTHERS, REGIONAL
from tests.evaluation.conftest import outcomes
from tests.evaluation.results import SHARES, TASKS, grid, write

WORLD = {"metric": "choice_4", "side": "global"}
THAI = {"metric": "choice_4", "side": "regional", "regions": ["th"]}


def test_the_paper_s_global_contains_the_region_and_others_does_not(tmp_path):
    """Table 5: 25.51 = w * 24.02 + (1 - w) * 25.84 with the region inside."""
    world = outcomes(
        [1] * 90 + [0] * 110 + [1] * 20 + [0] * 80,
        items=[f"w{n}" for n in range(300)],
        countries=["jp"] * 200 + ["th"] * 100,
    )
    thai = outcomes([1] * 30 + [0] * 70, items=[f"t{n}" for n in range(100)])
    cells = {Cell(0.0, "world", "test"): world, Cell(0.0, "thai", "test"): thai}
    evidence = write(tmp_path, cells, tasks={"world": WORLD, "thai": THAI})
    at = suite(evidence, 0.0, "test", "choice_4")
    curve = ParityCurve.of(curve_of(evidence), "test", "th")
    assert (at.inside, at.unplaced) == (100, 0)
    assert curve.moments.scores[GLOBAL] == pytest.approx((100 * 110 / 300,))
    assert curve.moments.scores[OTHERS] == pytest.approx((45,))
    assert curve.moments.scores[REGIONAL] == pytest.approx((30,))
    assert curve.grp_raw(0, 0.4) == pytest.approx(0.4 * 100 * 110 / 300 + 0.6 * 30)
    assert curve.grp(0, 0.4) == pytest.approx(
        0.4 * 100 * (110 / 300 - 0.25) / 0.75 + 0.6 * 100 * 0.05 / 0.75
    )


def test_a_task_of_the_others_is_no_part_of_global(tmp_path):
    cells = grid(50, tasks=("world", "thai"))
    cells |= {Cell(b, "abroad", "test"): outcomes([1] * 10) for b in SHARES}
    evidence = write(tmp_path, cells, tasks=TASKS | {"abroad": WORLD | {"side": "others"}})
    at = suite(evidence, 0.5, "test", "choice_4")
    assert set(at.world) == {"world"}
    assert set(at.others) == {"world", "abroad"}
    assert at.unplaced == 60
    curve = ParityCurve.of(curve_of(evidence), "test", "th")
    assert curve.moments.pictures[OTHERS] == 60
    assert curve.moments.pictures[GLOBAL] == 50


@pytest.mark.parametrize(
    "regional",
    [{"metric": "likert"}, {"metric": "choice_4", "judge": "a-model"}],
    ids=["metrics", "judges"],
)
def test_other_metrics_or_judges_have_a_pareto_table_and_no_grp(tmp_path, regional):
    tasks = {"world": WORLD, "thai": THAI | regional}
    evidence = write(tmp_path, tasks=tasks)
    with pytest.raises(NoCurve, match="no GRP: the global side is measured by choice_4"):
        ParityCurve.of(curve_of(evidence), "test", "th")
    found = figures(evidence)["parity"]["test"]
    assert found["grp"] is None
    assert "no GRP" in found["reason"]
    assert [row["beta"] for row in found["pareto"]] == [0.0, 0.5, 1.0]
    # 0.5 gives up two points for twenty, so neither end is better on both sides.
    assert [row["dominated_by"] for row in found["pareto"]] == [[], [], []]
    assert figures(evidence)["selection"]["beta"] is None
    json.dumps(found)


def test_what_is_worse_on_both_sides_is_dominated(tmp_path):
    shares = {0.0: (0.80, 0.40), 0.5: (0.85, 0.60), 1.0: (0.60, 0.62)}
    evidence = write(
        tmp_path, grid(shares=shares), tasks={"world": WORLD, "thai": THAI | {"metric": "x"}}
    )
    found = {row["beta"]: row["dominated_by"] for row in pareto(evidence, "test")}
    assert found == {0.0: [0.5], 0.5: [], 1.0: []}


def test_the_least_guessable_common_scale_is_taken(tmp_path):
    cells = grid(50)
    for beta, split in product(SHARES, ("validation", "test")):
        cells[Cell(beta, "find", split)] = outcomes([1, 0] * 20, chance=0.001)
        cells[Cell(beta, "find-th", split)] = outcomes([1, 0, 0, 0] * 10, chance=0.001)
    tasks = TASKS | {
        "find": WORLD | {"metric": "r1"}, "find-th": THAI | {"metric": "r1"}
    }  # fmt: skip
    evidence = write(tmp_path, cells, tasks=tasks)
    curve = ParityCurve.of(curve_of(evidence), "test", "th")
    assert curve.scale == "r1"
    assert curve.moments.scores[REGIONAL] == pytest.approx((25,) * 3)
