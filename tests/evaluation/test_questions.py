"""What tasks ask, with embeddings made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.scores import score_of
from ggez_hub.evaluation.benchmarks.loaders import Captioned
from ggez_hub.evaluation.benchmarks.task import Task, load_tasks
from ggez_hub.evaluation.benchmarks.task_questions import ask_task, read_items
from tests.evaluation.conftest import make_task

ROOT = Path(__file__).parents[2]
EMOJI = ROOT / "ggez_hub" / "demo" / "assets" / "emoji-names"
METRICS = ("text_to_image_r1", "image_to_text_r1", "choice_4")


def make_items(texts, groups=None):
    return [
        Captioned(
            id=f"i{row}",
            image=f"i{row}",
            picture=b"",
            category=group,
            captions=() if text is None else (text,),
        )
        for row, (text, group) in enumerate(zip(texts, groups or ["all"] * len(texts), strict=True))
    ]


def ask(task, items):
    return ask_task(task, items).questions


def unit(rows):
    rows = np.asarray(rows, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def random_rows(n, seed):
    return unit(np.random.default_rng(seed).normal(size=(n, 16)))


@pytest.mark.parametrize("metric", METRICS)
def test_a_perfect_model_scores_100(metric):
    questions = ask(make_task(metric=metric), make_items("abcdefgh"))
    outcomes = questions.answer(np.eye(8, dtype=np.float32), np.eye(8, dtype=np.float32))
    assert score_of(outcomes).score == 100
    assert outcomes.predicted == outcomes.gold == outcomes.items
    assert outcomes.rank.dtype == np.int32


@pytest.mark.parametrize("metric", METRICS)
def test_a_random_model_is_at_chance(metric):
    n = 400
    questions = ask(make_task(metric=metric), make_items([f"t{row}" for row in range(n)]))
    score = score_of(questions.answer(random_rows(n, 1), random_rows(n, 2)))
    assert score.floor == pytest.approx(25 if metric == "choice_4" else 100 / n)
    assert score.at_chance


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("value", [1.0, np.nan])
def test_a_model_that_sees_no_difference_scores_0(metric, value):
    questions = ask(make_task(metric=metric), make_items("abcdefgh"))
    same = np.full((8, 1), value, dtype=np.float32)
    outcomes = questions.answer(same, same)
    assert not outcomes.correct.any()
    assert all(p != g for p, g in zip(outcomes.predicted, outcomes.gold, strict=True))


def test_ranks_by_hand():
    """Angles on a circle: pictures at 0, 10, 20, 90 degrees, names at 1, 19, 12, 80."""

    def at(degrees):
        angles = np.radians(degrees)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    questions = ask(make_task(), make_items("abcd"))
    outcomes = questions.answer(at([0, 10, 20, 90]), at([1, 19, 12, 80]))
    # b (19) is nearest to 20, then 10; c (12) is nearest to 10, then 20.
    assert outcomes.rank.tolist() == [1, 2, 2, 1]
    assert outcomes.predicted == ("i0", "i2", "i1", "i3")
    assert outcomes.correct.tolist() == [True, False, False, True]
    assert score_of(outcomes).score == 50


def test_pictures_without_a_name_are_searched_but_not_asked_for():
    questions = ask(make_task(), make_items(["a", None, "b", "c", "d"]))
    assert questions.items == ("i0", "i2", "i3", "i4")
    pictures, texts = np.eye(5, dtype=np.float32), np.eye(5, dtype=np.float32)[[1, 2, 3, 4]]
    outcomes = questions.answer(pictures, texts)
    assert outcomes.predicted == ("i1", "i2", "i3", "i4")
    assert outcomes.chance.tolist() == [1 / 5] * 4
    choice = ask(make_task(metric="choice_4"), make_items(["a", None, "b", "c", "d"]))
    assert choice.items == ("i0", "i2", "i3", "i4")


def test_two_pictures_of_one_name_are_both_right():
    questions = ask(make_task(), make_items(["a", "a", "b", "c", "d"]))
    assert questions.texts == ("a", "b", "c", "d")
    outcomes = questions.answer(
        np.eye(5, dtype=np.float32), np.eye(5, dtype=np.float32)[[1, 2, 3, 4]]
    )
    assert outcomes.correct.all()
    assert outcomes.predicted[:2] == ("i1", "i1")
    assert outcomes.chance.tolist() == [2 / 5, 2 / 5, 1 / 5, 1 / 5, 1 / 5]
    backwards = ask(make_task(metric="image_to_text_r1"), make_items(["a", "a", "b", "c", "d"]))
    assert backwards.gold == ("i0", "i0", "i2", "i3", "i4")
    assert backwards.options.shape == (5, 4)


def options_of(texts, groups, seed=0):
    questions = ask(make_task(metric="choice_4", seed=seed), make_items(texts, groups))
    return {
        item: [questions.texts[text] for text in row]
        for item, row in zip(questions.items, questions.options, strict=True)
    }


def test_wrong_answers_are_of_the_same_group_where_it_is_large_enough():
    texts, groups = [*"abcdefgh", "x", "y"], ["letters"] * 8 + ["rest"] * 2
    found = options_of(texts, groups)
    for row, text in enumerate(texts):
        options = found[f"i{row}"]
        assert options[0] == text
        assert len(set(options)) == 4
        assert set(options) <= set(texts[:8]) if row < 8 else {"x", "y"} < set(options)


def test_wrong_answers_depend_on_the_seed_alone():
    texts = [f"t{row}" for row in range(40)]
    first = options_of(texts, ["all"] * 40)
    assert first == options_of(texts, ["all"] * 40)
    assert first != options_of(texts, ["all"] * 40, seed=1)
    # Written down once: another version of a library must not draw others.
    assert first["i0"] == ["t0", "t24", "t5", "t15"]


def test_wrong_answers_do_not_depend_on_the_order_of_rows():
    items = make_items("abcdefgh")
    turned = items[::-1]
    task = make_task(metric="choice_4")

    def drawn(questions):
        return {
            item: {questions.texts[text] for text in row}
            for item, row in zip(questions.items, questions.options, strict=True)
        }

    assert drawn(ask(task, items)) == drawn(ask(task, turned))


def test_too_few_names_are_refused():
    with pytest.raises(GgezError, match="4 pictures with 2 different captions"):
        ask(make_task(), make_items(["a", "b", "b", None]))


@pytest.mark.parametrize(
    "task", load_tasks(ROOT / "recipes" / "demo", Task), ids=lambda task: task.id
)
def test_the_demo_tasks_can_be_asked_of_the_demo_data(task):
    for path in task.splits.values():
        items = read_items(EMOJI / path, task)
        questions = ask(task, items)
        assert len(items) == 1368
        assert len(questions.items) > 900
        # No name stands twice: each question has one right answer.
        assert (questions.right.sum(axis=1) == 1).all()
        assert questions.gold == questions.items
