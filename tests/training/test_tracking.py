"""Losses on trackio's dashboard, where a recipe names a project for it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from ggez_hub.errors import MissingExtra
from ggez_hub.training.run import train
from tests.training.material import job, write_recipe

INSTALLED = importlib.util.find_spec("trackio") is not None
READ = """
import json, sys
from pathlib import Path
import trackio
from trackio.sqlite_storage import SQLiteStorage
from tests.training.material import job
from ggez_hub.training.run import train

class Stopped(Exception):
    pass

def on_step(stage, report):
    if report.step == 3 and sys.argv[3] == "stop":
        raise Stopped

try:
    train(job(Path(sys.argv[1])), Path(sys.argv[2]), on_step=on_step)
except Stopped:
    sys.exit()
(run,) = trackio.Api().runs("ggez-test")
logs = SQLiteStorage.get_logs("ggez-test", run.name)
names = ("tune/loss", "tune/validation")
print("\\n" + json.dumps([[log["step"] for log in logs if name in log] for name in names]))
"""


@pytest.mark.skipif(INSTALLED, reason="trackio is installed")
def test_without_trackio_a_run_that_asks_for_it_takes_no_step(material, tmp_path):
    path = write_recipe(material / "untracked.yaml", trackio="ggez-test")
    with pytest.raises(MissingExtra, match="trackio"):
        train(job(path), tmp_path / "out", on_step=lambda *_: pytest.fail("a step was taken"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="needs trackio")
def test_a_run_that_was_stopped_is_one_run_on_the_dashboard(material, tmp_path):
    path = write_recipe(
        material / "tracked.yaml", trackio="ggez-test", max_steps=4, checkpoint_every=1,
        validation={"share": 0.2}, validate_every=2,
    )  # fmt: skip
    for when in ("stop", "whole"):
        done = subprocess.run(
            [sys.executable, "-c", READ, str(path), str(tmp_path / "out"), when],
            env=os.environ | {"TRACKIO_DIR": str(tmp_path / "trackio")},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    losses, validations = json.loads(done.stdout.splitlines()[-1])
    assert sorted(set(losses)) == [1, 2, 3, 4]
    assert sorted(set(validations)) == [2, 4]
