"""Jobs on the embedded hub: started once, joined, read."""

from __future__ import annotations

import time

import pytest

from ggez_hub.embedded.jobs import JobOrder
from ggez_hub.embedded.store import HubStore
from ggez_hub.errors import GateFailed, GgezError
from ggez_hub.hub import Hub
from ggez_hub.hub.jobs import JobRequest, prices, run

from ..worlds import serving
from .job_machine import job_runner


@pytest.fixture(scope="module")
def hub_and_runner(tmp_path_factory):
    runner = job_runner(tmp_path_factory.mktemp("jobs"))
    with HubStore.open(tmp_path_factory.mktemp("store")) as store:
        store.add_account("curator", orgs=["ggez-hub"])
        with serving(store, jobs=runner) as endpoint:
            yield Hub(endpoint, store.new_token("curator", "write")), runner
    runner.close()


@pytest.fixture
def jobs(hub_and_runner):
    hub, runner = hub_and_runner
    runner._jobs.clear()
    return runner, hub


def order(script, **changes):
    given = {
        "namespace": "ggez-hub", "key": "7-abc", "image": "python:3.11",
        "command": ("bash", "-c", script), "machine": "t4-small", "hours": 1.5,
    }  # fmt: skip
    return JobRequest(**given | changes)


def start(runner, labels, *command):
    return runner.start(
        JobOrder("ggez-hub", True, "curator", "python", command, "t4-small", labels=labels), ""
    )


def test_what_is_sent(jobs):
    runner, hub = jobs
    said = []
    run(
        hub,
        order(
            'test "$TEXT" = "a; exit 1" -a "$HF_TOKEN" = hf_results',
            env={"TEXT": "a; exit 1"},
            secrets={"HF_TOKEN": "hf_results"},
        ),
        said.append,
    )
    (job,) = runner.jobs("ggez-hub")
    assert (job.order.image, job.order.machine, job.order.seconds) == (
        "python:3.11",
        "t4-small",
        5400,
    )
    assert job.order.labels.items() >= {"app": "ggez-hub", "key": "7-abc"}.items()
    assert job.order.secrets == {"HF_TOKEN": "hf_results"}
    assert job.order.environment == {"TEXT": "a; exit 1"}
    assert "hf_results" not in repr(order("", secrets={"HF_TOKEN": "hf_results"}))
    assert said == [f"started {hub.endpoint}/jobs/ggez-hub/{job.id}, at most 1.5 hours"]
    assert prices(hub) == {"t4-small": pytest.approx(0.6)}


def test_a_job_that_goes_on_is_joined_and_one_that_ended_is_not(jobs, tmp_path):
    runner, hub = jobs
    labels = {"app": "ggez-hub", "key": "7-abc"}
    ended = start(runner, labels, "true")
    start(runner, {"app": "ggez-hub", "key": "another"}, "true")
    while not ended.state.is_finished:
        time.sleep(0.01)
    joined, said = tmp_path / "joined", []
    going = start(runner, labels, "sh", "-c", f"until [ -e {joined} ]; do sleep 0.1; done")

    def say(text):
        said.append(text)
        joined.touch()

    run(hub, order("exit 1"), say)
    assert len(runner.jobs("ggez-hub")) == 3
    assert said == [f"joined {hub.endpoint}/jobs/ggez-hub/{going.id}, at most 1.5 hours"]


def test_a_job_that_fails_shows_the_end_of_its_log(jobs):
    _, hub = jobs
    with pytest.raises(GgezError, match=r"ended as ERROR: exit code 3\n  \| out of memory"):
        run(hub, order("echo out of memory; exit 3"), print)


def test_a_job_that_may_not_go_on_is_cancelled(jobs):
    runner, hub = jobs

    def allow(job):
        raise GateFailed(f"{job.id} is one too many")

    with pytest.raises(GateFailed, match="one too many"):
        run(hub, order("sleep 600"), print, allow)
    (made,) = runner.jobs("ggez-hub")
    assert made.state.stage == "CANCELED"


def test_without_the_right_token_nothing_is_started(jobs):
    from huggingface_hub.errors import HfHubHTTPError

    runner, hub = jobs
    with pytest.raises(HfHubHTTPError, match="401"):
        run(Hub(hub.endpoint, "hf_other"), order("true"), print)
    assert runner.jobs("ggez-hub") == []
