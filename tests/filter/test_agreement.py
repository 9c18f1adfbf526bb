"""How often a scorer orders pairs as people do."""

from __future__ import annotations

import json

import pytest
import yaml
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.data.scorer_agreement import agreement, read_pairs
from ggez_hub.data.scorers.scorer import ColumnScores
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.parity.score_intervals import wilson

from .corpora import BASE, captions, encoded, jsonl, picture, reward, sea_vl_crowdsourcing, spec

SCORER = ColumnScores("column fit", frozenset({"en", "th"}), "fit")


def pair(a, b, preferred, language="en"):
    scores = {"scores_a": {"fit": a} if a is not None else {}, "scores_b": {"fit": b}}
    return {"preferred": preferred, "text": "x", "language": language, **scores}


PAIRS = [
    pair(3, 1, "a"), pair(3, 1, "a"), pair(1, 3, "b", "Thai (tha)"), pair(1, 3, "a"),
    pair(2, 2, "a"), pair(5, 1, "tie"), pair(None, 1, "b"), pair(1, 2, "b", "fr"),
]  # fmt: skip


def test_agreement(tmp_path):
    found = agreement(SCORER, jsonl(tmp_path / "pairs.jsonl", PAIRS), None)
    assert (found.n, found.agreed, found.ties) == (5, 3, 1)
    assert (found.undecided, found.unscored) == (1, 2)
    assert found.agreement == 60.0
    assert (found.low, found.high) == tuple(100 * end for end in wilson(3, 5))
    assert found.at_chance
    assert {tag: row["n"] for tag, row in found.by_language.items()} == {"en": 4, "th": 1}


def test_many_pairs_tell_a_scorer_from_guessing(tmp_path):
    pairs = [pair(3, 1, "a")] * 150 + [pair(3, 1, "b")] * 50
    found = agreement(SCORER, jsonl(tmp_path / "pairs.jsonl", pairs), None)
    assert found.agreement == 75.0
    assert not found.at_chance


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"preferred": "A"}, "preferred is 'A'"),
        ({"preferred": "a", "text": 4}, "the text of a is not text"),
        ({"preferred": "a", "image": "gone.png"}, "the picture of a: the file is missing"),
        ({"preferred": "a", "scores_b": [1]}, "scores_b is not a mapping"),
        ("{", "broken line"),
    ],
)
def test_what_is_off_is_named(tmp_path, row, said):
    place = jsonl(tmp_path / "pairs.jsonl", [pair(1, 2, "a"), row])
    with pytest.raises(GgezError, match=f"row 1.*{said}"):
        list(read_pairs(place, tmp_path))


def test_pairs_of_pictures(tmp_path):
    for seed in (1, 2):
        (tmp_path / f"{seed}.png").write_bytes(encoded(picture(seed)))
    place = jsonl(
        tmp_path / "pairs.jsonl",
        [{"preferred": "b", "text": "A boat", "image_a": "1.png", "image_b": "2.png"}],
    )
    (found,) = read_pairs(place, tmp_path)
    assert found.a.image["bytes"] == encoded(picture(1))
    assert found.b.text == "A boat"


def test_the_command_and_the_filter_that_prints_it(tmp_path, filtered):
    sea_vl_crowdsourcing(tmp_path / "a.parquet")
    block = reward(threshold=1, kind="column", column="fit", agreement="agreement.json")
    asked = spec([BASE], reward=block).model_dump(mode="json", exclude_none=True)
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(asked))
    pairs = jsonl(tmp_path / "pairs.jsonl", PAIRS)
    out = tmp_path / "agreement.json"
    done = CliRunner().invoke(
        cli, ["reward", "agreement", str(pairs), "--spec", str(tmp_path / "spec.yaml"), "-o", str(out)]
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "agrees on 50.0 % of 4 pairs" in done.stdout
    assert "not better than guessing" in done.stdout
    report, _ = filtered([BASE], reward=block)
    assert report.document["reward"]["agreement"]["n"] == json.loads(out.read_text())["n"] == 4
    assert not any("unmeasured" in warning for warning in report.document["warnings"])
    other = reward(threshold=1, kind="column", column="caption_fit", agreement="agreement.json")
    with pytest.raises(UsageProblem, match="is of column fit, not of column caption_fit"):
        filtered([BASE], reward=other)


def test_without_a_scorer(tmp_path):
    source = captions(tmp_path, [("a", "Pho", "vn", 1)])
    asked = spec([source]).model_dump(mode="json", exclude_none=True)
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(asked))
    pairs = jsonl(tmp_path / "pairs.jsonl", PAIRS)
    done = CliRunner().invoke(
        cli, ["reward", "agreement", str(pairs), "--spec", str(tmp_path / "spec.yaml")]
    )
    assert (done.exit_code, "names no scorer" in done.stderr) == (2, True)
