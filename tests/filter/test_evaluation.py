"""Precision and recall of the region's rules."""

from __future__ import annotations

import json

import pytest
import yaml
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.data.rule_accuracy import evaluate
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.parity.score_intervals import wilson

from .corpora import CAPTIONS, encoded, jsonl, picture, spec
from .tiny import write_clip

SOURCE = {"name": "s", "jsonl": "s.jsonl", "columns": CAPTIONS, "license": "x", "pictures": "."}
ROWS = [
    ("1", "A market", "th", True), ("2", "A market in Laos", None, True), ("3", "ตลาดน้ำ", None, True),
    ("4", "A market in Laos", "fr", False), ("5", "A tower", "fr", False), ("6", "A boat", "vn", True),
]  # fmt: skip
RULES = {"keep": "any", "rules": [{"evidence": "metadata"}, {"evidence": "gazetteer"}]}


@pytest.fixture
def labelled(tmp_path):
    rows = [
        {"id": i, "text": t, "country": c, "image": f"{i}.png", "topic": "", "in_region": r}
        for i, t, c, r in ROWS
    ]
    return jsonl(tmp_path / "labelled.jsonl", rows)


def test_precision_and_recall(tmp_path, labelled):
    found = evaluate(spec([SOURCE], keep_region=RULES), tmp_path, labelled)
    assert found.examples == 6
    together = found.together
    assert (together.precision.value, together.precision.n) == (75.0, 4)
    assert (together.recall.value, together.recall.n) == (75.0, 4)
    assert (together.recall.low, together.recall.high) == tuple(100 * x for x in wilson(3, 4))
    alone = {name: (rated.precision.value, rated.recall.value) for name, rated in found.alone}
    assert alone == {"metadata": (100.0, 50.0), "gazetteer": (50.0, 25.0)}
    assert (found.kept_wrongly, found.lost) == (["s/4/caption"], ["s/3/caption"])


def test_rules_on_pictures_are_rated_too(tmp_path, labelled):
    write_clip(tmp_path / "clip")
    for number in (1, 2, 3, 4, 5):
        (tmp_path / f"{number}.png").write_bytes(encoded(picture(number)))
    rule = {"evidence": "picture", "library": "transformers", "model": "clip",
            "countries": ["fr"], "threshold": 0.01}  # fmt: skip
    keys = {"keep": "all", "rules": [{"evidence": "metadata"}, rule]}
    found = evaluate(spec([SOURCE], keep_region=keys), tmp_path, labelled)
    alone = {name: rated.precision.n for name, rated in found.alone}
    # The sixth has no picture.
    assert alone == {"metadata": 2, "picture": 5}
    assert found.lost[-1] == "s/6/caption"


def test_the_command(tmp_path, labelled):
    place = tmp_path / "spec.yaml"
    document = spec([SOURCE], keep_region=RULES).model_dump(mode="json", exclude_none=True)
    place.write_text(yaml.safe_dump(document))
    arguments = ["filter", str(place), "--evaluate", str(labelled)]
    assert "75.0 [30.1, 95.4] of 4" in CliRunner().invoke(cli, arguments).stdout
    said = json.loads(CliRunner().invoke(cli, [*arguments, "--json"]).stdout)
    assert said["together"]["recall"]["value"] == 75.0


@pytest.mark.parametrize(
    ("row", "said"),
    [({"in_region": 1}, "in_region is 1"), ({"in_region": True}, "row 0: text: empty"), (None, "no rows")],
)  # fmt: skip
def test_what_is_off_is_named(tmp_path, row, said):
    place = jsonl(tmp_path / "labelled.jsonl", [row] if row else [])
    with pytest.raises(GgezError, match=said):
        evaluate(spec([SOURCE]), tmp_path, place)


def test_a_source_that_is_not_there(tmp_path, labelled):
    with pytest.raises(UsageProblem, match="no source 'x'"):
        evaluate(spec([SOURCE]), tmp_path, labelled, "x")
