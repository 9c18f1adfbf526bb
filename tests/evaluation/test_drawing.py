"""Pictures that a model draws, judged by another: DPG-Bench's rule, what is stored, what is refused."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace

import numpy as np
import pytest

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.answers.predictions import read_predictions, write_predictions
from ggez_hub.evaluation.answers.scores import score_of
from ggez_hub.evaluation.benchmarks.benchmark import find_benchmarks
from ggez_hub.evaluation.benchmarks.benchmark_questions import ask_benchmark
from ggez_hub.evaluation.benchmarks.contents import Folders, read_contents
from ggez_hub.evaluation.benchmarks.drawing_scores import Judged, NotJudged
from ggez_hub.evaluation.models.drawing_model import DrawingModel
from ggez_hub.evaluation.results.breakdown import breakdown
from ggez_hub.evaluation.results.consistency import contradictions
from tests.evaluation.drawings import (
    CATEGORIES,
    ITEMS,
    Judge,
    Painter,
    by_hash,
    counted,
    dpg_rows,
    reference,
    write_dpg,
)

DPG = find_benchmarks("dpg-bench")[0]


def items_in(folder):
    return read_contents(DPG, Folders(folder)).items


def answered(folder, says=by_hash, known=None, painter=None):
    painter = painter or Painter()
    subject = DrawingModel(painter, Judge(says), known or AnswerCache(), folder / "pictures")
    asked = ask_benchmark(DPG, items_in(folder))
    return painter, subject.answer(asked, "likelihood")


@pytest.mark.parametrize("prompts", [True, False])
def test_prompts_and_questions_are_read_as_they_lie_there(tmp_path, prompts):
    files = {"questions": "*dpg_bench.csv"} if not prompts else DPG.files
    task = DPG.model_copy(update={"files": files})
    write_dpg(tmp_path, prompts=prompts)
    items = read_contents(task, Folders(tmp_path)).items
    assert {item.id: item.prompt for item in items} == {i: text for i, (text, _) in ITEMS.items()}
    first = items[0]
    # Each after those that it depends on.
    assert [(part.number, part.parents) for part in first.parts] == [
        (1, ()), (4, ()), (2, (1,)), (3, (1, 2)),
    ]  # fmt: skip
    assert {part.options for part in first.parts} == {("yes", "no")}


@pytest.mark.parametrize(
    ("row", "changes", "problem"),
    [
        (1, {"dependency": "7"}, "column 'dependency' names 7, which is not a question in row 1"),
        (1, {"dependency": "1;2"}, "column 'dependency' is '1;2', it should be numbers"),
        (0, {"dependency": "2"}, "column 'dependency' goes round in a circle from 1 in row 0"),
        (1, {"proposition_id": "1"}, "column 'proposition_id' is 1 twice in an item in row 1"),
        (1, {"proposition_id": "x"}, "column 'proposition_id' holds 'x'"),
        (2, {"question_natural_language": " "}, "column 'question_natural_language' holds"),
        (4, {"item_id": "nothing"}, "is 'nothing', which has no prompt file in row 4"),
    ],
)
def test_what_is_off_is_named(tmp_path, row, changes, problem):
    rows = dpg_rows()
    rows[row] |= changes
    with pytest.raises(GgezError, match=problem):
        items_in(write_dpg(tmp_path, rows))


def test_another_prompt_of_an_item_is_refused(tmp_path):
    rows = dpg_rows()
    rows[1]["text"] = "another one"
    task = DPG.model_copy(update={"files": {"questions": "*dpg_bench.csv"}})
    with pytest.raises(GgezError, match="has 2 different prompts"):
        read_contents(task, Folders(write_dpg(tmp_path, rows, prompts=False)))


def test_the_score_is_that_of_the_rule(tmp_path):
    painter, found = answered(write_dpg(tmp_path))
    seeds = DPG.drawing.seeds
    expected = [reference(painter, by_hash, seeds, item) for item in ITEMS]
    assert found.items == tuple(ITEMS)
    assert found.credit == pytest.approx(expected)
    assert len(set(expected)) == 3
    assert score_of(found).score == pytest.approx(100 * np.mean(expected))
    assert score_of(found).floor == 0
    # Every picture once, stored under its hash.
    assert len(painter.drawn) == len(ITEMS) * len(seeds)
    stored = {path.name: path.read_bytes() for path in (tmp_path / "pictures").iterdir()}
    assert set(stored) == {f"{hashlib.sha256(data).hexdigest()}.png" for data in stored.values()}
    for item, raw in zip(found.items, found.details.raw, strict=True):
        judged = Judged.from_text(raw)
        assert [f"{name}.png" in stored for name in judged.pictures] == [True] * len(seeds)
        assert stored[f"{judged.pictures[2]}.png"] == painter.one(ITEMS[item][0], seeds[2])


def test_categories_are_worth_their_questions_by_the_same_rule(tmp_path):
    painter, found = answered(write_dpg(tmp_path))
    by_category = {}
    for item in ITEMS:
        for picture in counted(painter, by_hash, DPG.drawing.seeds, item):
            for category, worth in zip(CATEGORIES, picture, strict=False):
                by_category.setdefault(category, []).append(worth)
    seen = breakdown(found, "categories")
    assert {name: part.score for name, part in seen.parts.items()} == {
        name: pytest.approx(100 * np.mean(worth)) for name, worth in by_category.items()
    }
    assert len({part.score for part in seen.parts.values()}) > 2
    assert {name: part.n for name, part in seen.parts.items()} == {
        "entity": 3, "attribute": 3, "relation": 2, "global": 1,
    }  # fmt: skip
    everything = [worth for own in by_category.values() for worth in own]
    assert seen.micro == pytest.approx(100 * np.mean(everything))
    means = [100 * np.mean(own) for own in by_category.values()]
    assert seen.macro.value == pytest.approx(np.mean(means))
    # Questions about one prompt are no independent draws.
    assert seen.parts["entity"].pictures == 3
    assert breakdown(found, "countries") is None
    # What was recorded before categories were has none.
    plain = replace(
        found, details=replace(found.details, raw=tuple(
            replace(Judged.from_text(raw), categories={}).as_text() for raw in found.details.raw
        )),
    )  # fmt: skip
    assert breakdown(plain, "categories") is None


def test_a_category_stands_in_its_column_or_in_the_tuple(tmp_path):
    rows = dpg_rows(category_broad="", tuple="Attribute - color (boat, red)")
    assert {p.category for i in items_in(write_dpg(tmp_path / "a", rows)) for p in i.parts} == {
        "attribute"
    }
    rows = dpg_rows(category_broad="", tuple="")
    assert {p.category for i in items_in(write_dpg(tmp_path / "b", rows)) for p in i.parts} == {
        None
    }


def test_what_was_drawn_is_not_drawn_again(tmp_path):
    known = AnswerCache()
    write_dpg(tmp_path)
    _, first = answered(tmp_path, known=known)
    painter, second = answered(tmp_path, known=known)
    assert painter.drawn == []
    assert (first.credit == second.credit).all()
    assert first.details == second.details


def test_an_answer_that_cannot_be_read_is_not_yes(tmp_path):
    write_dpg(tmp_path)
    _, found = answered(tmp_path, says=lambda *_: None)
    assert found.predicted == ("",) * 3
    assert found.unparsed == 3
    assert not found.credit.any()
    assert answered(tmp_path, says=lambda *_: "yes")[1].correct.all()


def judged(answers, parents, pictures=1):
    right = dict.fromkeys(parents, "yes")
    given = {n: "yes" if answer else "no" for n, answer in answers.items()}
    return Judged(("0" * 64,) * pictures, (given,) * pictures, right, parents)


def test_a_question_counts_only_below_yes():
    """All answers to a chain with a fork, against the definition."""
    parents = {1: (), 2: (1,), 3: (2,), 4: (1, 3)}
    for answers in itertools.product((True, False), repeat=4):
        said = dict(enumerate(answers, 1))
        one, two = said[1], said[1] and said[2]
        counted = one + two + (two and said[3]) + (one and two and said[3] and said[4])
        assert judged(said, parents).credit == counted / 4
        assert judged(said, parents, pictures=3).credit == pytest.approx(counted / 4)


def test_records_are_read_back_or_refused():
    record = judged({1: True, 2: False}, {1: (), 2: (1,)}, pictures=2)
    assert Judged.from_text(record.as_text()) == record
    text = record.as_text()
    for broken in (
        None, "", "[]", "{}", text.replace('"yes"', '"no"', 1).replace('{"1"', '{"9"', 1),
        text.replace("[1]", "[5]"), text.replace("answers", "said"),
    ):  # fmt: skip
        with pytest.raises(NotJudged):
            Judged.from_text(broken)
    # A circle neither holds up nor breaks anything.
    assert judged({1: True, 2: True}, {1: (2,), 2: (1,)}).credit == 1


def test_predictions_come_back_and_a_changed_credit_is_named(tmp_path):
    _, found = answered(write_dpg(tmp_path))
    cell = Cell(0.0, "dpg-bench", "test")
    path = tmp_path / "predictions.parquet"
    write_predictions(path, {cell: found})
    (back,) = read_predictions(path).values()
    assert (back.credit == found.credit).all()
    assert back.details == found.details
    assert contradictions({cell: back}) == []
    item = found.items[1]
    changed = replace(back, credit=np.where(np.arange(3) == 1, 0.123, back.credit))
    assert any(
        item in problem and "0.123" in problem for problem in contradictions({cell: changed})
    )
    answer = back.details.raw[1].replace('"no"', '"yes"', 1).replace('""', '"yes"', 1)
    raw = (back.details.raw[0], answer, back.details.raw[2])
    assert answer != back.details.raw[1]
    changed = replace(back, details=replace(back.details, raw=raw))
    assert any(item in problem for problem in contradictions({cell: changed}))
    changed = replace(back, details=replace(back.details, raw=("{}",) * 3))
    assert len(contradictions({cell: changed})) == 3
