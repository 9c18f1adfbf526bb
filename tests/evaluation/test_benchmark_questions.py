"""Questions of benchmarks: what is asked, and what an answer is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.answers.scores import score_of
from ggez_hub.evaluation.benchmarks.benchmark_questions import ask_benchmark
from ggez_hub.evaluation.models.similarity import SimilarityModel
from tests.evaluation import benchmarks as made


def answered(embedder, asked):
    return SimilarityModel(embedder, AnswerCache()).answer(asked, "similarity")


class Oracle:
    """A model that sees: a picture and what is written of it have the same embedding."""

    def __init__(self, known):
        self.known = known

    def rows(self, inputs):
        size = len(self.known) + 1
        return np.eye(size, dtype=np.float32)[[self.known.get(i, size - 1) for i in inputs]]

    encode_pictures = rows
    encode_texts = rows


@pytest.fixture
def cvqa(tmp_path):
    return made.items_of("cvqa-english", made.write_cvqa(tmp_path))


def oracle_of(items, right=True):
    known = {item.picture: number for number, item in enumerate(items)}
    for item in items:
        text = item.options[item.gold if right else item.gold - 1]
        known[f"{item.question} {text}"] = known[item.picture]
    return Oracle(known)


def test_a_choice_by_similarity(cvqa):
    asked = ask_benchmark(made.benchmark("cvqa-english"), cvqa)
    found = answered(oracle_of(cvqa), asked)
    assert found.correct.all()
    assert found.gold == found.predicted == tuple(item.options[item.gold] for item in cvqa)
    assert found.chance.tolist() == [1 / 4] * 9
    # Nine questions about five pictures stand together.
    assert len(asked.pictures) == 5 == score_of(found).pictures
    assert found.details.countries == tuple(item.country for item in cvqa)
    assert all(len(similar) == 4 for similar in found.details.log_likelihoods)
    wrong = answered(oracle_of(cvqa, right=False), asked)
    assert not wrong.correct.any()
    assert wrong.predicted == tuple(item.options[item.gold - 1] for item in cvqa)


def test_a_model_that_sees_no_difference_scores_0(cvqa):
    found = answered(Oracle({}), ask_benchmark(made.benchmark("cvqa-english"), cvqa))
    assert not found.correct.any()


def test_pictures_that_are_gone_are_missing_and_not_wrong(tmp_path):
    folder = made.write_sea_vqa(tmp_path / "sea", fetched=tmp_path / "pictures")
    task = made.benchmark("sea-vqa")
    items = made.items_of("sea-vqa", folder, fetched=tmp_path / "pictures")
    found = answered(Oracle({}), ask_benchmark(task, items))
    assert (len(found), len(found.missing)) == (32, 16)
    assert set(found.missing) == {item.id for item in items if item.picture is None}
    nothing = answered(Oracle({}), ask_benchmark(task, made.items_of("sea-vqa", folder)))
    assert (len(nothing), len(nothing.missing)) == (0, 48)


def test_the_prompt_is_that_of_the_language(cvqa):
    task = made.benchmark("cvqa-english")
    changed = task.model_copy(
        update={"prompts": {"any": "{option}", "en": "{question}: {option}!"}}
    )
    asked = ask_benchmark(changed, [replace(cvqa[0], question="What is {option}?"), *cvqa[1:]])
    assert asked.questions.texts[:2] == ("What is {option}?: answer 0 0!", "What is {option}?: answer 0 1!")  # fmt: skip
    assert changed.digest != task.digest


def test_the_right_answer_twice_is_right_twice(cvqa):
    twice = replace(cvqa[0], options=("a", "b", "a", "c"))
    found = answered(oracle_of([twice]), ask_benchmark(made.benchmark("cvqa-english"), [twice]))
    assert found.chance.tolist() == [1 / 2]
    assert found.correct.all()


def test_questions_with_other_numbers_of_options_are_another_task(cvqa):
    with pytest.raises(GgezError, match="have 3 to 4 options"):
        ask_benchmark(made.benchmark("cvqa-english"), [replace(cvqa[0], options=("a", "b", "c")), *cvqa[1:]])  # fmt: skip


@pytest.mark.parametrize("way", ["to-image", "to-text"])
def test_captions_are_found_both_ways(tmp_path, way):
    items = made.items_of(f"xm3600-th-{way}", made.write_xm3600(tmp_path))
    known = {item.picture: number for number, item in enumerate(items)}
    known |= {c: known[item.picture] for item in items for c in item.captions}
    asked = ask_benchmark(made.benchmark(f"xm3600-th-{way}"), items)
    found = answered(Oracle(known), asked)
    assert found.correct.all()
    # Pictures 1, 3, 5, 7 have two captions.
    assert len(found) == (12 if way == "to-image" else 8)
    chances = {1 / 8} if way == "to-image" else {1 / 12, 2 / 12}
    assert set(found.chance.tolist()) == chances
    with pytest.raises(GgezError, match="at least 4 are needed"):
        ask_benchmark(made.benchmark(f"xm3600-th-{way}"), items[:3])


def test_one_caption_of_two_pictures_is_right_for_both(tmp_path):
    items = list(made.items_of("xm3600-th-to-image", made.write_xm3600(tmp_path)))
    items[2] = replace(items[2], captions=items[0].captions)
    found = answered(Oracle({}), ask_benchmark(made.benchmark("xm3600-th-to-image"), items))
    assert found.chance.tolist().count(2 / 8) == 2
