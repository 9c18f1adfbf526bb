"""Jobs as huggingface_hub's client starts and reads them."""

from __future__ import annotations

import json
import os
import signal
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError

from ggez_hub.embedded import jobs
from ggez_hub.embedded.jobs import JobRunner

from .. import worlds
from .conftest import Hub


@pytest.fixture
def with_jobs(hub, tmp_path):
    """The hub of the other tests once more, with jobs."""
    runner = JobRunner(tmp_path / "jobs")
    with worlds.serving(hub.store, jobs=runner) as url:
        yield Hub(hub.store, url, hub.tokens)
    runner.close()


def start(hub, script, who="alice", **options):
    return hub.api(who).run_job(image="python:3.12", command=["sh", "-c", script], **options)


def wait(hub, job, who="alice"):
    while True:
        seen = hub.api(who).inspect_job(job_id=job.id, namespace=job.owner.name)
        if seen.status.stage not in {"SCHEDULING", "RUNNING"}:
            return seen
        time.sleep(0.02)


def test_a_job_runs_with_its_variables_and_none_of_the_hub(with_jobs, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_server")
    go = tmp_path / "go"
    job = start(
        with_jobs,
        f"while [ ! -e '{go}' ]; do sleep 0.02; done;"
        'echo "$A $SECRET $HF_ENDPOINT ${HF_TOKEN-none}"; echo err >&2; pwd',
        env={"A": "1"}, secrets={"SECRET": "s3cret"}, labels={"app": "x"}, name="mine",
    )  # fmt: skip
    assert job.status.stage in {"SCHEDULING", "RUNNING"}
    go.touch()
    done = wait(with_jobs, job)
    assert (done.status.stage, done.status.message) == ("COMPLETED", None)
    assert done.labels == {"app": "x", "name": "mine"}
    assert done.secrets == ["SECRET"]
    assert done.durations.running_secs is not None
    assert done.finished_at >= done.started_at >= done.created_at
    lines = list(with_jobs.api().fetch_job_logs(job_id=job.id))
    assert lines[:2] == [f"1 s3cret {with_jobs.endpoint} none", "err"]
    assert Path(lines[2]).name == job.id
    assert list(with_jobs.api().fetch_job_logs(job_id=job.id, tail=1)) == lines[2:]


def test_no_answer_is_dated_before_its_request(with_jobs):
    # The client leaves lines out that were printed more than a second after it.
    for _ in range(12):
        before = int(time.time())
        date = httpx2.get(f"{with_jobs.endpoint}/api/jobs/hardware").headers["date"]
        assert parsedate_to_datetime(date).timestamp() >= before
        time.sleep(0.1)


def test_a_log_is_followed_to_its_end(with_jobs):
    job = start(with_jobs, "for n in 1 2 3; do echo $n; sleep 0.3; done")
    assert list(with_jobs.api().fetch_job_logs(job_id=job.id, follow=True)) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("script", "options", "message"),
    [("exit 3", {}, "exit code 3"), ("sleep 60", {"timeout": 1}, "Job timeout")],
)
def test_a_job_that_fails_says_why(with_jobs, script, options, message):
    done = wait(with_jobs, start(with_jobs, script, **options))
    assert (done.status.stage, done.status.message) == ("ERROR", message)


def test_a_command_that_is_not_there(with_jobs):
    job = with_jobs.api().run_job(image="x", command=["no-such-command"])
    assert wait(with_jobs, job).status.message == "No such file or directory: no-such-command"


def test_cancelling_ends_all_processes_of_a_job(with_jobs):
    job = start(with_jobs, "sleep 60 & echo $!; wait")
    log = with_jobs.api().fetch_job_logs(job_id=job.id, follow=True)
    child = int(next(iter(log)))
    with_jobs.api().cancel_job(job_id=job.id)
    assert wait(with_jobs, job).status.stage == "CANCELED"
    while not is_gone(child):
        time.sleep(0.02)
    with_jobs.api().cancel_job(job_id=job.id)
    assert wait(with_jobs, job).status.stage == "CANCELED"


def is_gone(process):
    try:
        return "Z" in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2]
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("in_time", [True, False])
def test_what_a_job_leaves_running_ends_with_it(with_jobs, in_time):
    # A second is enough to begin, or else the next.
    for seconds in (1, 10, 100):
        script = "sleep 3600 & echo $!" + ("" if in_time else "; sleep 3600")
        job = start(with_jobs, script, **({} if in_time else {"timeout": seconds}))
        done = wait(with_jobs, job)
        assert done.status.stage == ("COMPLETED" if in_time else "ERROR")
        if child := list(with_jobs.api().fetch_job_logs(job_id=job.id)):
            break
    for _ in range(6000):
        if is_gone(int(child[0])):
            return
        time.sleep(0.02)
    pytest.fail("what the job started still runs")


def test_what_leaves_the_processes_of_a_job_does_not_keep_it(with_jobs):
    script = "import os; os.setsid(); print(os.getpid(), flush=True); open('left', 'w'); import time; time.sleep(60)"
    job = start(with_jobs, f'python -c "{script}" & while [ ! -e left ]; do sleep 0.02; done')
    assert wait(with_jobs, job).status.stage == "COMPLETED"
    [child] = with_jobs.api().fetch_job_logs(job_id=job.id)
    os.kill(int(child), signal.SIGKILL)


@pytest.mark.parametrize(
    ("command", "env", "message"),
    [
        (["echo", "a\0b"], {}, "embedded null byte"),
        (["env"], {"A=B": "1"}, "illegal environment variable name"),
    ],
)
def test_what_cannot_be_started_ends_and_says_why(with_jobs, command, env, message):
    job = with_jobs.api().run_job(image="x", command=command, env=env)
    done = wait(with_jobs, job)
    assert (done.status.stage, done.status.message) == ("ERROR", message)


def test_an_order_that_cannot_be_kept_starts_nothing(with_jobs):
    headers = {"Authorization": f"Bearer {with_jobs.tokens['alice']}"}
    order = {"dockerImage": "x", "command": ["true"]}
    for wrong in ({"command": ["\ud800"]}, {"timeoutSeconds": 1 << 40}):
        answer = httpx2.post(
            f"{with_jobs.endpoint}/api/jobs/alice",
            headers=headers,
            content=json.dumps({**order, **wrong}),
        )
        assert answer.status_code == 400
    assert list(with_jobs.api().list_jobs(namespace="alice")) == []


def test_a_log_has_room_for_so_much(with_jobs, monkeypatch):
    monkeypatch.setattr(jobs, "LONGEST_LINE", 1000)
    monkeypatch.setattr(jobs, "MOST_CHARACTERS", 2500)
    job = start(with_jobs, "printf '%3000s' a; echo; echo b")
    assert wait(with_jobs, job).status.stage == "COMPLETED"
    lines = list(with_jobs.api().fetch_job_logs(job_id=job.id))
    assert [len(line) for line in lines] == [1000, 1000]
    address = f"{with_jobs.endpoint}/api/jobs/alice/{job.id}/logs?tail={'9' * 5000}"
    headers = {"Authorization": f"Bearer {with_jobs.tokens['alice']}"}
    assert httpx2.get(address, headers=headers).status_code == 200


def test_the_folder_of_a_job_goes_with_it(with_jobs, tmp_path):
    job = start(with_jobs, "echo x > file; pwd")
    wait(with_jobs, job)
    [folder] = with_jobs.api().fetch_job_logs(job_id=job.id)
    assert Path(folder).parent == tmp_path / "jobs"
    while Path(folder).exists():
        time.sleep(0.02)


def test_jobs_are_listed_by_label_and_stage(with_jobs):
    api = with_jobs.api()
    for name in "ab":
        wait(with_jobs, start(with_jobs, "true", labels={"key": name}, namespace="acme"))
    wait(with_jobs, start(with_jobs, "false", labels={"key": "b"}, namespace="acme"))

    def listed(**wanted):
        return [
            (j.labels["key"], j.status.stage) for j in api.list_jobs(namespace="acme", **wanted)
        ]

    assert listed() == [("b", "ERROR"), ("b", "COMPLETED"), ("a", "COMPLETED")]
    assert listed(labels={"key": "b"}, status="COMPLETED") == [("b", "COMPLETED")]
    assert list(api.list_jobs(namespace="alice")) == []
    assert [each.name for each in api.list_jobs_hardware()] == ["cpu-basic"]


def test_who_may_start_and_see_jobs(with_jobs):
    job = start(with_jobs, "true", namespace="acme")
    bob, named = with_jobs.api("bob"), {"job_id": job.id, "namespace": "acme"}
    for call in (bob.inspect_job, bob.cancel_job):
        with pytest.raises(HfHubHTTPError, match="403"):
            call(**named)
    with pytest.raises(HfHubHTTPError, match="rights to write to the namespace 'acme'"):
        start(with_jobs, "true", "bob", namespace="acme")
    with pytest.raises(HfHubHTTPError, match="one with 'write' is needed"):
        start(with_jobs, "true", "reader")
    assert with_jobs.api("reader").inspect_job(**named).id == job.id
    # Another namespace does not have it, even for who may see both.
    with pytest.raises(HfHubHTTPError, match="there is no job"):
        with_jobs.api().inspect_job(job_id=job.id, namespace="alice")
    with pytest.raises(HfHubHTTPError, match="401"):
        with_jobs.api(None).inspect_job(**named)


def test_what_is_not_offered_is_refused(with_jobs):
    with pytest.raises(HfHubHTTPError, match="no machine 'h200' here: cpu-basic"):
        start(with_jobs, "true", flavor="h200")
    with pytest.raises(HfHubHTTPError, match="expose"):
        start(with_jobs, "true", expose=[80])


def test_a_hub_without_jobs_says_so(hub):
    with pytest.raises(HfHubHTTPError, match="does not offer jobs"):
        start(hub, "true")


def test_its_end_stops_them(hub, tmp_path):
    runner = JobRunner(tmp_path / "jobs")
    with worlds.serving(hub.store, jobs=runner) as url:
        job = start(Hub(hub.store, url, hub.tokens), f"echo $$ > {tmp_path}/pid; exec sleep 60")
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.02)
    runner.close()
    assert runner.find("alice", job.id).state.stage == "CANCELED"
    runner.find("alice", job.id).process.wait(120)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
