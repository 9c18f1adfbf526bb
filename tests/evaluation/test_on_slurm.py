"""Measurements on a Slurm cluster of two nodes on this machine, against those of one process."""

from __future__ import annotations

import pytest

from ..execution import slurm_cluster
from ..execution.test_slurm import cluster
from .test_on_engine import contents, run, swept

__all__ = ["cluster", "swept"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not slurm_cluster.is_installed(), reason="needs slurmctld, slurmd and munge"
    ),
]
ON_SLURM = ("--on", "slurm:test", "--workers", 2, "--shards", 2)


def test_a_sweep_has_the_bytes_of_one_process(cluster, swept, tmp_path):
    run("sweep", swept, "-o", tmp_path / "here")
    run("sweep", swept, "-o", tmp_path / "there", *ON_SLURM)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    logs = [path.name for path in (tmp_path / "there").glob(".answers/*/*/.*.batch/share-*.log")]
    assert sorted(logs) == 2 * ["share-0.log"] + 2 * ["share-1.log"]


def test_an_evaluation_too(cluster, swept, dataset, tmp_path):
    (tmp_path / "ggez-world").mkdir()
    (tmp_path / "ggez-world" / "colours").symlink_to(dataset)
    command = ["eval", swept.parent / "base", "--suite", swept.parent / "tasks", "--data", tmp_path,
               "--region", "th"]  # fmt: skip
    run(*command, "-o", tmp_path / "here")
    run(*command, "-o", tmp_path / "there", *ON_SLURM)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
