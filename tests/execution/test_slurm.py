"""The same tasks on a Slurm cluster of two nodes on this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from ggez_hub.cli.errors import explain
from ggez_hub.data.pipeline import run_filter
from ggez_hub.execution import Engine, EngineFailed, WorkerLost, run_tasks

from ..filter.corpora import spec
from ..filter.test_run import TEXT, contents, many
from . import slurm_cluster, work
from .test_local import SQUARES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not slurm_cluster.is_installed(), reason="needs slurmctld, slurmd and munge"
    ),
]
ROOT = str(Path(__file__).parents[2])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        # This test's modules are not installed; sbatch passes the environment on.
        patch.setenv("PYTHONPATH", ROOT)
        patch.setenv("OMP_NUM_THREADS", "1")
        with slurm_cluster.running(tmp_path_factory.mktemp("slurm")) as daemons:
            yield daemons


def run(folder, task, count=5, workers=0, did=lambda: None):
    with Engine("slurm", workers, "test").open() as executor:
        run_tasks(executor, partial(task, folder), count, folder / "squares", did=did)


def queued():
    return subprocess.run(["squeue", "-h", "-r"], capture_output=True, text=True, check=True).stdout


def wait_for(ready, seconds=120):
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("workers", [0, 2])
def test_tasks_run_on_the_nodes_and_not_again(cluster, tmp_path, workers):
    steps = []
    run(tmp_path, work.write, workers=workers, did=lambda: steps.append(1))
    (tmp_path / "squares" / "000003").unlink()
    run(tmp_path, work.write, workers=workers, did=lambda: steps.append(1))
    assert work.results(tmp_path) == SQUARES
    assert len(steps) == 10
    ran = [(tmp_path / f"ran-{n}").read_text() for n in range(5)]
    assert ran == ["x", "x", "x", "xx", "x"]


def test_a_task_whose_worker_is_killed_is_run_again(cluster, tmp_path):
    run(tmp_path, work.die_once, workers=1)
    assert work.results(tmp_path) == SQUARES
    assert {(tmp_path / f"ran-{n}").read_text() for n in range(5)} == {"x"}


def test_a_task_that_kills_its_worker_each_time_is_named_with_its_log(cluster, tmp_path):
    with pytest.raises(WorkerLost) as raised:
        run(tmp_path, work.die, workers=1)
    shown = explain(raised.value).message
    assert "(task 2 of squares, log: " in shown
    log = Path(shown.partition("log: ")[2].rstrip(")"))
    assert "task 2 of squares" in log.read_text()
    # The others are done all the same.
    assert work.results(tmp_path).keys() == SQUARES.keys() - {"done-2"}


@pytest.mark.parametrize("task", [work.refuse, work.fill_disk])
def test_what_a_task_raises_is_raised_here(cluster, tmp_path, task):
    with pytest.raises(Exception, match=r"a_library|No space left") as raised:
        run(tmp_path, task)
    message = explain(raised.value).message
    assert message.startswith(("this needs a_library", "no room to write: the disk is full"))
    assert "(task 1 of squares, log: " in message
    assert queued() == ""
    (tmp_path / "fixed").touch()
    run(tmp_path, task)
    assert work.results(tmp_path) == SQUARES


def test_a_disk_so_full_that_nobody_can_say_so(cluster, tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with pytest.raises(OSError, match="No space left") as raised:
            run(tmp_path, work.fill, workers=1)
        assert "the disk is full" in explain(raised.value).message
        assert "(task 1 of squares, log: " in explain(raised.value).message
        (tmp_path / "large").unlink()
        run(tmp_path, work.write)
        assert work.results(tmp_path) == SQUARES
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_an_error_that_cannot_be_described_is_sent_as_its_text(cluster, tmp_path):
    with pytest.raises(RuntimeError, match="Odd: ") as raised:
        run(tmp_path, work.raise_odd, workers=1)
    assert raised.value.__notes__[0] == "task 0 of squares"


def test_a_partition_that_is_not_there_is_refused(cluster, tmp_path):
    with (
        pytest.raises(EngineFailed, match="invalid partition"),
        Engine("slurm", 0, "x").open() as slurm,
    ):
        run_tasks(slurm, partial(work.write, tmp_path), 5, tmp_path / "squares")


def test_a_job_that_somebody_cancels_says_so_and_goes_on_when_run_again(cluster, tmp_path):
    cancelled = []

    def cancel():
        if not cancelled:
            cancelled.append(1)
            subprocess.run(["scancel", "--me"], check=True)

    with pytest.raises(EngineFailed, match="was cancelled"):
        run(tmp_path, work.write_when_let, 8, did=cancel)
    assert len(work.results(tmp_path)) < 8
    (tmp_path / "let").touch()
    run(tmp_path, work.write_when_let, 8)
    assert len(work.results(tmp_path)) == 8


def test_a_filter_has_the_bytes_of_one_process(cluster, tmp_path):
    asked = spec([many(tmp_path)], rows_per_shard=900, **TEXT)
    run_filter(asked, tmp_path, tmp_path / "here")
    run_filter(asked, tmp_path, tmp_path / "there", engine=Engine("slurm", 2))
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


DRIVER = """
import sys
from functools import partial
from pathlib import Path
from ggez_hub.execution import Engine, run_tasks
from tests.execution import work
folder = Path(sys.argv[1])
with Engine("slurm", 2).open() as executor:
    run_tasks(executor, partial(work.write_when_let, folder), 12, folder / "squares")
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_command_is_stopped_and_run_again(cluster, tmp_path, how):
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path)], stderr=subprocess.DEVNULL
    )
    wait_for(lambda: len(work.results(tmp_path)) >= 2)
    driver.send_signal(how)
    driver.wait()
    if how == signal.SIGINT:
        # Ctrl-C takes its job along.
        wait_for(lambda: queued() == "")
        assert len(work.results(tmp_path)) < 12
    (tmp_path / "let").touch()
    # After a kill the job goes on: it is joined, and no task runs twice.
    run(tmp_path, work.write_when_let, 12, workers=2)
    assert work.results(tmp_path) == {f"done-{n}": str(n * n) for n in range(12)}
    ran = [(tmp_path / f"ran-{n}").read_text() for n in range(12)]
    assert set(ran) == {"x"} or how == signal.SIGINT


def test_a_node_is_lost_in_the_midst(cluster, tmp_path):
    steps = []

    def did():
        steps.append(1)
        if len(steps) == 1:
            cluster["two"].send_signal(signal.SIGKILL)
            cluster["two"].wait()

    run(tmp_path, work.write_slowly, 12, did=did)
    assert work.results(tmp_path) == {f"done-{n}": str(n * n) for n in range(12)}
    assert len(steps) == 12
