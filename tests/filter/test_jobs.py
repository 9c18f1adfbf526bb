"""A filter on the jobs of the embedded hub, which see nothing but the data set that is shared."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
import yaml

from ggez_hub.cli.errors import explain
from ggez_hub.data.scorers.spec import open_scorer
from ggez_hub.execution import EngineFailed, SharedFolder, WorkerLost, run_tasks
from ggez_hub.hub.job_tasks import HubJobs, JobBudget

from ..automation.job_machine import PROJECT, hub_with_jobs
from ..execution import work
from ..execution.test_local import SQUARES
from .corpora import BY_COUNTRY, reward, rows_of, sea_vl_crowdsourcing, spec
from .test_run import contents, many
from .tiny import write_clip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def hub_and_runner(tmp_path_factory):
    with hub_with_jobs(tmp_path_factory.mktemp("hub")) as both:
        yield both


def run(hub, folder, task, workers=2, budget=1.0):
    shared = folder / "shared"
    shared.mkdir(exist_ok=True)
    executor = HubJobs(hub, "t4-small", workers, JobBudget(budget), "data", [SharedFolder(shared)])
    run_tasks(executor, partial(task, shared), 5, shared / "squares")
    return executor


def test_tasks_are_divided_among_jobs_and_run_once(hub_and_runner, tmp_path):
    hub, runner = hub_and_runner
    before = len(runner.jobs("lab"))
    run(hub, tmp_path, work.write)
    assert work.results(tmp_path / "shared") == SQUARES
    assert len(runner.jobs("lab")) - before == 2
    (tmp_path / "shared" / "squares" / "000003").unlink()
    run(hub, tmp_path, work.write)
    # The data set still knows that it is done.
    assert (tmp_path / "shared" / "ran-3").read_text() == "x"


def test_a_job_that_is_killed_is_run_again(hub_and_runner, tmp_path):
    hub, _ = hub_and_runner
    run(hub, tmp_path, work.die_once, workers=1)
    assert work.results(tmp_path / "shared") == SQUARES
    # What was done before it was killed is not done again.
    assert {(tmp_path / "shared" / f"ran-{n}").read_text() for n in range(5)} == {"x"}


def test_a_task_that_kills_each_job_is_named(hub_and_runner, tmp_path):
    hub, _ = hub_and_runner
    with pytest.raises(WorkerLost) as raised:
        run(hub, tmp_path, work.die, workers=1)
    shown = explain(raised.value).message
    assert f"(task 2 of squares, log: {hub.endpoint}/jobs/lab/" in shown


DRIVER = """
import signal, sys
from functools import partial
from pathlib import Path
from ggez_hub.execution import SharedFolder, run_tasks
from ggez_hub.hub import Hub
from ggez_hub.hub.job_tasks import HubJobs, JobBudget
from tests.execution import work
shared = Path(sys.argv[1])
# Ctrl-C is heard, whatever started the tests.
signal.signal(signal.SIGINT, signal.default_int_handler)
executor = HubJobs(
    Hub.of_environment(), "t4-small", 1, JobBudget(1.0), "data", [SharedFolder(shared)]
)
run_tasks(executor, partial(work.write_when, Path(sys.argv[2]), shared), 5, shared / "squares")
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_command_is_stopped_and_run_again(hub_and_runner, tmp_path, how):
    hub, runner = hub_and_runner
    before, shared = len(runner.jobs("lab")), tmp_path / "shared"
    shared.mkdir()
    # A job runs on this machine, and sees it.
    goes_on = tmp_path / "goes on"
    command = [sys.executable, "-c", DRIVER, str(shared), str(goes_on)]
    driver = subprocess.Popen(
        command, cwd=PROJECT, stderr=subprocess.DEVNULL,
        env=os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": hub.token},
    )  # fmt: skip
    while len(runner.jobs("lab")) == before or runner.jobs("lab")[0].state.stage == "SCHEDULING":
        assert driver.poll() is None
        time.sleep(0.02)
    driver.send_signal(how)
    driver.wait(600)
    job = runner.jobs("lab")[0]
    if how == signal.SIGINT:
        # Ctrl-C takes its job along.
        assert job.state.stage == "CANCELED"
    goes_on.touch()
    run(hub, tmp_path, partial(work.write_when, goes_on))
    assert work.results(shared) == SQUARES
    if how == signal.SIGKILL:
        # After a kill the job goes on: it is waited for, and nothing runs twice.
        assert runner.jobs("lab")[0] is job
        assert {(shared / f"ran-{n}").read_text() for n in range(5)} == {"x"}


def test_what_a_task_raises_is_raised_here(hub_and_runner, tmp_path):
    hub, _ = hub_and_runner
    with pytest.raises(Exception, match="a_library") as raised:
        run(hub, tmp_path, work.refuse)
    assert f"(task 1 of squares, log: {hub.endpoint}/jobs/lab/" in explain(raised.value).message
    (tmp_path / "shared" / "fixed").touch()
    run(hub, tmp_path, work.refuse)
    assert work.results(tmp_path / "shared") == SQUARES


def test_the_budget_bounds_the_jobs(hub_and_runner, tmp_path):
    hub, runner = hub_and_runner
    before = len(runner.jobs("lab"))
    # A minute of two machines costs 2 cents.
    with pytest.raises(EngineFailed, match=r"\$0.01 of the budget are left, too little for 2"):
        run(hub, tmp_path, work.write, budget=0.01)
    assert len(runner.jobs("lab")) == before
    run(hub, tmp_path, work.write, budget=0.5)
    assert {job.order.seconds for job in runner.jobs("lab")[:2]} == {1500}


def filtering(hub, place, asked):
    """A function that runs a filter, whose spec is written to `place`, into a folder."""
    place.write_text(yaml.safe_dump(asked.model_dump(mode="json", exclude_none=True)))

    def invoke(out, *options):
        return subprocess.run(
            [sys.executable, "-m", "ggez_hub", "filter", str(place), "-o", str(out), *options],
            env=os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": hub.token}, cwd=PROJECT,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return invoke


def test_a_filter_has_the_bytes_of_one_process(hub_and_runner, tmp_path):
    hub, _ = hub_and_runner
    source = many(tmp_path)
    hub.api.create_repo("lab/many", repo_type="dataset")
    parquet = tmp_path / "many.parquet"
    done = hub.api.upload_file(
        path_or_fileobj=parquet, path_in_repo="data/train.parquet", repo_id="lab/many",
        repo_type="dataset",
    )  # fmt: skip
    del source["parquet"]
    source["hub"] = {"repo": "lab/many", "revision": done.oid}
    asked = spec([source], pictures="ignored", keep_region=BY_COUNTRY)
    invoke = filtering(hub, tmp_path / "spec.yaml", asked)
    here, there = tmp_path / "here", tmp_path / "there"
    done = invoke(here)
    assert done.returncode == 0, done.stderr
    refused = invoke(there, "--on", "jobs:t4-small")
    assert refused.returncode == 2
    assert "there is no --budget: t4-small costs $0.60 an hour" in refused.stderr
    done = invoke(
        there, "--on", "jobs:t4-small", "--workers", "2", "--shards", "4", "--budget", "1"
    )
    assert done.returncode == 0, done.stderr
    assert (
        "at least 7 jobs on t4-small, 2 at once: $0.60 for each hour of one, of which"
        in done.stdout
    )
    assert "dollars on t4-small" in done.stdout
    assert contents(here) == contents(there)


def test_what_the_spec_names_on_this_machine_is_sent(hub_and_runner, tmp_path):
    """A model with an agreement that names it, and a list of places, by paths from the spec's folder."""
    hub, runner = hub_and_runner
    sea_vl_crowdsourcing(tmp_path / "train.parquet")
    hub.api.create_repo("lab/pictures", repo_type="dataset")
    done = hub.api.upload_file(
        path_or_fileobj=tmp_path / "train.parquet", path_in_repo="data/train.parquet",
        repo_id="lab/pictures", repo_type="dataset",
    )  # fmt: skip
    source = {"name": "sea-vl", "mapping": "sea-vl-crowdsourcing", "license": "cc-by-sa-4.0",
              "hub": {"repo": "lab/pictures", "revision": done.oid}}  # fmt: skip
    write_clip(tmp_path / "models" / "clip")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "places.txt").write_text("boat noodles\n")
    (tmp_path / "specs").mkdir()
    scorer = {"kind": "clip_score", "library": "transformers", "model": "../models/clip"}
    rules = [{"evidence": "gazetteer", "places": "../lists/places.txt"}]
    asked = spec(
        [source], duplicates="keep", keep_region={"keep": "any", "rules": rules},
        reward=reward(0, ">=", agreement="agreement.json", **scorer),
    )  # fmt: skip
    name = open_scorer(asked.reward.scorer, tmp_path / "specs").name
    agreement = {"kind": "reward-agreement", "scorer": name, "agreement": 90.0, "low": 80.0, "high": 95.0,
                 "n": 100, "ties": 0}  # fmt: skip
    (tmp_path / "specs" / "agreement.json").write_text(json.dumps(agreement))
    invoke = filtering(hub, tmp_path / "specs" / "spec.yaml", asked)
    here, there = tmp_path / "here", tmp_path / "there"
    done = invoke(here)
    assert done.returncode == 0, done.stderr
    assert rows_of(here)
    done = invoke(there, "--on", "jobs:t4-small", "--budget", "1")
    assert done.returncode == 0, done.stderr
    assert "MB that the spec names here are sent, and fetched by each" in done.stdout
    assert contents(here) == contents(there)
    # Models need more than captions do.
    assert "[data,merge]==" in runner.jobs("lab")[0].order.environment["GGEZ_INSTALL"]
