"""DPG-Bench as ELLA's script computes it, against a walk through the CSV as the script goes through it."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from ggez_hub.cards import alpha_record
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.answers.outcomes import Cell, TaskRecord
from ggez_hub.evaluation.answers.scores import score_of
from ggez_hub.evaluation.benchmarks.benchmark import find_benchmarks
from ggez_hub.evaluation.benchmarks.benchmark_questions import ask_benchmark
from ggez_hub.evaluation.benchmarks.contents import Folders, read_contents
from ggez_hub.evaluation.benchmarks.drawing_scores import Judged, script_figures, script_worth
from ggez_hub.evaluation.models.drawing_model import DrawingModel
from ggez_hub.evaluation.results.figures import figures, write_results
from ggez_hub.regions import alpha, find_region
from tests.evaluation.drawings import ITEMS, Judge, Painter, by_hash, dpg_rows, write_dpg

DPG = find_benchmarks("dpg-bench")[0]
FIRST, SECOND, THIRD = ITEMS


def answered(folder):
    painter = Painter()
    subject = DrawingModel(painter, Judge(by_hash), AnswerCache(), folder / "pictures")
    items = read_contents(DPG, Folders(folder)).items
    return painter, subject.answer(ask_benchmark(DPG, items), "likelihood")


def walk(folder, painter):
    """Score by prompt, answers of the last picture by category, and the prompts that fail."""
    with (folder / "dpg_bench" / "dpg_bench.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))[1:]
    by_item, before = {}, None
    for line in lines:
        if line["item_id"] != before:
            by_item[line["item_id"]] = []
        by_item[line["item_id"]].append(line)
        before = line["item_id"]
    scores, categories, failed = {}, defaultdict(list), []
    for item, (text, _) in ITEMS.items():
        means = []
        try:
            for seed in DPG.drawing.seeds:
                picture = painter.one(text, seed)
                said = {
                    line["proposition_id"]: float(
                        by_hash(picture, f"{line['question_natural_language']} Answer yes or no.")
                        == "yes"
                    )
                    for line in by_item[item]
                }
                last = dict(said)
                for line in by_item[item]:
                    for parent in line["dependency"].split(","):
                        if parent != "0" and said[parent] == 0:
                            said[line["proposition_id"]] = 0.0
                            break
                means.append(np.mean(list(said.values())))
        except KeyError:
            failed.append(item)
            continue
        scores[item] = float(np.mean(means))
        for line in by_item[item]:
            category = line["tuple"].split("(")[0].split("-")[0].strip()
            categories[category].append(last[line["proposition_id"]])
    return scores, categories, failed


def swapped(rows):
    """The second prompt's questions with the parent after its child."""
    rows[5] |= {"dependency": "0"}
    rows[4] |= {"dependency": "2"}
    return rows


def scattered(rows):
    """The third prompt's first question stands apart from the others, which do not need it."""
    third = [row for row in rows if row["item_id"] == THIRD]
    for row in third:
        row["dependency"] = "0"
    return [*[row for row in rows if row["item_id"] == FIRST], third[0],
            *[row for row in rows if row["item_id"] == SECOND], *third[1:]]  # fmt: skip


def independent(rows):
    """The first prompt's questions do not need the one that is not read."""
    for row in rows[:4]:
        row["dependency"] = "0" if row["dependency"] == "1" else "2" if "," in row["dependency"] else "0"  # fmt: skip
    return rows


@pytest.mark.parametrize(
    ("change", "failing"),
    [(lambda rows: rows, 1), (swapped, 1), (scattered, 1), (independent, 0)],
    ids=["as it is", "parent after child", "rows apart", "first prompt is read"],
)
def test_it_is_what_the_script_computes(tmp_path, change, failing):
    painter, found = answered(write_dpg(tmp_path, change(dpg_rows())))
    scores, categories, failed = walk(tmp_path, painter)
    assert len(failed) == failing
    got = script_figures(found)
    assert got.score.score == pytest.approx(100 * np.mean(list(scores.values())))
    assert (got.score.n, got.score.missing) == (len(scores), failing)
    assert {name: part.score for name, part in got.categories.items()} == {
        name: pytest.approx(100 * np.mean(values)) for name, values in categories.items()
    }
    assert {n: part.n for n, part in got.categories.items()} == {n: len(v) for n, v in categories.items()}  # fmt: skip


def test_it_is_another_figure_than_the_rules(tmp_path):
    _, found = answered(write_dpg(tmp_path, independent(dpg_rows())))
    assert script_figures(found).score.score != pytest.approx(score_of(found).score)


def test_a_parent_that_comes_later_counts_as_it_was_answered():
    # 1 depends on 2, which depends on 3: the rule takes both, the script does not take 1.
    right = dict.fromkeys((1, 2, 3), "yes")
    parents = {1: (2,), 2: (3,), 3: ()}
    given = {1: "yes", 2: "yes", 3: "no"}
    judged = Judged(("0" * 64,), (given,), right, parents, script=(1, 2, 3))
    assert judged.credit == 0
    assert script_worth(judged) == pytest.approx(1 / 3)
    forwards = Judged(("0" * 64,), (given,), right, parents, script=(3, 2, 1))
    assert script_worth(forwards) == 0
    assert Judged.from_text(judged.as_text()) == judged


def test_results_name_both_and_average_neither_with_the_other(tmp_path):
    _, found = answered(write_dpg(tmp_path))
    records = {"dpg-bench": TaskRecord(metric="drawn_yes", judge="somebody", side="global")}
    region = find_region("th")
    header = {"region": "th", "alpha": alpha_record(alpha(region)), "tasks": records}
    evidence = write_results(tmp_path / "out", header, {Cell(0.0, "dpg-bench", "test"): found})
    score = figures(evidence)["scores"]["0"]["dpg-bench/test"]
    assert score["score"] == pytest.approx(score_of(found).score)
    assert score["ella_script"]["score"] == pytest.approx(script_figures(found).score.score)
    assert (score["ella_script"]["n"], score["ella_script"]["missing"]) == (2, 1)
    assert set(score["ella_script"]["categories"]) == {"entity", "attribute", "relation"}


def test_without_the_scripts_order_there_is_no_such_figure(tmp_path):
    _, found = answered(write_dpg(tmp_path))
    raw = tuple(
        Judged(j.pictures, j.answers, j.right, j.parents, j.categories).as_text()
        for j in map(Judged.from_text, found.details.raw)
    )
    assert script_figures(replace(found, details=replace(found.details, raw=raw))) is None
