"""Search among the full published gallery: what is right, what is a candidate, who asks what."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import datasets
import numpy as np
import pytest

from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.benchmarks.benchmark import Benchmark
from ggez_hub.evaluation.benchmarks.benchmark_questions import ask_benchmark
from ggez_hub.evaluation.benchmarks.contents import Folders, read_contents
from ggez_hub.evaluation.benchmarks.preparation import prepare_benchmark
from ggez_hub.evaluation.models.similarity import SimilarityModel
from ggez_hub.evaluation.results.consistency import contradictions
from ggez_hub.regions import find_region
from tests.evaluation import benchmarks as made

N, EACH = 30, 5
FLICKR = {"image": datasets.Image(), "caption": made.TEXTS, "split": made.TEXT}
WAYS = {"text_to_image_r1": "flickr30k-to-image", "image_to_text_r1": "flickr30k-to-text"}


class Noisy:
    """Pictures and captions near each other, but not so near that every search succeeds."""

    def encode_pictures(self, pictures):
        return np.stack([self._row(made_of(p), 0) for p in pictures])

    def encode_texts(self, texts):
        return np.stack([self._row(int(t.split()[1]), hash_of(t)) for t in texts])

    def _row(self, picture, noise):
        own = np.random.default_rng(picture).normal(size=8)
        row = own + 1.2 * np.random.default_rng([noise, 1]).normal(size=8) * (noise > 0)
        return (row / np.linalg.norm(row)).astype(np.float32)


def hash_of(text):
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


NUMBER = {made.png(n): n for n in range(N)}


def made_of(picture):
    return NUMBER[picture]


def caption(picture, number):
    return f"picture {picture} as {number} says"


def write_flickr30k(folder, n=N):
    rows = [
        {"image": made.image(p), "caption": [caption(p, c) for c in range(EACH)], "split": "test"}
        for p in range(n)
    ]
    # Pictures of training are not a part of the gallery.
    rows += [{"image": made.image(n), "caption": ["picture 0 trains"], "split": "train"}]
    made.write(folder / "data" / "TEST-0.test.parquet", FLICKR, rows)
    return Folders(folder)


def prepared(task, folders):
    (found,) = prepare_benchmark(task, folders, find_region("th"), "0" * 40, ["similarity"])
    return found


def answers(found):
    return {
        split: SimilarityModel(Noisy(), AnswerCache()).answer(asked, "similarity")
        for split, asked in found.asked.items()
    }


def brute_force(metric):
    """Question -> whether it is right, over all pictures and captions at once, one by one."""
    model = Noisy()
    pictures = model.encode_pictures([made.png(p) for p in range(N)])
    captions = [(p, c) for p in range(N) for c in range(EACH)]
    texts = model.encode_texts([caption(p, c) for p, c in captions])
    right = {}
    if metric == "text_to_image_r1":
        for (picture, number), text in zip(captions, texts, strict=True):
            right[picture, number] = int(np.argmax([text @ row for row in pictures])) == picture
    else:
        for picture, row in enumerate(pictures):
            best = int(np.argmax([row @ text for text in texts]))
            right[picture] = captions[best][0] == picture
    return right


@pytest.mark.parametrize("metric", WAYS)
def test_recall_is_that_of_a_search_of_the_whole_gallery(tmp_path, metric):
    task = made.benchmark(WAYS[metric])
    found = prepared(task, write_flickr30k(tmp_path))
    got = answers(found)
    expected = brute_force(metric)
    assert 0.2 < np.mean(list(expected.values())) < 0.9
    together = got["validation"].joined(got["test"])
    assert len(together) == len(expected)
    assert together.correct.sum() == sum(expected.values())
    number = {hashlib.sha256(data).hexdigest(): n for data, n in NUMBER.items()}
    for item, image, right in zip(
        together.items, together.details.images, together.correct.tolist(), strict=True
    ):
        place = int(item.rpartition("#")[2]) if metric == "text_to_image_r1" else None
        picture = number[image]
        assert right == expected[picture if place is None else (picture, place)]
    for split, outcomes in got.items():
        # Any of the five captions is right, and none of them contradicts the first.
        assert contradictions({Cell(0.0, task.id, split): outcomes}) == []
    # r / N of the full gallery: one of 30 pictures, five of 150 captions.
    assert set(together.chance.tolist()) == {1 / N}
    assert (found.record.gallery, found.record.published) == (N, 1000)


@pytest.mark.parametrize("metric", WAYS)
def test_all_captions_of_a_picture_are_asked_on_one_side(tmp_path, metric):
    task = made.benchmark(WAYS[metric])
    found = prepared(task, write_flickr30k(tmp_path))
    sides = {split: asked.questions.details.images for split, asked in found.asked.items()}
    assert not {*sides["validation"]} & {*sides["test"]}
    everything = {*sides["validation"]} | {*sides["test"]}
    assert everything == {hashlib.sha256(made.png(p)).hexdigest() for p in range(N)}
    for split, images in sides.items():
        assert {task.split_of(image) for image in images} == {split}
        asked = found.asked[split].questions
        # What is searched does not depend on who asks.
        assert asked.options.shape[1] == (N if metric == "text_to_image_r1" else N * EACH)
        each = EACH if metric == "text_to_image_r1" else 1
        assert all(images.count(image) == each for image in {*images})


def test_captions_in_rows_of_their_own_are_all_right(tmp_path):
    """The shape of other releases: a picture stands in five rows, each with one caption."""
    rows = [
        {"image_id": f"{p}-{c}", "image": made.image(p), "captions": [caption(p, c)]}
        for p in range(8)
        for c in range(EACH)
    ]
    made.write(tmp_path / "data" / "en-0.parquet", made.CAPTIONS, rows)
    base = made.benchmark("xm3600-en-to-text")
    task = base.model_copy(update={"options": {"captions": "captions", "id": "image_id"}})
    found = prepared(task, Folders(tmp_path))
    asked = [side.questions for side in found.asked.values()]
    assert sum(len(questions.items) for questions in asked) == 8
    assert all(questions.right.sum(axis=1).tolist() == [EACH] * len(questions.items) for questions in asked)  # fmt: skip
    # Its best caption is right, and another of its own is not a wrong candidate before it.
    for questions in asked:
        similar = np.where(questions.right, 0.5, 0.0)
        similar[:, :] += np.linspace(0, 0.1, similar.shape[1])
        assert questions.scored(similar).rank.tolist() == [1] * len(questions.items)


def test_captions_of_pictures_that_are_gone_are_still_candidates(tmp_path):
    folders = write_flickr30k(tmp_path)
    task = made.benchmark("flickr30k-to-text")
    items = list(read_contents(task, folders).items)
    items[3] = replace(items[3], picture=None)
    asked = ask_benchmark(task, items[:6], items)
    assert (len(asked.questions.items), asked.missing) == (5, (items[3].id,))
    assert asked.questions.right.shape == (5, N * EACH)
    assert not asked.questions.right[:, 3 * EACH : 4 * EACH].any()


def test_another_caption_of_the_picture_was_recorded_as_right_before(tmp_path):
    found = prepared(made.benchmark("flickr30k-to-text"), write_flickr30k(tmp_path))
    own = answers(found)["test"]
    row = int(np.flatnonzero(own.correct)[0])
    cell = Cell(0.0, "flickr30k-to-text", "test")
    for given, problems in ((f"{own.items[row]}#3", 0), (f"{own.items[row - 1]}#3", 1)):
        predicted = tuple(given if n == row else other for n, other in enumerate(own.predicted))
        assert len(contradictions({cell: replace(own, predicted=predicted)})) == problems


def test_the_gallery_is_a_part_of_what_the_task_is():
    task = made.benchmark("flickr30k-to-image")
    other = Benchmark.model_validate(task.model_dump() | {"gallery": 667})
    assert other.digest != task.digest
    with pytest.raises(ValueError, match="gallery is for searches"):
        Benchmark.model_validate(made.benchmark("sea-vqa").model_dump() | {"gallery": 5})
    # Its digest while each side was searched by itself: answers of that time are to another task.
    assert not task.digest.startswith("05a7bd952c7b8ce6")
