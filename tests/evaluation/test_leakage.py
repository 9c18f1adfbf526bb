"""Leakage: what an adapter was trained on is no test of it, under any name."""

from __future__ import annotations

import pytest

from ggez_hub.errors import GateFailed
from ggez_hub.evaluation.results.figures import figures
from ggez_hub.evaluation.results.leakage import refuse_leaks, state_of
from tests.evaluation.results import write


@pytest.mark.parametrize(
    ("dataset", "data", "words"),
    [
        ("afaji/cvqa", "afaji/cvqa", "afaji/cvqa is on its card"),
        ("afaji/cvqa", "https://huggingface.co/datasets/somebody/CVQA", "is on its card"),
        ("google/xm3600", "XM3600", "XM3600 is on its card"),
        ("nlphuji/flickr30k", "Flickr30k (translated)", "is on its card"),
        ("nlphuji/flickr30k", "flickr-30k", "is on its card"),
        ("SEACrowd/sea-vl-vqa", "SEACrowd/sea-vl_crowdsourcing", "shares its pictures"),
        ("mteb/SeaVLCrawling", "SEA-VL", "shares its pictures"),
        ("worldcuisines/vqa-v1.1", "worldcuisines/vqa", "is on its card"),
        ("worldcuisines/vqa", "worldcuisines/food-kb", "shares its pictures"),
        ("ggez-world/emoji-names", "npm:@iconify-json/noto", "shares its pictures"),
    ],
)
def test_known_ancestors(dataset, data, words):
    state, why = state_of(dataset, ["mammoth/vl", data])
    assert state == "trained on"
    assert words in why


@pytest.mark.parametrize(
    ("dataset", "data"),
    [
        ("wit543/sea-vqa", ["SEACrowd/sea-vl_crawling"]),
        # Another's data set of the same generic name.
        ("worldcuisines/vqa", ["lmms-lab/vqa"]),
        ("ggez-world/emoji-names", ["npm:@iconify-json/twemoji", "npm:cldr-annotations-full"]),
    ],
)
def test_what_is_not_known_to_be_related(dataset, data):
    assert state_of(dataset, data) == ("none known", "")


def test_a_sample_of_the_corpus_that_was_held_out_is_no_leak():
    """Under any of its names; but who trained on the sample itself did."""
    corpus, sample = "SEACrowd/sea-vl_crawling", "mteb/SEA-VL-Crawling-T2I"
    for task in (sample, "mteb/SEA-VL-Crawling-I2T"):
        assert state_of(task, [corpus])[0] == "trained on"
        assert state_of(task, [corpus], [sample])[0] == "none known"
        assert state_of(task, [corpus, task], [sample])[0] == "trained on"
    assert state_of("worldcuisines/vqa", ["food-kb"], [sample])[0] == "trained on"
    refuse_leaks({"sea-vl": sample}, [corpus], [sample])
    with pytest.raises(GateFailed):
        refuse_leaks({"sea-vl": sample}, [corpus], ["afaji/cvqa"])


@pytest.mark.parametrize(
    ("dataset", "data"),
    [
        ("unknown", ["a/b"]),
        ("a/b", "unknown"),
        ("a/b", []),
        ("a/b", ["c/d", "unknown"]),
    ],
)
def test_unknown_is_said(dataset, data):
    assert state_of(dataset, data)[0] == "contamination unknown"


def test_a_leak_is_refused_before_anything_is_measured():
    tasks = {"quiz": "afaji/cvqa", "meals": "worldcuisines/vqa"}
    with pytest.raises(GateFailed, match="meals: worldcuisines/food-kb is on its card") as caught:
        refuse_leaks(tasks, ["worldcuisines/food-kb"])
    assert caught.value.exit_code == 3
    assert "quiz" not in caught.value.message
    refuse_leaks(tasks, ["mammoth/vl"])
    refuse_leaks(tasks, "unknown")


def test_every_score_says_what_is_known(tmp_path):
    known = figures(write(tmp_path / "a"))["scores"]["0"]
    assert known["thai/test"]["contamination"] == "none known"
    unknown = figures(write(tmp_path / "b", data="unknown"))["scores"]
    said = {score["contamination"] for row in unknown.values() for score in row.values()}
    assert said == {"contamination unknown"}
    leaked = figures(write(tmp_path / "c", data=["afaji/cvqa"]))["scores"]["0"]
    assert leaked["world/test"]["contamination"] == "trained on"
