"""Jobs against the routes that huggingface_hub calls: started once, joined, paid for, read."""

from __future__ import annotations

from threading import Timer

import pytest

from ggez_hub.embedded.store import HubStore
from ggez_hub.errors import GateFailed, GgezError
from ggez_hub.hub import Hub
from ggez_hub.hub.jobs import JobRequest, run

from ..worlds import serving
from .jobs_server import FakeJobs


@pytest.fixture(scope="module")
def endpoint_and_jobs(tmp_path_factory):
    fake = FakeJobs(tmp_path_factory.mktemp("jobs"), token="hf_starter")
    with (
        HubStore.open(tmp_path_factory.mktemp("store")) as store,
        serving(store, fake.around) as endpoint,
    ):
        yield endpoint, fake


@pytest.fixture
def jobs(endpoint_and_jobs):
    endpoint, fake = endpoint_and_jobs
    fake.jobs.clear()
    fake.started.clear()
    return fake, Hub(endpoint, "hf_starter")


def order(script, **changes):
    given = {
        "namespace": "ggez-hub", "key": "7-abc", "image": "python:3.11",
        "command": ("bash", "-c", script), "machine": "t4-small", "hours": 1.5,
    }  # fmt: skip
    return JobRequest(**given | changes)


def test_what_is_sent(jobs):
    fake, hub = jobs
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
    (spec,) = fake.started
    assert spec["dockerImage"] == "python:3.11"
    assert (spec["flavor"], spec["timeoutSeconds"]) == ("t4-small", 5400)
    assert spec["labels"].items() >= {"app": "ggez-hub", "key": "7-abc"}.items()
    assert spec["secrets"] == {"HF_TOKEN": "hf_results"}
    assert spec["environment"] == {"TEXT": "a; exit 1"}
    assert "hf_results" not in repr(order("", secrets={"HF_TOKEN": "hf_results"}))
    assert said == [f"started {hub.endpoint}/jobs/ggez-hub/{fake.jobs[0]['id']}, at most 1.5 hours"]


def test_a_job_that_goes_on_is_joined_and_one_that_ended_is_not(jobs):
    fake, hub = jobs
    labels = {"app": "ggez-hub", "key": "7-abc"}
    fake.add(labels, stage="COMPLETED")
    fake.add({"app": "ggez-hub", "key": "another"})
    going = fake.add(labels)

    def end():
        going["status"] = {"stage": "COMPLETED", "message": None}

    said = []
    Timer(0.5, end).start()
    run(hub, order("exit 1"), said.append)
    assert fake.started == []
    assert said == [f"joined {hub.endpoint}/jobs/ggez-hub/{going['id']}, at most 1.5 hours"]


def test_a_job_that_fails_shows_the_end_of_its_log(jobs):
    _, hub = jobs
    with pytest.raises(GgezError, match=r"ended as ERROR: exit code 3\n  \| out of memory"):
        run(hub, order("echo out of memory; exit 3"), print)


def test_a_job_that_may_not_go_on_is_cancelled(jobs):
    fake, hub = jobs

    def allow(job):
        raise GateFailed(f"{job.id} is one too many")

    with pytest.raises(GateFailed, match="one too many"):
        run(hub, order("sleep 30"), print, allow)
    (made,) = fake.jobs
    assert made["status"]["stage"] == "CANCELED"


def test_without_the_right_token_nothing_is_started(jobs):
    from huggingface_hub.errors import HfHubHTTPError

    fake, hub = jobs
    with pytest.raises(HfHubHTTPError, match="401"):
        run(Hub(hub.endpoint, "hf_other"), order("true"), print)
    assert fake.started == []
