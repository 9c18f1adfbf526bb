"""Tasks in processes of this machine: markers, failures, and workers that are killed."""

from __future__ import annotations

import time
from functools import partial

import pytest

from ggez_hub.cli.errors import explain
from ggez_hub.errors import MissingExtra
from ggez_hub.execution import Engine, WorkerLost, run_tasks

from . import work

SQUARES = {f"done-{n}": str(n * n) for n in range(5)}


def run(folder, task, workers, did=lambda: None):
    with Engine("local", workers).open() as executor:
        run_tasks(executor, partial(task, folder), 5, folder / "squares", did=did)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_task_that_is_done_is_not_run_again(tmp_path, workers):
    steps = []
    run(tmp_path, work.write, workers, lambda: steps.append(1))
    assert work.results(tmp_path) == SQUARES
    (tmp_path / "squares" / "000003").unlink()
    run(tmp_path, work.write, workers, lambda: steps.append(1))
    assert len(steps) == 10
    ran = [(tmp_path / f"ran-{n}").read_text() for n in range(5)]
    assert ran == ["x", "x", "x", "xx", "x"]


def test_a_task_whose_worker_is_killed_is_run_again(tmp_path):
    run(tmp_path, work.die_once, 2)
    assert work.results(tmp_path) == SQUARES


@pytest.mark.slow
def test_no_task_is_lost_where_a_worker_died_between_two_that_were_taken(tmp_path):
    """What is submitted next meets a pool that is broken already."""
    run(tmp_path, work.die_once, 3, lambda: time.sleep(1))
    assert work.results(tmp_path) == SQUARES


def test_a_task_that_kills_its_worker_each_time_is_named(tmp_path):
    with pytest.raises(WorkerLost) as raised:
        run(tmp_path, work.die, 2)
    assert raised.value.number == 2
    shown = explain(raised.value)
    assert shown.message.endswith("was killed each time that it ran (task 2 of squares)")
    assert "fewer --workers" in shown.hint


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("task", "message"),
    [(work.refuse, "this needs a_library"), (work.fill_disk, "no room to write: the disk is full")],
)
def test_what_a_task_raises_says_which_one_it_was_and_the_rest_is_kept(
    tmp_path, task, message, workers
):
    with pytest.raises((MissingExtra, OSError)) as raised:
        run(tmp_path, task, workers)
    shown = explain(raised.value)
    assert shown.message.startswith(message)
    assert shown.message.endswith("(task 1 of squares)")
    (tmp_path / "fixed").touch()
    run(tmp_path, task, workers)
    assert work.results(tmp_path) == SQUARES
    assert {(tmp_path / f"ran-{n}").read_text() for n in range(5)} == {"x"}


def test_an_error_that_cannot_be_sent_is_sent_as_its_text(tmp_path):
    with pytest.raises(RuntimeError, match="Odd: 0") as raised:
        run(tmp_path, work.raise_odd, 2)
    assert raised.value.__notes__ == ["task 0 of squares"]


@pytest.mark.parametrize(
    ("written", "workers", "engine"),
    [
        ("local:4", None, Engine("local", 4)),
        ("local", 3, Engine("local", 3)),
        ("ray", None, Engine("ray", 0)),
        ("ray://head:10001", 8, Engine("ray", 8, "ray://head:10001")),
        ("slurm", None, Engine("slurm", 0)),
        ("slurm:gpu-a100,gpu", 8, Engine("slurm", 8, "gpu-a100,gpu")),
    ],
)
def test_engines_as_they_are_written(written, workers, engine):
    assert Engine.parse(written, workers) == engine


@pytest.mark.parametrize(
    "written", ["local:0", "local:x", "ray:", "ray://", "slurm:", "slurm:a b", "jobs", "jobs:", ""]
)
def test_what_is_not_an_engine(written):
    with pytest.raises(ValueError, match="is not"):
        Engine.parse(written)
