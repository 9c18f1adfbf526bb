"""`ci doctor`: what a registry's checkout, its GitHub and its hub lack, each with its fix."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import constants
from starlette.responses import JSONResponse

from ggez_hub.automation.budget import read_budget
from ggez_hub.automation.setup.checkout import github_name
from ggez_hub.automation.setup.hub import hub_checks
from ggez_hub.cli.main import cli
from ggez_hub.embedded.store import HubStore
from ggez_hub.hub import Hub

from ..worlds import serving
from .conftest import git
from .github_server import REPOSITORY, serve_github
from .runner import PROJECT

RULES = [
    {"type": "deletion"},
    {"type": "non_fast_forward"},
    {
        "type": "pull_request",
        "parameters": {
            "required_approving_review_count": 1,
            "require_code_owner_review": True,
            "dismiss_stale_reviews_on_push": True,
        },
    },
    {
        "type": "required_status_checks",
        "parameters": {"required_status_checks": [{"context": "lint"}]},
    },
]
WELL = {
    "": (200, {"allow_squash_merge": True}),
    "rules/branches/main": (200, RULES),
    "codeowners/errors": (200, {"errors": []}),
    "actions/permissions/workflow": (
        200,
        {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": True},
    ),
    "environments": (
        200,
        {
            "environments": [
                {
                    "name": name,
                    "deployment_branch_policy": {"protected_branches": True},
                    "protection_rules": [{"type": "required_reviewers"}],
                }
                for name in ("hub", "jobs", "pypi")
            ]
        },
    ),
    "actions/secrets": (200, {"secrets": [{"name": "HF_READ_TOKEN"}, {"name": "PULLS_TOKEN"}]}),
    "environments/hub/secrets": (200, {"secrets": [{"name": "HF_TOKEN"}]}),
    "environments/jobs/secrets": (
        200,
        {"secrets": [{"name": "HF_JOBS_TOKEN"}, {"name": "HF_RESULTS_TOKEN"}]},
    ),
}
FORBIDDEN = (403, {"message": "Resource not accessible by personal access token"})


@pytest.fixture
def checkout(tmp_path):
    """This registry's own files, as a copy of them begins."""
    for name in (".github", "cards", "recipes"):
        shutil.copytree(PROJECT / name, tmp_path / "checkout" / name)
    return tmp_path / "checkout"


@pytest.fixture
def github(monkeypatch):
    with serve_github() as fake:
        fake.settings = dict(WELL)
        monkeypatch.setenv("GITHUB_API_URL", fake.url)
        monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)
        monkeypatch.setenv("GITHUB_TOKEN", "ghp_neverprintthis")
        yield fake


@pytest.fixture
def said_of_token():
    """What whoami adds to, or has in place of, what the embedded hub answers."""
    return {}


@pytest.fixture
def hub(tmp_path, monkeypatch, said_of_token):
    """A hub with an organisation and an index; its token is the user's."""

    def around(app):
        async def answering(scope, receive, send):
            if said_of_token and scope.get("path") == "/api/whoami-v2":
                await JSONResponse(said_of_token)(scope, receive, send)
            else:
                await app(scope, receive, send)

        return answering

    with HubStore.open(tmp_path / "store") as store, serving(store, around) as endpoint:
        store.add_account("curator", orgs=["ggez-hub"])
        store.create_repo("dataset", "ggez-hub/index")
        store.create_repo("dataset", "ggez-hub/evaluations")
        store.commit(
            "dataset", "ggez-hub/index", {"index.sqlite": b"", "cards/th/vlm/a.md": b"# A"},
            message="Index", author="a", email="a@b", date=1_800_000_000,
        )  # fmt: skip
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setenv("HF_TOKEN", store.new_token("curator", "write"))
        yield endpoint


def doctor(repository, hub, *options):
    """The exit code, the checks by topic and name, and all that was printed."""
    arguments = ["ci", "doctor", "--repository", str(repository), "--hub", hub, *options]
    result = CliRunner().invoke(cli, [*arguments, "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    document = json.loads(result.stdout)
    found = {(one["topic"], one["name"]): one for one in document["checks"]}
    assert document["ok"] == (result.exit_code == 0)
    assert "neverprintthis" not in result.output
    return result.exit_code, found, result.output


def states(found, state):
    return {name for (_, name), one in found.items() if one["state"] == state}


def test_a_registry_that_is_set_up(checkout, github, hub):
    code, found, _ = doctor(checkout, hub)
    assert code == 0
    assert states(found, "missing") == states(found, "unknown") == set()
    assert "all 6 that are needed" in found["checkout", "workflows"]["found"]
    assert found["GitHub", "HF_JOBS_TOKEN"]["found"] == "in jobs"
    assert found["hub", "organisation"]["found"].startswith("ggez-hub: curator has the role")
    assert found["hub", "index"]["found"].endswith(": 1 card")


def test_from_nothing_every_gap_has_its_fix(tmp_path, github, hub):
    github.settings = {
        "": (200, {"allow_squash_merge": False}),
        "rules/branches/main": (200, []),
        "branches/main": (200, {"name": "main", "protected": False}),
        "actions/permissions/workflow": (
            200,
            {"default_workflow_permissions": "write", "can_approve_pull_request_reviews": False},
        ),
        "environments": (200, {"environments": []}),
    }
    code, found, printed = doctor(tmp_path, hub)
    assert code == 1
    assert states(found, "missing") == {
        "workflows", "code owners", "budget", "gates", "suites",
        "pull requests", "branch rules", "actions",
    }  # fmt: skip
    assert all(one["fix"] for one in found.values() if one["state"] in {"missing", "note"})
    assert "gh repo edit ggez-hub/ggez-hub --enable-squash-merge" in printed


def test_each_setting_of_github_that_is_off(checkout, github, hub):
    github.settings |= {
        "rules/branches/main": (200, RULES[:2]),
        "codeowners/errors": (200, {"errors": [{"line": 2, "kind": "Unknown owner"}]}),
        "environments": (
            200,
            {"environments": [{"name": "hub", "deployment_branch_policy": None}]},
        ),
        "environments/hub/secrets": (200, {"secrets": []}),
        "environments/jobs/secrets": (200, {"secrets": []}),
        "actions/secrets": (200, {"secrets": [{"name": "HF_RESULTS_TOKEN"}]}),
    }
    code, found, _ = doctor(checkout, hub)
    assert code == 1
    for name, (state, words) in {
        "branch rules": ("missing", "does not ask for: an approving review, a review by a code"),
        "code owners": ("missing", "line 2: Unknown owner"),
        "environment hub": ("missing", "every branch may use it"),
        "environment jobs": ("missing", "not there"),
        "HF_TOKEN": ("missing", "not there: makes repositories"),
        "HF_RESULTS_TOKEN": ("missing", "where every job may name it; it belongs into jobs"),
        "HF_JOBS_TOKEN": ("note", "too large"),
        "PULLS_TOKEN": ("note", "Approve workflows to run"),
    }.items():
        one = found["GitHub", name]
        assert (one["state"], words in one["found"], bool(one["fix"])) == (state, True, True), one


def test_what_a_token_may_not_read_is_unknown(checkout, github, hub):
    github.settings = {path: FORBIDDEN for path in WELL if path}
    github.settings["rules/branches/main"] = (200, [])
    github.settings["branches/main"] = (200, {"name": "main", "protected": True})
    code, found, _ = doctor(checkout, hub)
    assert code == 0
    assert states(found, "unknown") == {
        "pull requests", "branch rules", "actions", "environments",
        "HF_JOBS_TOKEN", "HF_READ_TOKEN", "HF_RESULTS_TOKEN", "HF_TOKEN", "PULLS_TOKEN",
    }  # fmt: skip
    assert "classic protection" in found["GitHub", "branch rules"]["found"]


def test_without_a_token_github_is_unknown(checkout, hub, monkeypatch):
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)
    code, found, _ = doctor(checkout, hub)
    assert code == 0
    assert {"branch rules", "secrets"} <= states(found, "unknown")
    assert "gh auth token" in found["GitHub", "secrets"]["fix"]


def test_a_checkout_that_is_off_is_named_file_by_file(checkout, hub, monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/registry")
    workflow = checkout / ".github" / "workflows"
    (workflow / "review.yml").unlink()
    evaluate = (workflow / "evaluate.yml").read_text().replace("    environment: jobs\n", "")
    (workflow / "evaluate.yml").write_text(
        evaluate.replace("@de0fac2e4500dabe0009e67214ff5f5447ce83dd", "@v6")
    )
    publish = (workflow / "publish.yml").read_text()
    (workflow / "publish.yml").write_text(publish.replace("ggez-hub/index", "acme/index"))
    (checkout / ".github" / "budget.yaml").write_text("kind: budget\n")
    (checkout / "cards" / "th" / "vlm" / "vlm-emoji-th.md").write_text("---\n---\n")
    _, found, _ = doctor(checkout, hub)
    for name, words in {
        "workflows": "no review.yml",
        "pinned actions": "actions/checkout@v6",
        "GGEZ_INDEX": "workflows write acme/index, and this command reads ggez-hub/index",
        "secrets": "HF_JOBS_TOKEN (evaluate.yml: plan",
        "code owners": "teams of ggez-hub, and the repository is acme/registry",
        "budget": "monthly_usd",
        "cards": "cards/th/vlm/vlm-emoji-th.md",
    }.items():
        one = found["checkout", name]
        assert (one["state"], words in one["found"]) == ("missing", True), one


def fine(*scopes, gated=False):
    entries = [{"entity": {"type": "org", "name": on}, "permissions": list(p)} for on, *p in scopes]
    grained = {"canReadGatedRepos": gated, "global": [], "scoped": entries}
    return {"role": "fineGrained", "displayName": "t", "fineGrained": grained}


@pytest.mark.parametrize(
    ("secret", "token", "state", "words"),
    [
        ("HF_TOKEN", fine(("ggez-hub", "repo.write", "repo.content.read")), "ok", "repo.write on"),
        ("HF_TOKEN", fine(("curator", "repo.write")), "missing", "lacks repo.write on ggez-hub"),
        (
            "HF_TOKEN",
            fine(("ggez-hub", "repo.write", "org.write")),
            "note",
            "more than it needs: org.write on ggez-hub",
        ),
        ("HF_TOKEN", {"role": "read"}, "missing", "may only read"),
        ("HF_READ_TOKEN", {"role": "read"}, "ok", "writes nothing"),
        ("HF_READ_TOKEN", fine(gated=False), "missing", "lacks reading gated repositories"),
        ("HF_JOBS_TOKEN", fine(("ggez-hub", "job.write")), "ok", "job.write on ggez-hub"),
        (
            "HF_RESULTS_TOKEN",
            fine(("ggez-hub/evaluations", "repo.write"), gated=True),
            "ok",
            "repo.write on ggez-hub/evaluations, and reading gated repositories",
        ),
        ("HF_TOKEN", {}, "unknown", "of the kind None"),
    ],
)
def test_the_rights_of_a_token_are_those_of_its_secret(
    hub, said_of_token, secret, token, state, words
):
    org = {"name": "ggez-hub", "roleInOrg": "write"}
    said_of_token |= {"name": "curator", "orgs": [org], "auth": {"accessToken": token}}
    found = hub_checks(Hub.of_environment(hub), read_budget(PROJECT), secret)
    (one,) = (check for check in found if check.name == "token")
    assert (one.state, words in one.found) == (state, True), one


def test_a_hub_without_an_index_and_a_token_that_is_not_known(checkout, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_neverprintthis")
    with HubStore.open(tmp_path / "empty") as store, serving(store) as endpoint:
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        code, found, _ = doctor(checkout, endpoint)
    assert code == 1
    assert {"index", "token"} <= states(found, "missing")
    assert found["hub", "index"]["fix"] == f"ggez-hub index publish cards --hub {endpoint}"


def test_a_hub_that_does_not_answer_leaves_the_rest_checked(checkout):
    code, found, _ = doctor(checkout, "http://127.0.0.1:9")
    assert code == 1
    assert states(found, "missing") == {"answers"}
    assert found["checkout", "workflows"]["state"] == "ok"


@pytest.mark.parametrize(
    "url", ["git@github.com:acme/reg.istry.git", "https://github.com/acme/reg.istry"]
)
def test_the_name_on_github_is_that_of_the_remote(tmp_path, monkeypatch, url):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    assert github_name(Path(tmp_path)) is None
    git(tmp_path, "init", "-q")
    git(tmp_path, "remote", "add", "origin", url)
    assert github_name(tmp_path) == "acme/reg.istry"
