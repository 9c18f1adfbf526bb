"""Measurements that are divided into tasks, against those of one process."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from functools import partial
from itertools import chain

import pytest
import transformers
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.evaluation.answers.cache import AnswerCache, Work
from ggez_hub.evaluation.answers.meeting import Meeting, MetAnswers
from ggez_hub.evaluation.sweep.recipe import SweepRecipe
from tests.evaluation import benchmarks
from tests.evaluation.conftest import make_task
from tests.evaluation.divided import dying, noting
from tests.evaluation.seers import write_seer
from tests.evaluation.test_live import lora_on, targets, write_adapter
from tests.evaluation.test_swept_drawings import KINDS, world
from tests.evaluation.towers import write_towers

__all__ = ["world"]

HUB = ("--hub", "http://127.0.0.1:9")


def run(*command):
    done = CliRunner().invoke(cli, [*map(str, command), "--no-cache", *HUB])
    assert done.exit_code == 0, done.output


def contents(folder):
    found = (*folder.glob("*.parquet"), *folder.glob("pictures/*"), folder / "results.json")
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}


@pytest.fixture
def computed():
    """The digests of what is computed together in this process."""
    found = []
    with noting(found.append):
        yield found


@pytest.fixture
def small_chunks(monkeypatch):
    for module in ("similarity", "generative_model"):
        monkeypatch.setattr(f"ggez_hub.evaluation.models.{module}.Work", partial(Work, chunk=4))


@pytest.fixture(scope="module")
def swept(dataset, tmp_path_factory):
    """A recipe of a tiny CLIP with an adapter, which searches too, and a joint fine-tune."""
    root = tmp_path_factory.mktemp("swept")
    write_towers(root / "base")
    for seed in (1, 2):
        lora_on(root / "base", root / f"lora-{seed}", seed)
    (root / "tasks").mkdir()
    for task in (make_task("en"), make_task("th"), make_task("th", "choice_4")):
        (root / "tasks" / f"{task.id}.yaml").write_text(json.dumps(task.model_dump(mode="json")))
    recipe = {
        "kind": "sweep", "region": "th", "family": "embedding", "base": "base", "alpha": 0.4,
        "adapter": "lora-1", "joint": "lora-2", "tasks": "tasks", "data": str(dataset), "betas": [0, 1],
    }  # fmt: skip
    (root / "sweep.yaml").write_text(json.dumps(recipe))
    return root / "sweep.yaml"


@pytest.mark.slow
def test_shards_of_any_number_have_the_bytes_of_one_process(
    swept, tmp_path, computed, small_chunks
):
    run("sweep", swept, "-o", tmp_path / "one")
    one, chunks = contents(tmp_path / "one"), sorted(computed)
    assert {"average.parquet", "joint.parquet", "predictions.parquet"} < one.keys()
    for shards in (1, 2, 5):
        computed.clear()
        run("sweep", swept, "-o", tmp_path / str(shards), "--shards", shards)
        assert contents(tmp_path / str(shards)) == one
        # The very same things were computed together, and none of them twice.
        assert sorted(computed) == chunks


def test_an_evaluation_too(swept, dataset, tmp_path, computed, small_chunks):
    (tmp_path / "ggez-world").mkdir()
    (tmp_path / "ggez-world" / "colours").symlink_to(dataset)
    command = [swept.parent / "base", "--suite", swept.parent / "tasks", "--data", tmp_path,
               "--region", "th"]  # fmt: skip
    run("eval", *command, "-o", tmp_path / "one")
    chunks = sorted(computed)
    computed.clear()
    run("eval", *command, "-o", tmp_path / "two", "--shards", 2)
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert len(chunks) > 2
    assert sorted(computed) == chunks


def test_a_plan_is_printed_and_nothing_is_asked(swept, tmp_path, computed):
    command = [
        "sweep",
        str(swept),
        "-o",
        str(tmp_path / "out"),
        "--shards",
        "2",
        "--plan",
        "--json",
    ]
    done = CliRunner().invoke(cli, [*command, *HUB])
    assert done.exit_code == 0, done.output
    plan = json.loads(done.stdout)
    # Base, adapter and joint fine-tune, in two shards each.
    assert (plan["rounds"], plan["tasks"]) == ({"questions": 6, "points": 3}, 9)
    assert (plan["jobs"], plan["sent_bytes"]) == (0, 0)
    assert plan["answers"] > 0
    assert {on["machine"] for on in plan["devices"]} == {"ubuntu-latest", "t4-small"}
    assert computed == []
    assert not (tmp_path / "out").exists()


def test_a_recipe_is_placed(tmp_path):
    (tmp_path / "base").mkdir()
    recipe = SweepRecipe(
        kind="sweep", region="th", family="vlm", base="base", adapter=["c/d", "./base"], tasks="cvqa",
        parts="parts.yaml",
    )  # fmt: skip
    placed = recipe.placed(tmp_path)
    assert (placed.base, placed.tasks) == (str(tmp_path / "base"), "cvqa")
    assert placed.adapters == ("c/d", str(tmp_path / "base"))
    assert placed.local == (tmp_path / "base", tmp_path / "parts.yaml")


@pytest.fixture(scope="module")
def seer(tmp_path_factory):
    """A tiny VLM, and a benchmark that is asked in three ways."""
    root = tmp_path_factory.mktemp("seer")
    base = write_seer(root / "base", "llava")
    model = transformers.AutoModelForImageTextToText.from_pretrained(base)
    write_adapter(root / "lora", model, targets(model))
    benchmarks.write_cvqa(root / "data" / "afaji" / "cvqa", 12)
    return [base, "--adapter", root / "lora", "--beta", 0.5, "--suite", "cvqa", "--region", "ph",
            "--data", root / "data"]  # fmt: skip


def drawing(root, kind):
    own = KINDS[kind]
    judge = ["--judge", root / own["judge"]] if "judge" in own else []
    return [root / "base", "--suite", root / own["tasks"], "--data", root / own["data"],
            "--region", "th", *judge]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["seer", *KINDS])
def test_other_families_too(request, kind, tmp_path, computed, small_chunks):
    command = request.getfixturevalue(kind) if kind == "seer" else drawing(
        request.getfixturevalue("world"), kind)  # fmt: skip
    run("eval", *command, "-o", tmp_path / "one")
    one, chunks = contents(tmp_path / "one"), sorted(computed)
    for shards in (2, 5):
        computed.clear()
        run("eval", *command, "-o", tmp_path / str(shards), "--shards", shards)
        assert contents(tmp_path / str(shards)) == one
        assert sorted(computed) == chunks


@pytest.mark.slow
def test_processes_answer_a_model_together(seer, tmp_path):
    run("eval", *seer, "-o", tmp_path / "one")
    run("eval", *seer, "-o", tmp_path / "two", "--on", "local:2")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    files = sorted(path.name for path in (tmp_path / "two").glob(".answers/*/met/*/*"))
    assert files == ["others.sqlite", "questions-0-of-2.sqlite", "questions-1-of-2.sqlite"]


def met(out):
    """The digests of the answers in the files where they meet, by model."""
    return {
        (path.parent.name, key)
        for path in out.glob(".answers/*/met/*/*.sqlite")
        if path.stat().st_size
        for key in chain(*sqlite3.connect(path).execute("SELECT key FROM answers"))
    }


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_no_answer(swept, tmp_path):
    run("sweep", swept, "-o", tmp_path / "one")
    with dying(tmp_path / "log", "worker"):
        run("sweep", swept, "-o", tmp_path / "out", "--on", "local:2", "--shards", 3)
    assert (tmp_path / "log.killed").exists()
    assert contents(tmp_path / "out") == contents(tmp_path / "one")
    lines = (tmp_path / "log").read_text().splitlines()
    computed = [key for line in lines for key in json.loads(line)]
    # One for each model that has it: nothing was computed twice.
    assert len(computed) == len(met(tmp_path / "out"))


@pytest.mark.slow
def test_a_command_that_is_killed_goes_on_where_it_was(swept, tmp_path, computed):
    out, command = tmp_path / "out", ["sweep", swept, "-o", tmp_path / "out", "--shards", 3]
    killed = [sys.executable, "-m", "tests.evaluation.divided", tmp_path / "log", *command,
              "--on", "local:2", "--no-cache", *HUB]  # fmt: skip
    assert subprocess.run(list(map(str, killed)), check=False).returncode == -9
    before = met(out)
    assert before
    assert not (out / "results.json").exists()
    run(*command)
    assert len([*chain(*computed)]) == len(met(out) - before)
    run("sweep", swept, "-o", tmp_path / "one")
    assert contents(out) == contents(tmp_path / "one")


@pytest.mark.slow
def test_a_shard_that_was_stopped_is_not_asked_again(swept, tmp_path, computed, small_chunks):
    """By another number of shards either."""
    out = tmp_path / "out"
    stopped = []

    def stop(keys):
        if len(stopped) == 3:
            raise KeyboardInterrupt
        stopped.append(keys)

    with noting(stop):
        done = CliRunner().invoke(
            cli, ["sweep", str(swept), "-o", str(out), "--shards", "2", "--no-cache", *HUB]
        )
    assert done.exit_code != 0
    assert len(met(out)) == len([*chain(*stopped)])
    run("sweep", swept, "-o", out, "--shards", 3)
    everything = [key for chunk in (*stopped, *computed) for key in chunk]
    assert len(everything) == len(met(out))
    run("sweep", swept, "-o", tmp_path / "one")
    assert contents(out) == contents(tmp_path / "one")


def test_a_file_that_is_only_read_stays_as_it_is(tmp_path):
    """Else each job would send it back as if it had changed it."""
    AnswerCache(tmp_path / "a.sqlite").keep({"a": 1})
    os.utime(tmp_path / "a.sqlite", (1, 1))
    assert AnswerCache(tmp_path / "a.sqlite").find(["a"]) == {"a": 1}
    assert (tmp_path / "a.sqlite").stat().st_mtime == 1


def test_answers_of_a_cache_are_met_too(tmp_path):
    """A task elsewhere has another cache: it finds them in the folder."""
    kept, here, there = AnswerCache(), Meeting(), Meeting()
    kept.keep({"a": 1})
    here.go_to(tmp_path / "met", "questions-0-of-2", "questions-*-of-2")
    mine = MetAnswers(here, kept)
    assert mine.find(["a", "b"]) == {"a": 1}
    mine.keep({"b": 2})
    assert kept.find(["b"]) == {"b": 2}
    there.go_to(tmp_path / "met", "questions-1-of-2", "questions-*-of-2")
    # That file is being written.
    assert there.find(["a", "b"]) == {}
    there.go_to(tmp_path / "met", "others")
    assert MetAnswers(there, AnswerCache()).find(["a", "b"]) == {"a": 1, "b": 2}
    assert Meeting(tmp_path / "met").find(["a"]) == {"a": 1}
