"""What every workflow keeps: pinned actions, least permissions, no text of strangers in a shell."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ggez_hub.cli.ci import ci_command

from .runner import PROJECT, WORKFLOWS

FILES = sorted(WORKFLOWS.glob("*.yml"))
USES = re.compile(
    r"uses: (actions/[\w-]+|pypa/gh-action-pypi-publish)@([0-9a-f]{40}) # v\d+\.\d+\.\d+$"
)
NO_DEPENDENCIES = "--no-deps --no-build-isolation ."
CONSTRAINTS = PROJECT / "constraints.txt"
LOCKED = re.compile(r"^([\w.-]+)==(\S+) --hash=sha256:[0-9a-f]{64}$", re.MULTILINE)
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


def test_what_holds_a_token_installs_known_files_only(workflow):
    """An index, or who writes to it, must not decide what runs beside a token."""
    _, loaded, _ = workflow
    for name, job in loaded["jobs"].items():
        writes = "write" in job["permissions"].values() or "environment" in job
        # What is uploaded to PyPI is built here.
        built = loaded["name"] == "Release" and name == "build"
        if not (writes or built or "secrets." in json.dumps(job)):
            continue
        for command in commands(job):
            if "pip install" in command:
                assert "--require-hashes" in command or command.endswith(NO_DEPENDENCIES), command


REQUIREMENTS = sorted((PROJECT / ".github" / "requirements").glob("*.txt"))


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_the_files_are_those_of_the_tested_versions(path):
    """`make hashes` writes them."""
    tested = dict(re.findall(r"^([\w.-]+)==(\S+)", CONSTRAINTS.read_text(), re.MULTILINE))
    tested = {canonicalize_name(name): version for name, version in tested.items()}
    locked = LOCKED.findall(path.read_text())
    assert len(locked) == len(path.read_text().splitlines()) - 1 > 30
    names = {canonicalize_name(name): version for name, version in locked}
    both = tested.keys() & names.keys()
    assert {name: names[name] for name in both} == {name: tested[name] for name in both}
    extras = {"ci": ["ci"], "eval": ["eval", "merge"], "release": []}[path.stem]
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    needed = [project["dependencies"], *(project["optional-dependencies"][e] for e in extras)]
    wanted = {canonicalize_name(Requirement(text).name) for part in needed for text in part}
    wanted -= {"ggez-hub"}
    assert wanted <= names.keys()


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
