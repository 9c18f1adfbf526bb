"""Tasks and errors as JSON, and shares of tasks as a scheduler starts them."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from ggez_hub.cli.asked_measurements import AskedSweep
from ggez_hub.cli.errors import explain
from ggez_hub.data.duplicate_search import DuplicateSearch
from ggez_hub.data.output import Shards
from ggez_hub.data.stages import FilterJob, FilterStages, run_steps
from ggez_hub.data.work_folder import WorkFolder
from ggez_hub.errors import MissingExtra
from ggez_hub.evaluation.sweep.recipe import SweepRecipe
from ggez_hub.execution.batches import Batch
from ggez_hub.execution.descriptions import NotDescribable, describe, moved, restore
from ggez_hub.execution.tasks import Marked

from ..filter.corpora import captions, spec
from . import work


def through_json(value):
    return restore(json.loads(json.dumps(describe(value))))


def test_the_tasks_of_a_filter_and_a_sweep(tmp_path):
    rule = {"by": "both", "similarity": 0.8}
    asked = spec([captions(tmp_path, [("a", "Pho", "vn", 1)])], duplicates=rule, pictures="ignored")
    job = FilterJob(asked, tmp_path, WorkFolder(tmp_path / "work"))
    search = DuplicateSearch(tmp_path, asked.duplicates)
    shards = Shards(tmp_path, [tmp_path / "a.arrow"], [3], 2)
    recipe = SweepRecipe(
        kind="sweep",
        region="th",
        family="vlm",
        base="a/b",
        adapter=["c/d"],
        tasks="cvqa",
        betas=[0, 1],
    )
    sweep = AskedSweep(recipe, tmp_path, tmp_path / "out", "hf", cached=True)
    for task in (
        partial(run_steps, job, FilterStages.screen, 0, 4, 2),
        partial(search.link, 3),
        shards.write,
        partial(work.write, sweep),
    ):
        marked = Marked(task, tmp_path / "done")
        # Bound methods are equal only if they are of the same object.
        assert repr(through_json(marked)) == repr(marked)


@pytest.mark.parametrize(
    "value", [None, 1.5, "ก", (1, [2, ()]), {"kind": "path", ("a", 1): {}}, Path("/a b"), dict]
)
def test_values(value):
    assert through_json(value) == value
    assert type(through_json(value)) is type(value)


def test_paths_are_elsewhere_on_another_machine():
    task = partial(work.write, Path("/a/b/c"), other=[Path("/a/bc"), "/a/b/c", Path("/a/b")])
    again = restore(moved(describe(task), {"/a/b": "/z"}))
    assert again.args == (Path("/z/c"),)
    assert again.keywords == {"other": [Path("/a/bc"), "/z/c", Path("/z")]}


def test_what_cannot_be_described_says_so():
    with pytest.raises(NotDescribable, match="lambda"):
        describe(lambda: None)
    with pytest.raises(NotDescribable, match="object cannot be described"):
        describe([object()])


@pytest.mark.parametrize(
    "described",
    [
        {"kind": "shell", "of": "ls"},
        {
            "kind": "error",
            "of": [
                {"kind": "name", "of": "os:mkdir"},
                {"kind": "tuple", "of": ["made"]},
                None,
            ],
        },
        {"kind": "dataclass", "of": ["os:mkdir", {"path": "made"}]},
    ],
)
def test_what_is_not_a_description_is_refused_and_does_nothing(described, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"is not a kind|does not make an exc|is not a dataclass"):
        restore(described)
    assert not (tmp_path / "made").exists()


def batch(tmp_path, task, numbers=(0, 1, 2, 3, 4), shares=2):
    markers = tmp_path / "squares"
    markers.mkdir(exist_ok=True)
    made = Batch.beside(markers)
    made.write(Marked(partial(task, tmp_path), markers), numbers, shares)
    return made


def test_a_share_runs_in_a_process_of_its_own_without_what_is_done(tmp_path):
    made = batch(tmp_path, work.write)
    (tmp_path / "squares" / "000003").touch()
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "ggez_hub.execution", str(made.folder), "1"]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    assert done.stdout == "task 1 of squares\n"
    assert work.results(tmp_path) == {"done-1": "1"}
    assert made.run_share(0) == 0
    assert len(work.results(tmp_path)) == 4


def test_after_a_failure_nothing_is_started_until_it_is_submitted_again(tmp_path, capsys):
    made = batch(tmp_path, work.refuse)
    assert made.run_share(1) == 1
    assert made.run_share(0) == 0
    assert work.results(tmp_path) == {}
    assert "a_library" in capsys.readouterr().err
    with pytest.raises(MissingExtra) as raised:
        made.raise_first()
    shown = explain(raised.value)
    assert shown.message.endswith(f"(task 1 of squares, log: {made.folder / 'share-1.log'})")
    assert shown.hint == "pip install 'ggez-hub[scale]'"
    (tmp_path / "fixed").touch()
    made = batch(tmp_path, work.refuse)
    assert [made.run_share(0), made.run_share(1)] == [0, 0]
    assert len(work.results(tmp_path)) == 5
