"""What a card's rows say of the sides of parity, by hand-checked arithmetic."""

from __future__ import annotations

import pytest

from ggez_hub.cards import read_card
from ggez_hub.cards.curve import MeasuredCurve
from ggez_hub.demo.hub import ASSETS
from ggez_hub.parity.beta_choice import select_beta
from ggez_hub.parity.card_rows import NoCurve, ranking_rows
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.moments import GLOBAL, OTHERS, REGIONAL
from tests.parity.curves import measured, row, rows


def test_parity_of_the_paper():
    # Table 1, SEA-Gemma-3 10 %: 64.4 and 63.8 give 64.1 with alpha 0.43.
    curve = ParityCurve.of(measured({"0.1": (64.4, 63.8)}), "validation", "th")
    assert round(curve.grp_raw(0, 0.43), 1) == 64.1


def test_normalised_by_the_floor():
    curve = ParityCurve.of(measured({"0": (62.5, 50.0)}, floor=25.0), "validation", "th")
    assert curve.moments.means[GLOBAL] == pytest.approx((50.0,))
    assert curve.grp(0, 0.5) == pytest.approx(0.5 * 50 + 0.5 * 100 / 3)
    assert curve.grp_raw(0, 0.5) == pytest.approx(56.25)
    assert curve.moments.covariance[GLOBAL, 0, GLOBAL, 0] == pytest.approx((100 / 75) ** 2)


def test_a_region_inside_the_cards_is_scored_on_its_own_items():
    def regional(total, kh):
        parts = {
            "kh": {"score": kh, "n": 150, "se": 1.0},
            "th": {"score": 2 * total - kh, "n": 90, "se": 1.0},
        }
        return row(total, "regional", countries=parts)

    points = {
        "0": {"g": row(60.0, "global"), "r": regional(40.0, 45.0)},
        "1": {"g": row(30.0, "global"), "r": regional(80.0, 62.0)},
    }
    found = MeasuredCurve(points, "independent", "southeast-asia")
    assert select_beta(found, 0.5, "southeast-asia").beta == 1.0
    khmer = select_beta(found, 0.5, "kh")
    assert (khmer.curve.region, khmer.beta) == ("kh", 0.0)
    # 90 Thai items are too few: the complete side decides, and the answer says so.
    thai = select_beta(found, 0.5, "th")
    assert (thai.curve.region, thai.beta) == ("southeast-asia", 1.0)


def test_others_are_the_items_outside_the_region():
    """300 items, 100 of them Thai at 20 %: 110 right in all leave 90 of 200."""
    countries = {"th": {"score": 20.0, "n": 100, "se": 4.0}}
    points = {
        "0": {"g": row(110 / 3, "global", n=300, countries=countries), "r": row(50, "regional")}
    }
    curve = ParityCurve.of(measured(points), "validation", "th")
    assert curve.moments.scores[OTHERS] == pytest.approx((45.0,))
    assert curve.moments.covariance[OTHERS, 0, OTHERS, 0] == pytest.approx(1.5)


def test_scores_of_different_metrics_are_never_averaged():
    mixed = rows({"0": (60.0, 20.0)})
    mixed["0"]["g4"] = row(90.0, "global", metric="choice_4", floor=25.0)
    mixed["0"]["r4"] = row(90.0, "regional", metric="choice_4", floor=25.0)
    curve = ParityCurve.of(measured(mixed), "validation", "th")
    assert curve.scale == "r1"
    assert curve.grp_raw(0, 0.5) == pytest.approx(40.0)


def test_claims_of_the_author_do_not_rank_beside_measurements():
    both = rows({"0": (60.0, 20.0)}) | rows({"1": (99.0, 99.0)}, by="self")
    assert ParityCurve.of(measured(both), "validation", "th").betas == (0.0,)
    claimed = ParityCurve.of(measured({"1": (99.0, 99.0)}, by="self"), "validation", "th")
    assert claimed.measured_by == "self"


@pytest.mark.parametrize(
    "points",
    [
        {},
        {"0": {"g": row(60.0, "global")}},
        {"0": {"g": row(60.0, "global"), "r": row(20.0, "regional", metric="other")}},
        rows({"0": (60.0, 25.5), "1": (60.0, 26.0)}, floor=25.0),
    ],
    ids=["empty", "one side", "two metrics", "at chance"],
)
def test_without_two_sides_above_chance_there_is_no_choice(points):
    with pytest.raises(NoCurve):
        select_beta(measured(points), 0.5, "th")


def test_a_task_at_chance_takes_no_part():
    """A guesser is above a bound of one beta at some of 13; the bound holds for all of them."""
    grid = {f"{step / 10:g}": (60.0, 50.0) for step in range(13)}
    with_guesser = rows(grid)
    for number, beta in enumerate(grid):
        score = 25 + (2.2 if number == 7 else -0.5)
        with_guesser[beta]["lao"] = row(score, "regional", floor=25.0)
    curve = ParityCurve.of(measured(with_guesser), "validation", "th")
    assert curve.at_chance == ("lao",)
    assert curve.moments.scores[REGIONAL, 7] == 50.0
    few = {beta: with_guesser[beta] for beta in ("0", "0.7")}
    assert ParityCurve.of(measured(few), "validation", "th").at_chance == ("lao",)
    alone = {"0.7": with_guesser["0.7"]}
    assert ParityCurve.of(measured(alone), "validation", "th").at_chance == ()


@pytest.mark.parametrize("name", ["th", "southeast-asia"])
@pytest.mark.parametrize("region", ["th", "kh", "southeast-asia"])
def test_the_rows_that_rank_choose_as_the_complete_curve_does(name, region):
    card = read_card(ASSETS / "embedding" / name / "README.md").card
    few = ranking_rows(card.curve)
    kept = MeasuredCurve(few, "independent", card.region)
    for alpha in (0.0, 0.4, 1.0):
        complete, short = (select_beta(m, alpha, region) for m in (card.measured, kept))
        assert (short.beta, short.curve.region) == (complete.beta, complete.curve.region)
        assert short.grp == pytest.approx(complete.grp)
    assert sum(map(len, few.values())) < sum(map(len, card.curve.values())) / 2


def test_claims_rank_nothing():
    points = {"0": (60.0, 10.0), "1": (50.0, 40.0)}
    assert ranking_rows(rows(points, by="self")) == {}
    mixed = {"0": rows(points)["0"], "1": rows(points, by="self")["1"]}
    assert list(ranking_rows(mixed)) == ["0", "1"]
    assert ParityCurve.of(measured(ranking_rows(mixed)), "validation", "th").betas == (0.0,)
