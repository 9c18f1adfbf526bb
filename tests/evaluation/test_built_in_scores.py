"""Every task of the package: what its results say by country, language and category, and of gaps."""

from __future__ import annotations

from dataclasses import replace

import datasets
import numpy as np
import pytest

from ggez_hub.cards import alpha_record
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.benchmarks.benchmark import BUILT_IN, find_benchmarks
from ggez_hub.evaluation.benchmarks.contents import Folders
from ggez_hub.evaluation.benchmarks.preparation import prepare_benchmark
from ggez_hub.evaluation.models.drawing_model import DrawingModel
from ggez_hub.evaluation.models.generative_model import read_replies
from ggez_hub.evaluation.results.figures import figures, write_results
from ggez_hub.regions import alpha, find_region
from tests.evaluation import benchmarks as made
from tests.evaluation.drawings import Judge, Painter, by_hash, write_dpg

SEA = find_region("southeast-asia")
COUNTRY, LANGUAGE, CATEGORY = "countries", "languages", "categories"


def sea_vqa(folder):
    return Folders(made.write_sea_vqa(folder, 12, fetched=folder / "p"), fetched=folder / "p")


def cvqa(folder):
    return Folders(made.write_cvqa(folder, 60))


def worldcuisines(folder):
    made.write_worldcuisines(folder, 24, prompt_type=1)
    path = folder / "vqa" / "task1" / "test_large-00000-of-00001.parquet"
    rows = made.worldcuisines_rows(48)
    for row in rows:
        row["prompt_type"] = 1 + int(row["qa_id"][2:]) % 4
    made.write(path, made.WORLDCUISINES, rows)
    return Folders(folder / "vqa", folder / "food-kb")


def worldcuisines_1_1(folder):
    rows = [
        {"question": "What?", "options": list("vwxyz"), "mcq_answer_index": n % 5,
         "image_path": f"{n}.png", "lang": ("en", "th")[n % 2]}
        for n in range(24)
    ]  # fmt: skip
    made.write(folder / "test-0.parquet", {**made.V1_1, "lang": made.TEXT}, rows)
    for n in range(22):
        (folder / f"{n}.png").write_bytes(made.png(n))
    return Folders(folder)


def xm3600(folder):
    tasks = find_benchmarks("xm3600")
    languages = sorted({next(iter(task.files)) for task in tasks})
    return Folders(made.write_xm3600(folder, 24, languages))


def flickr30k(folder):
    rows = [
        {"image": made.image(n), "caption": [f"{n} {c}" for c in range(5)], "split": "test"}
        for n in range(24)
    ]
    features = {"image": datasets.Image(), "caption": made.TEXTS, "split": made.TEXT}
    made.write(folder / "data" / "TEST-0.test.parquet", features, rows)
    return Folders(folder)


def dpg_bench(folder):
    return Folders(write_dpg(folder))


def sea_vl_crawling(folder):
    return Folders(made.write_sea_vl(folder, 24))


# Suite -> its data, and by what its results are broken down: as much as the data sets record.
SUITES = {
    "sea-vqa": (sea_vqa, {COUNTRY, LANGUAGE}),
    "cvqa": (cvqa, {COUNTRY, LANGUAGE, CATEGORY}),
    "worldcuisines": (worldcuisines, {LANGUAGE, CATEGORY}),
    "worldcuisines-open": (worldcuisines, {LANGUAGE, CATEGORY}),
    "worldcuisines-1.1": (worldcuisines_1_1, {LANGUAGE}),
    "xm3600": (xm3600, {LANGUAGE}),
    "flickr30k": (flickr30k, {LANGUAGE}),
    "dpg-bench": (dpg_bench, {LANGUAGE, CATEGORY}),
    "sea-vl-crawling": (sea_vl_crawling, {LANGUAGE}),
    "sea-vl-prompts": (sea_vl_crawling, {LANGUAGE}),
}


def test_every_suite_of_the_package_is_here():
    # Those of safety have a page of tests of their own.
    assert {*SUITES, "safety", "safety-drawings"} == {path.stem for path in BUILT_IN.glob("*.yaml")}


def answered(asked, folder, luck):
    """The answers of somebody who guesses, and of whose written ones some say nothing."""
    if asked.drawn is not None:
        return DrawingModel(Painter(), Judge(by_hash), AnswerCache(), folder).answer(asked, "m")
    if asked.free:
        said = [("", "soup", f.item.references[0])[n % 3] for n, f in enumerate(asked.free)]
        return read_replies(asked, said).with_details(prompts=["0" * 64] * len(said))
    if asked.questions is None:
        return asked.all_missing()
    found = asked.questions.scored(luck.random(asked.questions.right.shape))
    return replace(found, missing=asked.missing)


@pytest.mark.parametrize("suite", SUITES)
def test_scores_are_given_by_all_that_the_data_record(suite, tmp_path):
    write, dimensions = SUITES[suite]
    folders, luck = write(tmp_path / "data"), np.random.default_rng(0)
    records, cells = {}, {}
    for task in find_benchmarks(suite):
        # Of a suite with several repositories each task reads its own.
        own = folders.data / task.dataset.repo.partition("/")[2]
        here = replace(folders, data=own) if own.is_dir() else folders
        for prepared in prepare_benchmark(task, here, SEA, "0" * 40, ["likelihood"]):
            records[prepared.id] = prepared.record
            for split, asked in prepared.asked.items():
                cells[Cell(0.0, prepared.id, split)] = answered(asked, tmp_path / "p", luck)
    assert set(records) == {task.id for task in find_benchmarks(suite)}
    header = {"region": SEA.id, "alpha": alpha_record(alpha(SEA)), "tasks": records}
    evidence = write_results(tmp_path / "out", header, cells)
    scores = figures(evidence)["scores"]["0"]
    for cell, outcomes in cells.items():
        found = scores[f"{cell.task}/{cell.split}"]
        assert (found["missing"], found["unparsed"]) == (len(outcomes.missing), outcomes.unparsed)
        assert found["n"] == len(outcomes)
        # Who guesses is told so; of what nobody can guess, that is the score itself.
        inside = found["normalised_interval"][0] <= 0 <= found["normalised_interval"][1]
        assert found["at_chance"] == inside
        assert {d for d in (COUNTRY, LANGUAGE, CATEGORY) if d in found} == dimensions
        for dimension in dimensions:
            part = found[dimension]
            means = [p["score"] for p in part["parts"].values()]
            assert part["macro"] is None or part["macro"]["value"] == pytest.approx(np.mean(means))
            # The five categories of DPG-Bench are those of its questions, not of its prompts.
            whole = sum(p["n"] * p["score"] for p in part["parts"].values())
            n = sum(p["n"] for p in part["parts"].values())
            assert part["micro"] == pytest.approx(whole / n)
            assert suite == "dpg-bench" or part["micro"] == pytest.approx(found["score"])
            assert part["unknown"] == 0
    # Of one model: on all questions, as published figures are.
    for task in {cell.task for cell in cells}:
        own = [cells[cell] for cell in sorted(cells) if cell.task == task]
        assert scores[f"{task}/all"]["n"] == sum(map(len, own))
        expected = 100 * np.mean(np.concatenate([outcomes.values for outcomes in own]))
        assert scores[f"{task}/all"]["score"] == pytest.approx(expected)
    largest = max(cells, key=lambda cell: len(cells[cell]))
    found = scores[f"{largest.task}/{largest.split}"]
    assert all(found[dimension]["macro"] for dimension in dimensions)
    gaps = {"sea-vqa", "worldcuisines", "worldcuisines-open", "worldcuisines-1.1"}
    assert (sum(s["missing"] for s in scores.values()) > 0) == (suite in gaps)
    if suite == "worldcuisines-open":
        assert all(s["unparsed"] for s in scores.values())
