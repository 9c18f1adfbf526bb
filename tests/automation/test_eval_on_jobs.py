"""`registry eval` on the embedded hub's jobs, against one process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ggez_hub.demo.hub import seed
from ggez_hub.embedded.store import HubStore

from ..worlds import serving
from .conftest import fewer_items, new_registry
from .job_machine import PROJECT, job_runner
from .test_stale_results import FIRST

pytestmark = pytest.mark.slow


def test_the_bytes_are_those_of_one_process(tmp_path):
    runner = job_runner(tmp_path)
    with HubStore.open(tmp_path / "store") as store:
        seed(store)
        fewer_items(store, every=24)
        store.add_account("lab")
        token = store.new_token("lab", "write")
        (tmp_path / "registry").mkdir()
        with (
            serving(store, jobs=runner) as endpoint,
            new_registry(tmp_path / "registry", endpoint) as made,
        ):
            made.accept({FIRST: (PROJECT / FIRST).read_text()})
            clone = made.runner.clone

            def run(out, *options):
                return subprocess.run(
                    [sys.executable, "-m", "ggez_hub", "registry", "eval", *options, "-o", tmp_path / out,
                     "--repository", str(clone)], cwd=PROJECT, capture_output=True, text=True,
                    env=os.environ | {"HF_ENDPOINT": endpoint, "HF_TOKEN": token}, check=False,
                )  # fmt: skip

            on_jobs = ("--on", "jobs:t4-small", "--workers", "2", "--shards", "1")
            refused = run("out", "--stale", *on_jobs, "--budget", "1h")
            assert refused.returncode == 2
            assert "there is no --budget: t4-small costs $0.60 an hour" in refused.stderr
            planned = run("out", "--stale", *on_jobs, "--plan")
            assert "t4-small" in planned.stdout
            assert runner.jobs("lab") == []
            done = run("out", "--stale", *on_jobs, "--budget", "1usd")
            assert done.returncode == 0, done.stderr
            assert len(runner.jobs("lab")) == 2
            # A part of the items does not show a gain.
            assert run("one", str(clone / FIRST)).returncode == 3
            place = tmp_path / "out" / "evidence" / "th" / "embedding" / "clip-emoji-th"
            names = [path.name for path in (tmp_path / "one").glob("*.parquet")]
            assert "predictions.parquet" in names
            for name in (*names, "results.json"):
                assert (place / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    runner.close()
