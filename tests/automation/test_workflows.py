"""What every workflow keeps: pinned actions, least permissions, no text of strangers in a shell."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from ggez_hub.cli.ci import ci_command

from .runner import WORKFLOWS

FILES = sorted(WORKFLOWS.glob("*.yml"))
USES = re.compile(
    r"uses: (actions/[\w-]+|pypa/gh-action-pypi-publish)@([0-9a-f]{40}) # v\d+\.\d+\.\d+$"
)
# Steps in which models of strangers are run.
RUN_MODELS = ("ci evaluate", "ci measure")


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def workflow(request):
    text = request.param.read_text()
    loaded = yaml.safe_load(text)
    # YAML 1.1 reads `on` as true.
    return text, loaded, loaded[True]


def commands(job):
    return [step["run"] for step in job["steps"] if "run" in step]


def test_every_action_is_pinned_by_commit_and_says_from_where(workflow):
    text, _, _ = workflow
    lines = [line.strip().removeprefix("- ") for line in text.splitlines() if "uses:" in line]
    head = text.partition("name:")[0]
    for line in lines:
        assert USES.fullmatch(line), line
    if lines:
        assert re.search(r"from [\w.-]+/[\w.-]+@[0-9a-f]{7}", head)


def test_rights_are_given_job_by_job_and_everything_ends(workflow):
    _, loaded, _ = workflow
    assert loaded["permissions"] == {}
    assert loaded["concurrency"]["group"]
    for job in loaded["jobs"].values():
        assert "permissions" in job
        assert job["timeout-minutes"] <= 350


def test_steps_are_commands_without_expressions(workflow):
    _, loaded, events = workflow
    assert "pull_request_target" not in events
    for job in loaded["jobs"].values():
        for command in commands(job):
            assert "${{" not in command
            assert "\n" not in command.strip()
            if command.startswith("ggez-hub ci "):
                assert command.split()[2] in ci_command.commands


def test_what_runs_models_of_strangers_can_write_nothing(workflow):
    _, loaded, _ = workflow
    for job in loaded["jobs"].values():
        if any(word in command for command in commands(job) for word in RUN_MODELS):
            assert job["permissions"] == {"contents": "read"}
            assert "environment" not in job
            assert set(re.findall(r"secrets\.(\w+)", json.dumps(job))) <= {"HF_READ_TOKEN"}


def test_only_publishing_may_ask_for_an_identity(workflow):
    _, loaded, _ = workflow
    asking = [name for name, job in loaded["jobs"].items() if "id-token" in job["permissions"]]
    assert asking == (["publish"] if loaded["name"] in {"Publish", "Release"} else [])


def test_what_anybody_may_start_ends_no_other_run(workflow):
    """Who comments is asked in a job: before it a stranger's run is a run like any other."""
    _, loaded, events = workflow
    if "issue_comment" in events:
        assert loaded["concurrency"]["cancel-in-progress"] is False
        assert "comment.id" in loaded["concurrency"]["group"]
        for job in loaded["jobs"].values():
            assert "concurrency" not in job or "authorise" in job["needs"]
