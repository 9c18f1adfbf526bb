"""How sure a choice of beta is, and cross-fitting where there are few items."""

from __future__ import annotations

import numpy as np
import pytest

from ggez_hub.evaluation.choosing import (
    FOLDS,
    choose_from,
    cross_fit,
    items_of,
    probabilities,
    sides_by_beta,
)
from ggez_hub.evaluation.comparison import NotComparable, Sides, parity
from ggez_hub.evaluation.results import figures
from ggez_hub.evaluation.trade_off import choose
from tests.evaluation.conftest import outcomes
from tests.evaluation.results import TASKS, grid, write

ALPHA = 0.4


def by_beta(n=600, **options):
    cells = grid(n, splits=("test",), **options)
    return {
        beta: Sides(*((o,) for c, o in cells.items() if c.beta == beta))
        for beta in sorted({c.beta for c in cells})
    }


def test_the_rule():
    assert choose([40, 50, 50.5], [1, 1, 0.4]) == 2
    assert choose([40, 50, 50.5], [1, 1, 0.5]) == 1
    assert choose([50, 50], [0, 0]) == 0


def test_probabilities_agree_with_draws_made_by_hand():
    sides = by_beta(80, shares={0.0: (0.6, 0.45), 1.0: (0.55, 0.52)})
    errors = {0.0: 2.0, 1.0: 2.0}
    found = probabilities(sides, ALPHA, errors, draws=4000)
    stream = np.random.default_rng(7)
    names = sorted({p for s in sides.values() for t in (*s.global_tasks, *s.regional_tasks)
                    for p in t.pictures})  # fmt: skip
    taken = np.zeros(2)
    for _ in range(2000):
        counts = np.bincount(stream.integers(0, len(names), len(names)), minlength=len(names))
        weight = dict(zip(names, counts, strict=True))

        def score(task, weight=weight):
            w = np.array([weight[p] for p in task.pictures])
            return 100 * ((w * task.correct).sum() / w.sum() - 0.25) / 0.75

        grps = [
            ALPHA * score(s.global_tasks[0]) + (1 - ALPHA) * score(s.regional_tasks[0])
            for s in sides.values()
        ]
        taken[choose(grps, [2.0, 2.0])] += 1
    assert sum(found.values()) == pytest.approx(1)
    assert found[1.0] == pytest.approx(taken[1] / 2000, abs=0.04)
    assert 0.1 < found[1.0] < 0.9


def test_a_clear_choice_is_sure_and_the_same_every_time():
    sides = by_beta()
    errors = {beta: parity(s, ALPHA).se for beta, s in sides.items()}
    found = probabilities(sides, ALPHA, errors)
    assert choose_from(sides, ALPHA) == 0.5
    assert found[0.5] > 0.95
    assert found == probabilities(sides, ALPHA, errors)


def test_cross_fitting_reports_on_what_did_not_choose():
    """No beta is better than another: what is best by chance is not ahead on held-out answers."""
    random = np.random.default_rng(5)
    gains_in_sample, gains = [], []
    for _ in range(30):
        sides = {
            beta: Sides((outcomes([1] * 60),), (outcomes(random.random(60) < 0.5, chance=0.01),))
            for beta in (0.0, 0.25, 0.5, 0.75, 1.0)
        }
        base = parity(sides[0.0], ALPHA).value
        gains_in_sample.append(max(parity(s, ALPHA).value for s in sides.values()) - base)
        gains.append(cross_fit(sides, ALPHA).over_base.value)
    assert np.mean(gains_in_sample) > 3
    assert abs(np.mean(gains)) < 1.5


def test_cross_fitting_finds_what_is_there():
    found = cross_fit(by_beta(), ALPHA)
    assert found.folds == (0.5,) * FOLDS
    whole = by_beta()
    # One beta in every fold: the held-out answers are just its answers.
    assert found.grp.value == pytest.approx(parity(whole[0.5], ALPHA).value)
    assert found.over_base.low > 0


def test_cross_fitting_needs_the_same_questions():
    sides = by_beta()
    sides[1.0] = by_beta(300)[1.0]
    with pytest.raises(NotComparable):
        cross_fit(sides, ALPHA)


def test_a_small_select_side_is_cross_fitted(tmp_path):
    small = figures(write(tmp_path / "a", grid(150)))["selection"]
    assert small["select"] == "cross-fitted by picture"
    assert (small["items"], len(small["folds"])) == (150, FOLDS)
    assert small["over_base"]["interval"][0] < small["over_base"]["value"]
    large = figures(write(tmp_path / "b", grid(400)))["selection"]
    assert large["select"] == "validation"
    assert "folds" not in large


def test_no_beta_is_chosen_at_chance(tmp_path):
    shares = {0.0: (0.8, 0.2), 1.0: (0.6, 0.22)}
    found = figures(write(tmp_path, grid(shares=shares)))["selection"]
    assert found["beta"] is None
    assert "at chance at every beta" in found["reason"]


def test_a_task_at_chance_takes_no_part_in_the_choice(tmp_path):
    tasks = TASKS | {"lao": TASKS["thai"] | {"regions": ["la"]}}
    shares = {b: (*s, 0.25) for b, s in {0.0: (0.8, 0.4), 0.5: (0.78, 0.6)}.items()}
    cells = grid(shares=shares, tasks=("world", "thai", "lao"))
    evidence = write(tmp_path, cells, tasks=tasks)
    assert figures(evidence)["selection"]["at_chance"] == ["lao"]
    assert items_of(sides_by_beta(evidence, ("test",), "choice_4", ("lao",))) == 600
    assert items_of(sides_by_beta(evidence, ("test",), "choice_4", ("lao", "thai"))) == 0
