"""`eval` from the embedded hub gives the score that the card of the demo's adapter has at beta 0."""

from __future__ import annotations

import json

import pytest

from ggez_hub.cards import read_card
from ggez_hub.demo.hub import ASSETS
from tests.world.test_embedded_pull import COMMITS

TASKS = """
kind: tasks
defaults:
  dataset: {repo: ggez-world/emoji-names, revision: main}
  splits: {test: data/test.parquet}
  metric: text_to_image_r1
  seed: 0
tasks:
  - {id: en, title: en, columns: {id: id, image: image, text: en}, side: global, regions: [], language: en}
  - {id: th, title: th, columns: {id: id, image: image, text: th}, side: regional, regions: [th], language: th}
"""


@pytest.mark.slow
def test_the_base_of_the_demo_has_the_scores_of_the_card(run, tmp_path):
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "tasks.yaml").write_text(TASKS)
    result = run("eval", "ggez-world/clip-emoji", "--suite", tmp_path / "suite", "--region", "th",
                 "--hub", "embedded", "-o", tmp_path / "out", "--json")  # fmt: skip
    assert result.returncode == 0, result.stderr
    scores = json.loads(result.stdout)["scores"]["0"]
    at_zero = read_card(ASSETS / "embedding" / "th" / "README.md").card.curve["0"]
    for language in ("en", "th"):
        row = at_zero[f"emoji-{language}-retrieval/test"]
        assert scores[f"{language}/test"]["n"] == row.n == 1368
        assert scores[f"{language}/test"]["score"] == pytest.approx(row.score)
    header = json.loads((tmp_path / "out" / "results.json").read_text())["header"]
    assert header["tasks"]["th"]["revision"] == COMMITS["ggez-world/emoji-names"]
