"""Micro or macro: the task fixes which of them is the score, for every region and figure."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from ggez_hub.cards import CurveRow, alpha_record
from ggez_hub.cards.curve import MeasuredCurve
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.outcomes import Cell, TaskRecord
from ggez_hub.evaluation.answers.scores import Sides, mean, mean_difference, parity, score_of
from ggez_hub.evaluation.benchmarks.benchmark import Benchmark
from ggez_hub.evaluation.benchmarks.contents import Folders
from ggez_hub.evaluation.benchmarks.preparation import prepare_benchmark
from ggez_hub.evaluation.results.breakdown import breakdown
from ggez_hub.evaluation.results.figures import write_results
from ggez_hub.evaluation.results.measured_curve import curve_of
from ggez_hub.evaluation.results.verification import verify_evidence
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.moments import REGIONAL
from ggez_hub.regions import alpha, find_region
from tests.evaluation import benchmarks as made
from tests.evaluation.conftest import outcomes

# Country -> questions, and how many of them each of two models answers rightly.
COUNTS = {"th": (40, 30, 20), "la": (8, 2, 3), "id": (120, 60, 66)}


def answers(model):
    correct, countries = [], []
    for country, (n, *right) in COUNTS.items():
        correct += [1] * right[model] + [0] * (n - right[model])
        countries += [country] * n
    return outcomes(correct, countries=countries)


def shares(model):
    return [100 * own[model] / n for n, *own in COUNTS.values()]


def test_the_macro_average_is_the_mean_of_the_parts_with_their_error():
    plain = answers(0)
    macro = plain.by("countries")
    assert score_of(plain).score == pytest.approx(100 * 92 / 168)
    assert score_of(macro).score == pytest.approx(np.mean(shares(0)))
    # As the mean over the parts has it, whose sizes are fixed.
    apart = breakdown(plain, "countries").macro
    assert mean([macro]).value == pytest.approx(apart.value)
    assert mean([macro]).se == pytest.approx(apart.se)
    assert score_of(macro).se == pytest.approx(apart.se)
    # Breakdowns are of questions, whatever the score is.
    assert breakdown(macro, "countries").micro == pytest.approx(score_of(plain).score)
    assert score_of(answers(0).by("questions")) == score_of(plain)


def test_weights_and_values_give_the_same_mean():
    for outcome in (answers(0), answers(0).by("countries")):
        score = score_of(outcome).score
        assert 100 * np.mean(outcome.weights * outcome.worth) == pytest.approx(score)
        assert 100 * np.mean(outcome.values) == pytest.approx(score)
        assert np.mean(outcome.weights) == pytest.approx(1)
    assert set(answers(0).weights) == {1}


def test_one_country_alone_is_its_own_average():
    macro = answers(0).by("countries")
    thai = macro.where(np.array([c == "th" for c in macro.details.countries]))
    assert score_of(thai).score == 75
    assert score_of(thai).se == pytest.approx(100 * math.sqrt(0.75 * 0.25 / 39))


def test_differences_and_parity_average_as_the_task_does():
    first, second = (answers(model).by("countries") for model in (1, 0))
    change = mean_difference([first], [second])
    assert change.value == pytest.approx(np.mean(shares(1)) - np.mean(shares(0)))
    by_country = [
        np.var(first.worth[rows] - second.worth[rows]) / rows.sum()
        for rows in (np.array([c == own for c in first.details.countries]) for own in COUNTS)
    ]
    assert change.se == pytest.approx(100 * math.sqrt(sum(by_country) * 168 / 167) / 3)
    world = outcomes([1, 0] * 50, items=[f"w{n}" for n in range(100)])
    found = parity(Sides((world,), (second,)), 0.3)
    regional = (np.mean(shares(0)) - 25) / 0.75
    assert found.value == pytest.approx(0.3 * (50 - 25) / 0.75 + 0.7 * regional)


def test_the_floor_is_averaged_as_the_score_is():
    some = outcomes([1, 1, 0], countries=["th", "la", "la"]).by("countries")
    object.__setattr__(some, "chance", np.array([0.5, 0.25, 0.25]))
    assert score_of(some).floor == pytest.approx(100 * (0.5 + 0.25) / 2)
    assert score_of(some).score == pytest.approx(75)


@pytest.mark.parametrize("average", ["questions", "countries"])
def test_a_results_folder_prints_it_and_every_figure_follows(tmp_path, average):
    records = {
        "world": TaskRecord(metric="choice", side="global"),
        "sea": TaskRecord(metric="choice", side="regional", average=average),
    }
    cells = {}
    for split in ("validation", "test"):
        cells[Cell(0.0, "world", split)] = outcomes([1, 1, 0] * 40)
        cells[Cell(0.0, "sea", split)] = answers(0)
    region = find_region("southeast-asia")
    header = {"region": region.id, "alpha": alpha_record(alpha(region)), "tasks": records}
    write_results(tmp_path / "out", header, cells)
    expected = np.mean(shares(0)) if average == "countries" else 100 * 92 / 168
    verified = verify_evidence(tmp_path / "out")
    assert not verified.problems
    point = verified.recomputed["parity"]["test"]["points"]["0"]
    assert point["q_regional"]["value"] == pytest.approx(expected)
    score = json.loads((tmp_path / "out" / "results.json").read_text())["scores"]["0"]["sea/test"]
    assert score["score"] == pytest.approx(expected)
    name = "micro, over questions" if average == "questions" else "macro, over countries"
    assert score["average"] == name
    assert score["countries"]["micro"] == pytest.approx(100 * 92 / 168)
    assert score["countries"]["macro"]["value"] == pytest.approx(np.mean(shares(0)))


def curve(average):
    """A card of Southeast Asia; the base and one more."""
    rows = {}
    for beta, right in (("0", 1), ("1", 2)):
        parts = {c: own[right] / own[0] for c, own in COUNTS.items()}
        by_country = {
            c: {
                "score": 100 * p,
                "n": COUNTS[c][0],
                "se": 100 * math.sqrt(p * (1 - p) / COUNTS[c][0]),
            }
            for c, p in parts.items()
        }
        shared = {
            "metric": "choice", "split": "validation", "measured_by": "registry", "floor": 25.0,
            "evaluator": "x", "model": "0" * 64, "task": "0" * 64, "predictions": "unknown",
        }  # fmt: skip
        rows[beta] = {
            "world/validation": CurveRow(score=60.0, n=400, se=2.0, side="global", **shared),
            "sea/validation": CurveRow(score=50.0, n=168, se=3.0, side="regional",
                                       average=average, by_country=by_country, **shared),
        }  # fmt: skip
    return rows


def test_a_region_inside_the_cards_is_averaged_as_the_task_says():
    # Indonesia, Laos and Thailand are in Asia's south-east: a group within the card's region.
    expected = {"questions": 100 * 92 / 168, "countries": np.mean(shares(0))}
    for average, value in expected.items():
        seen = opened(average, "m49-035")
        assert seen.region == "m49-035"
        assert seen.moments.scores[REGIONAL, 0] == pytest.approx(value)
        assert seen.moments.pictures[REGIONAL] == 168
    # Of one country there is one average.
    indonesia = [opened(average, "id").moments.scores[REGIONAL, 0] for average in expected]
    assert indonesia == [50, 50]


def opened(average, region):
    measured = MeasuredCurve(curve(average), "independent", "southeast-asia")
    return ParityCurve.of(measured, "validation", region)


def test_pictures_whose_answers_changed_are_the_same_for_either_average(tmp_path):
    """A changed answer in one country changes no picture of another."""
    changed = {}
    for average in ("questions", "countries"):
        records = {
            "world": TaskRecord(metric="choice", side="global"),
            "sea": TaskRecord(metric="choice", side="regional", average=average),
        }
        cells = {}
        for beta in (0.0, 1.0):
            for split in ("validation", "test"):
                cells[Cell(beta, "world", split)] = outcomes([1, 1, 0] * 40)
                own = answers(0)
                if beta:
                    flipped = own.correct.copy()
                    flipped[:10] = ~flipped[:10]
                    own = outcomes(flipped, countries=own.details.countries)
                cells[Cell(beta, "sea", split)] = own
        region = find_region("southeast-asia")
        header = {"region": region.id, "alpha": alpha_record(alpha(region)), "tasks": records}
        evidence = write_results(tmp_path / average, header, cells)
        seen = ParityCurve.of(curve_of(evidence), "test", region.id)
        changed[average] = seen.moments.changed[REGIONAL, 1, 0]
    assert changed["countries"] == pytest.approx(changed["questions"]) == pytest.approx(10)


def test_the_average_is_a_part_of_what_the_task_is(tmp_path):
    task = made.benchmark("sea-vqa")
    macro = Benchmark.model_validate(task.model_dump() | {"average": "countries"})
    assert macro.digest != task.digest
    implicit = task.model_dump()
    del implicit["average"]
    assert Benchmark.model_validate(implicit).digest == task.digest
    made.write_sea_vqa(tmp_path / "sea", fetched=tmp_path / "pictures")
    folders = Folders(tmp_path / "sea", fetched=tmp_path / "pictures")
    (found,) = prepare_benchmark(macro, folders, find_region("sea"), "0" * 40, ["likelihood"])
    assert found.record.average == "countries"
    # Every question has to be in a part.
    by_category = macro.model_copy(update={"average": "categories"})
    with pytest.raises(GgezError, match="record no category of 48 items"):
        prepare_benchmark(by_category, folders, find_region("sea"), "0" * 40, ["likelihood"])
