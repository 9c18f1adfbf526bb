"""Measurements that are divided into tasks, against those of one process."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.evaluation.answers import cache
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.answers.meeting import Meeting, MetAnswers
from tests.evaluation import benchmarks
from tests.evaluation.conftest import make_task
from tests.evaluation.seers import write_seer

HUB = ("--hub", "http://127.0.0.1:9")
FILES = ("results.json", "predictions.parquet")


def run(*command):
    done = CliRunner().invoke(cli, [*map(str, command), *HUB])
    assert done.exit_code == 0, done.output
    return done


def contents(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in (*folder.glob("*.parquet"), *folder.glob("results.json"))
    }


@pytest.fixture
def computed(monkeypatch):
    """The chunks that are computed in this process, as lists of digests."""
    found = []
    original = cache.answer_once

    def counting(asked, known, compute, chunk=cache.CHUNK):
        keys = {id(value): key for key, value in asked.items()}

        def noted(inputs):
            found.append([keys[id(value)] for value in inputs])
            return compute(inputs)

        return original(asked, known, noted, chunk)

    monkeypatch.setattr(cache, "answer_once", counting)
    monkeypatch.setattr(cache, "CHUNK", 4)
    return found


@pytest.fixture(scope="module")
def swept(dataset, base, both_lora, tmp_path_factory):
    """A recipe of a tiny CLIP with an adapter on both towers, which searches too."""
    root = tmp_path_factory.mktemp("swept")
    (root / "tasks").mkdir()
    for task in (make_task("en"), make_task("th"), make_task("th", "choice_4")):
        (root / "tasks" / f"{task.id}.yaml").write_text(json.dumps(task.model_dump(mode="json")))
    recipe = {
        "kind": "sweep", "region": "th", "family": "embedding", "base": str(base), "alpha": 0.4,
        "adapter": str(both_lora), "tasks": "tasks", "data": str(dataset), "betas": [0, 0.5, 1],
    }  # fmt: skip
    (root / "sweep.yaml").write_text(json.dumps(recipe))
    return root


def test_shares_of_any_number_have_the_bytes_of_one_process(swept, tmp_path, computed):
    run("sweep", swept / "sweep.yaml", "-o", tmp_path / "one", "--no-cache")
    one, chunks = contents(tmp_path / "one"), sorted(computed)
    assert "average.parquet" in one
    for shards in (1, 2, 5):
        computed.clear()
        out = tmp_path / str(shards)
        run("sweep", swept / "sweep.yaml", "-o", out, "--no-cache", "--shards", shards)
        assert contents(out) == one
        # The very same things were computed together, and none of them twice.
        assert sorted(computed) == chunks
        run("verify", out)
