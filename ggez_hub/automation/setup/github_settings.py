"""Checks of a registry's settings on GitHub, by its API; what a token may not read is unknown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ggez_hub.automation.github import GitHub
from ggez_hub.automation.setup import SetupCheck
from ggez_hub.automation.setup.secrets import PURPOSES, environments, named_secrets, workflows

_check = partial(SetupCheck, "GitHub")
# https://docs.github.com/en/rest: which endpoint asks for which right of a fine-grained token.
RIGHTS = (
    "A fine-grained token for this repository that reads Administration, Environments and Secrets: "
    "https://github.com/settings/personal-access-tokens/new"
)
RELEASES = "pypi"


def unasked(repository: str | None) -> Iterator[SetupCheck]:
    """The checks of GitHub where there is no token, or no name of the repository."""
    command = "ggez-hub ci doctor"
    reason, fix = f"{repository}: no GITHUB_TOKEN", f"GITHUB_TOKEN=$(gh auth token) {command}"
    if repository is None:
        reason, fix = "no remote `origin` on GitHub", f"GITHUB_REPOSITORY=OWNER/NAME {command}"
    for name in ("branch rules", "pull requests", "environments", "secrets"):
        yield _check(name, "unknown", reason, fix)


@dataclass(frozen=True)
class Settings:
    """What GitHub answers about one repository; `page` is its address for people."""

    github: GitHub
    page: str

    def names(self, path: str, key: str) -> frozenset[str] | None:
        """The names in a list of the API; None where it may not be read."""
        status, found = self.github.ask(path)
        return frozenset(item["name"] for item in found[key]) if status == 200 else None


def github_checks(github: GitHub, repository: Path) -> Iterator[SetupCheck]:
    """How the repository is set up, for the workflows of the checkout."""
    status, found = github.ask("")
    if status != 200:
        what = "the token is not valid" if status == 401 else f"HTTP {status}"
        fix = "Check GITHUB_TOKEN, and GITHUB_REPOSITORY or the remote `origin`."
        yield _check("repository", "missing", f"{github.repository}: {what}", fix)
        return
    settings = Settings(github, f"https://github.com/{github.repository}")
    branch = str(found["default_branch"])
    yield _check("repository", "ok", f"{github.repository}, default branch {branch}")
    yield _merge_check(settings, found)
    yield _branch_check(settings, branch)
    yield from _owner_checks(settings)
    yield _actions_check(settings)
    loaded = workflows(repository)
    yield from _environment_checks(settings, environments(loaded))
    yield from _secret_checks(settings, loaded)


def _merge_check(settings: Settings, found: Mapping[str, Any]) -> SetupCheck:
    fix = f"gh repo edit {settings.github.repository} --enable-squash-merge"
    match found.get("allow_squash_merge"):
        case None:
            return _check(
                "pull requests", "unknown", "this token does not see how they merge", RIGHTS
            )
        case True:
            return _check("pull requests", "ok", "may be squashed, as `ci automerge` does")
        case _:
            return _check(
                "pull requests", "missing", "may not be squashed, as `ci automerge` does", fix
            )


def _branch_check(settings: Settings, branch: str) -> SetupCheck:
    check = partial(_check, "branch rules")
    fix = f"{settings.page}/settings/rules (docs/maintaining.md has the command)"
    status, rules = settings.github.ask(f"/rules/branches/{branch}")
    if status != 200:
        return check("unknown", f"HTTP {status}", RIGHTS)
    if not rules:
        _, seen = settings.github.ask(f"/branches/{branch}")
        if isinstance(seen, dict) and seen.get("protected"):
            what = f"{branch} has a classic protection, which is not read here"
            return check("unknown", what, f"Make a ruleset of it: {fix}")
        return check("missing", f"none for {branch}: whoever may write may push to it", fix)
    of_type: dict[str, list[Mapping[str, Any]]] = {}
    for rule in rules:
        of_type.setdefault(rule["type"], []).append(rule.get("parameters") or {})
    pulls = of_type.get("pull_request", [])
    asked = {
        "an approving review": any(p.get("required_approving_review_count") for p in pulls),
        "a review by a code owner": any(p.get("require_code_owner_review") for p in pulls),
        "that a new push dismisses approvals": any(
            p.get("dismiss_stale_reviews_on_push") for p in pulls
        ),
        "status checks": any(
            p.get("required_status_checks") for p in of_type.get("required_status_checks", [])
        ),
        "no forced push": "non_fast_forward" in of_type,
        "no deletion": "deletion" in of_type,
    }
    if lacking := [what for what, there in asked.items() if not there]:
        return check("missing", f"{branch} does not ask for: {', '.join(lacking)}", fix)
    return check("ok", f"{branch}: {', '.join(asked)}")


def _owner_checks(settings: Settings) -> Iterator[SetupCheck]:
    status, found = settings.github.ask("/codeowners/errors")
    if status == 200 and found["errors"]:
        said = "; ".join(f"line {e['line']}: {e['kind']}" for e in found["errors"])
        fix = f"Make the teams, with write access: {settings.page}/settings/access"
        yield _check("code owners", "missing", said, fix)
    elif status == 200:
        yield _check("code owners", "ok", "all are known, with write access")


def _actions_check(settings: Settings) -> SetupCheck:
    check = partial(_check, "actions")
    page = f"{settings.page}/settings/actions, Workflow permissions"
    status, found = settings.github.ask("/actions/permissions/workflow")
    if status != 200:
        return check("unknown", f"HTTP {status}", RIGHTS)
    if found["default_workflow_permissions"] != "read":
        what = "a job that declares no permissions gets a token that writes"
        return check("missing", what, f"{page}: Read repository contents")
    if not found["can_approve_pull_request_reviews"]:
        what = "may not create pull requests: `ci adopt` and `ci retune` need it, or PULLS_TOKEN"
        allow = "Allow GitHub Actions to create and approve pull requests"
        return check("note", what, f"{page}: {allow}")
    return check("ok", "read by default, and may create pull requests")


def _environment_checks(settings: Settings, named: tuple[str, ...]) -> Iterator[SetupCheck]:
    status, found = settings.github.ask("/environments")
    if status != 200:
        yield _check("environments", "unknown", f"HTTP {status}", RIGHTS)
        return
    there = {one["name"]: one for one in found["environments"]}
    for name in named:
        check = partial(_check, f"environment {name}")
        page = f"{settings.page}/settings/environments"
        if name not in there:
            fix = f"gh api -X PUT repos/{settings.github.repository}/environments/{name}"
            yield check("missing", "not there", f"{fix}; then limit its branches: {page}")
        elif there[name].get("deployment_branch_policy") is None:
            what = "every branch may use it: whoever may push a branch reads its secrets"
            only = "tags v*" if name == RELEASES else "the default branch"
            yield check("missing", what, f"{page}: Deployment branches and tags, {only} only")
        elif name == RELEASES and not any(
            rule.get("type") == "required_reviewers" for rule in there[name]["protection_rules"]
        ):
            yield check("note", "nobody has to approve a release", f"{page}: Required reviewers")
        else:
            yield check("ok", "limited to some branches or tags")


def _secret_checks(
    settings: Settings, loaded: Mapping[str, dict[str, Any] | None]
) -> Iterator[SetupCheck]:
    of_repository = settings.names("/actions/secrets", "secrets")
    for secret in named_secrets(loaded):
        purpose = PURPOSES.get(secret.name)
        if purpose is None or secret.environment != purpose.environment:
            continue
        check, place = partial(_check, secret.name), secret.environment
        option = f" --env {place}" if place else ""
        fix = f"gh secret set {secret.name}{option} -R {settings.github.repository}: {purpose.use}"
        held = of_repository
        if place:
            held = settings.names(f"/environments/{place}/secrets", "secrets")
            if of_repository is not None and secret.name in of_repository:
                what = f"of the repository, where every job may name it; it belongs into {place}"
                drop = f"gh secret delete {secret.name} -R {settings.github.repository}"
                yield check("missing", what, f"{drop}, then {fix}")
                continue
        if held is None:
            yield check("unknown", "this token does not see the names of secrets", RIGHTS)
        elif secret.name in held:
            yield check("ok", f"in {place}" if place else "in the repository")
        elif purpose.without:
            yield check("note", f"not there: {purpose.without}", fix)
        else:
            yield check("missing", f"not there: {purpose.use}", fix)
