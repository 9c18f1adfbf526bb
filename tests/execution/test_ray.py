"""The same tasks on a Ray cluster of two nodes on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from ggez_hub.data.pipeline import run_filter
from ggez_hub.data.work_folder import container
from ggez_hub.execution import Engine, WorkerLost, run_tasks

from ..evaluation.conftest import dataset
from ..evaluation.divided import dying
from ..evaluation.test_on_engine import contents as results
from ..evaluation.test_on_engine import run as run_sweep
from ..evaluation.test_on_engine import swept
from ..filter.corpora import spec
from ..filter.test_run import TEXT, contents, many
from . import work
from .test_local import SQUARES

__all__ = ["dataset", "swept"]

pytestmark = pytest.mark.slow


def patiently(start):
    """Ray gives a node half a minute to start, which is not much on a busy machine."""
    for _ in range(4):
        with suppress(Exception):
            return start()
    return start()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    root = str(Path(__file__).parents[2])
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # What it sets is for this process, and other tests come after these.
    before = signal.getsignal(signal.SIGTERM)
    quiet = {"include_dashboard": False, "object_store_memory": 80_000_000}
    made = patiently(lambda: Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **quiet}))
    patiently(lambda: made.add_node(num_cpus=1, object_store_memory=80_000_000))
    # This test's modules are not installed on the nodes.
    environment = {"env_vars": {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}}
    ray.init(address=made.address, runtime_env=environment, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()
    signal.signal(signal.SIGTERM, before)
    del os.environ["RAY_USAGE_STATS_ENABLED"]


def run(folder, task):
    with Engine("ray").open() as executor:
        run_tasks(executor, partial(task, folder), 5, folder / "squares")


def test_tasks_run_on_the_nodes(cluster, tmp_path):
    run(tmp_path, work.write)
    assert work.results(tmp_path) == SQUARES


def test_a_task_whose_worker_is_killed_is_run_again(cluster, tmp_path):
    run(tmp_path, work.die_once)
    assert work.results(tmp_path) == SQUARES


def test_a_task_that_kills_its_worker_each_time_is_named(cluster, tmp_path):
    with pytest.raises(WorkerLost) as raised:
        run(tmp_path, work.die)
    assert raised.value.__notes__ == ["task 2 of squares"]


@pytest.mark.parametrize("task", [work.refuse, work.fill_disk])
def test_what_a_task_raises_is_raised_here(cluster, tmp_path, task):
    with pytest.raises(Exception, match=r"a_library|No space left") as raised:
        run(tmp_path, task)
    assert raised.value.__notes__ == ["task 1 of squares"]
    (tmp_path / "fixed").touch()
    run(tmp_path, task)
    assert work.results(tmp_path) == SQUARES


def test_a_filter_has_the_bytes_of_one_process(cluster, tmp_path):
    asked = spec([many(tmp_path)], rows_per_shard=900, **TEXT)
    run_filter(asked, tmp_path, tmp_path / "here")
    run_filter(asked, tmp_path, tmp_path / "there", engine=Engine("ray"))
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


# The cluster is that of RAY_ADDRESS.
DRIVER = """
import sys, time
from itertools import count
from pathlib import Path
from ggez_hub.data.pipeline import run_filter
from ggez_hub.data.spec import FilterSpec
from ggez_hub.execution import Engine
folder = Path(sys.argv[1])
spec = FilterSpec.model_validate_json((folder / "spec.json").read_text())
steps = count(1)
def did(*_):
    if next(steps) == 15:
        time.sleep(3600)
run_filter(spec, folder, folder / "out", engine=Engine("ray"), did=did)
"""


def test_the_command_is_killed_and_run_again(cluster, tmp_path):
    asked = spec([many(tmp_path)], rows_per_shard=900, **TEXT)
    (tmp_path / "spec.json").write_text(asked.model_dump_json())
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path)],
        env=os.environ
        | {"PYTHONPATH": str(Path(__file__).parents[2]), "RAY_ADDRESS": cluster.address},
    )
    work_folder, deadline = container(tmp_path / "out"), time.monotonic() + 300
    while len(list(work_folder.glob("*/done/*/*/*"))) < 15 and time.monotonic() < deadline:
        time.sleep(0.01)
        assert driver.poll() is None
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert not (tmp_path / "out").exists()
    run_filter(asked, tmp_path, tmp_path / "out", engine=Engine("ray"))
    run_filter(asked, tmp_path, tmp_path / "here")
    assert contents(tmp_path / "out") == contents(tmp_path / "here")


def test_a_node_is_lost_in_the_midst(cluster, tmp_path):
    node = patiently(lambda: cluster.add_node(num_cpus=1, object_store_memory=80_000_000))
    steps = []

    def did():
        steps.append(1)
        if len(steps) == 1:
            cluster.remove_node(node, allow_graceful=False)

    with Engine("ray", 3).open() as executor:
        run_tasks(executor, partial(work.write_slowly, tmp_path), 12, tmp_path / "squares", did=did)
    assert work.results(tmp_path) == {f"done-{n}": str(n * n) for n in range(12)}
    assert len(steps) == 12


def test_a_sweep_whose_worker_is_killed_has_the_bytes_of_one_process(cluster, swept, tmp_path):
    run_sweep("sweep", swept, "-o", tmp_path / "here")
    with dying(tmp_path / "log", "worker"):
        run_sweep("sweep", swept, "-o", tmp_path / "there", "--on", "ray", "--shards", 2)
    assert (tmp_path / "log.killed").exists()
    assert results(tmp_path / "there") == results(tmp_path / "here")
