"""Measurements on the jobs of the embedded hub, which see nothing but what they are sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from ..automation.job_machine import PROJECT, hub_with_jobs
from .test_on_engine import contents, swept

__all__ = ["swept"]
pytestmark = pytest.mark.slow
ON_JOBS = ("--on", "jobs:t4-small", "--workers", "2")


@pytest.fixture(scope="module")
def hub_and_runner(tmp_path_factory):
    with hub_with_jobs(tmp_path_factory.mktemp("hub")) as both:
        yield both


def run(hub, *command, program=("-m", "ggez_hub"), folder=PROJECT):
    """A process of its own: huggingface_hub reads the variables when it is imported."""
    return subprocess.run(
        [sys.executable, *map(str, (*program, *command)), "--no-cache"], cwd=folder, text=True,
        env=os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": hub.token, "PYTHONPATH": str(PROJECT)},
        check=False, capture_output=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def one(swept, hub_and_runner, tmp_path_factory):
    """The results folder of one process."""
    out = tmp_path_factory.mktemp("one") / "out"
    done = run(hub_and_runner[0], "sweep", swept, "-o", out)
    assert done.returncode == 0, done.stderr
    return out


# By its name, under which a job imports it too.
KILLING = """
import sys
from pathlib import Path
from ggez_hub.cli.main import cli
from tests.evaluation.divided import dying
with dying(Path(sys.argv[1]), "driver"):
    cli(sys.argv[2:])
"""


def started(runner, before):
    return len(runner.jobs("lab")) - before


def test_the_plan_comes_first_and_starts_nothing(hub_and_runner, swept, tmp_path):
    (hub, runner), out = hub_and_runner, tmp_path / "out"
    before = len(runner.jobs("lab"))
    command = ("sweep", swept, "-o", out, *ON_JOBS, "--shards", "2")
    done = run(hub, *command, "--plan", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    # Base, adapter and joint fine-tune; each asks 3 tasks with 2 splits.
    assert (plan["rounds"], plan["tasks"], plan["jobs"]) == ({"questions": 6, "points": 3}, 9, 4)
    assert plan["fetched_bytes"] == 0
    model = swept.parent / "base" / "model.safetensors"
    assert plan["sent_bytes"] > model.stat().st_size
    (on,) = (each for each in plan["devices"] if each["machine"] == "t4-small")
    assert on["usd"] == [hours * 0.6 for hours in on["hours"]]
    assert on["measured"] is False
    refused = run(hub, *command)
    assert refused.returncode == 2
    assert "there is no --budget: t4-small costs $0.60 an hour" in refused.stderr
    for dollars, why in (
        ("0", "by the plan, and the budget is $0.00"),
        ("0.01", "too little for 2"),
    ):
        refused = run(hub, *command, "--budget", dollars)
        assert refused.returncode == 1
        assert why in refused.stderr
    assert started(runner, before) == 0
    assert not (out / "results.json").exists()


def test_a_sweep_has_the_bytes_of_one_process(hub_and_runner, swept, one, tmp_path):
    (hub, runner), out = hub_and_runner, tmp_path / "out"
    before = len(runner.jobs("lab"))
    done = run(hub, "sweep", swept, "-o", out, *ON_JOBS, "--shards", "2", "--budget", "1")
    assert done.returncode == 0, done.stderr
    assert contents(out) == contents(one)
    assert started(runner, before) == 4
    assert "9 tasks (questions 6, points 3), at most" in done.stdout
    assert "4 jobs on t4-small, 2 at once: " in done.stdout


def test_a_job_that_is_killed_is_run_again(hub_and_runner, swept, one, tmp_path):
    (hub, runner), out = hub_and_runner, tmp_path / "out"
    # A task's parent is the job itself.
    killing = ("-c", KILLING, tmp_path / "log")
    before = len(runner.jobs("lab"))
    done = run(hub, "sweep", swept, "-o", out, *ON_JOBS, "--budget", "1", program=killing)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "log.killed").exists()
    assert started(runner, before) > 2
    assert contents(out) == contents(one)


def test_what_is_on_the_hub_is_fetched_by_the_jobs(hub_and_runner, swept, dataset, tmp_path):
    hub, _ = hub_and_runner
    for name in ("base", "lora-1"):
        hub.api.create_repo(f"lab/{name}")
        hub.api.upload_folder(folder_path=swept.parent / name, repo_id=f"lab/{name}")
    (tmp_path / "data" / "ggez-world").mkdir(parents=True)
    (tmp_path / "data" / "ggez-world" / "colours").symlink_to(dataset)
    command = ["eval", "lab/base", "--adapter", "lab/lora-1", "--beta", "0.5", "--region", "th", "--suite",
               swept.parent / "tasks", "--data", tmp_path / "data"]  # fmt: skip
    for name, options in (("here", ()), ("there", (*ON_JOBS, "--budget", "1"))):
        done = run(hub, *command, "-o", name, *options, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_what_jobs_cannot_see_is_refused(hub_and_runner, swept, tmp_path):
    hub, _ = hub_and_runner
    command = ["--region", "th", "--suite", swept.parent / "tasks", "-o", tmp_path / "out",
               *ON_JOBS, "--budget", "1"]  # fmt: skip
    refused = run(hub, "eval", f"{hub.endpoint}/v1#model", *command)
    assert refused.returncode == 2, refused.stderr
    assert "jobs have neither its key nor a way to it" in refused.stderr
    refused = run(hub, "eval", "a/b", *command, "--hub", "embedded")
    assert "jobs cannot see a hub of this machine" in refused.stderr


def test_an_input_is_never_fetched_back(hub_and_runner, swept, tmp_path):
    """What a run sent before is not put in place of what the user has changed since."""
    hub, _ = hub_and_runner
    tasks, out = tmp_path / "tasks", tmp_path / "out"
    tasks.mkdir()
    for path in (swept.parent / "tasks").iterdir():
        (tasks / path.name).write_bytes(path.read_bytes())
    recipe = json.loads(swept.read_text()) | {"tasks": str(tasks)}
    recipe |= {name: str(swept.parent / recipe[name]) for name in ("base", "adapter", "joint")}
    place = tmp_path / "sweep.yaml"
    place.write_text(json.dumps(recipe))
    command = ("sweep", place, "-o", out, *ON_JOBS, "--budget", "1")
    assert run(hub, *command).returncode == 0
    changed = next(iter(tasks.iterdir()))
    changed.write_text(changed.read_text() + "\n")
    before = changed.read_text()
    assert run(hub, *command).returncode == 0
    assert changed.read_text() == before
