"""Checks of a registry's checkout: workflows, code owners, budget, gates, suites, cards."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ggez_hub.automation.budget import PLACE, Budget, read_budget
from ggez_hub.automation.commit_pins import NotPinned, loose_places
from ggez_hub.automation.setup import SetupCheck
from ggez_hub.automation.setup.secrets import FOLDER, PURPOSES, named_secrets, workflows
from ggez_hub.automation.suite import RECIPE, task_counts
from ggez_hub.cards import BadCard, read_card
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.gates.outcome import read_limits
from ggez_hub.quantities import counted, first_of
from ggez_hub.registry.constants import INDEX_REPO

NEEDED = (
    "automerge.yml",
    "ci.yml",
    "contribution.yml",
    "evaluate.yml",
    "publish.yml",
    "review.yml",
)
# What is lost without them.
OPTIONAL = {
    "adopt.yml": "what `contribute` proposes on the hub becomes no pull request",
    "retune.yml": "a new release of the KOF index changes no card",
}
SOURCE = "https://github.com/ggez-hub/ggez-hub/tree/main/"
OWNERS = (Path(".github") / "CODEOWNERS", Path("CODEOWNERS"), Path("docs") / "CODEOWNERS")
OWNER = re.compile(r"@[\w-]+(/[\w.-]+)?|[^@\s]+@[^@\s]+")
USES = re.compile(r"^\s*(?:- )?uses:\s*[\"']?([^\"'\s#]+)", re.MULTILINE)
PINNED = re.compile(r"(\./.*|[^@]+@[0-9a-f]{40}|docker://.*@sha256:[0-9a-f]{64})")
ADDRESS = re.compile(r"github\.com[:/](?P<slug>[\w.-]+/[\w.-]+?)(?:\.git)?/?\Z")
MOST = 5

_check = partial(SetupCheck, "checkout")


def github_name(repository: Path) -> str | None:
    """The name owner/name on GitHub: GITHUB_REPOSITORY, or that of the remote `origin`."""
    from dulwich.errors import NotGitRepository
    from dulwich.repo import Repo

    if named := os.environ.get("GITHUB_REPOSITORY"):
        return named
    try:
        with Repo(str(repository)) as repo:
            url = repo.get_config().get((b"remote", b"origin"), b"url").decode()
    except (NotGitRepository, KeyError):
        return None
    found = ADDRESS.search(url)
    return found["slug"] if found else None


def budget_of(repository: Path) -> Budget | None:
    """The budget; None where there is none that can be read."""
    try:
        return read_budget(repository)
    except GgezError:
        return None


def checkout_checks(repository: Path) -> Iterator[SetupCheck]:
    """What a checkout holds and what it lacks."""
    yield from _workflow_checks(repository)
    yield _owner_check(repository)
    yield from _budget_checks(repository)
    yield _limits_check(repository)
    yield _suite_check(repository)
    yield from _card_checks(repository)


def _workflow_checks(repository: Path) -> Iterator[SetupCheck]:
    loaded = workflows(repository)
    bad = [name for name, workflow in loaded.items() if workflow is None]
    absent = [name for name in NEEDED if name not in loaded]
    if absent or bad:
        said = [f"no {', '.join(absent)}"] if absent else []
        said += [f"not YAML: {', '.join(bad)}"] if bad else []
        fix = f"Copy them to {FOLDER.as_posix()}/ from {SOURCE}{FOLDER.as_posix()}"
        yield _check("workflows", "missing", "; ".join(said), fix)
    else:
        yield _check("workflows", "ok", f"all {len(NEEDED)} that are needed, {len(loaded)} in all")
    for name, lost in OPTIONAL.items():
        if name not in loaded:
            yield _check(name, "note", f"not here: {lost}", f"{SOURCE}{FOLDER.as_posix()}/{name}")
    loose = {
        action
        for path in (repository / FOLDER).glob("*.y*ml")
        for action in USES.findall(path.read_text(encoding="utf-8", errors="replace"))
        if not PINNED.fullmatch(action)
    }
    if loose:
        fix = "Write the commit in place of the tag: uses: NAME@COMMIT # TAG"
        yield _check(
            "pinned actions",
            "missing",
            f"not pinned by commit: {first_of(sorted(loose), MOST)}",
            fix,
        )
    elif loaded:
        yield _check("pinned actions", "ok", "all of them, by commit")
    indexes = {
        str(env.get("GGEZ_INDEX", INDEX_REPO))
        for workflow in loaded.values()
        if workflow is not None and isinstance(env := workflow.get("env"), dict)
    }
    if others := sorted(indexes - {INDEX_REPO}):
        what = f"workflows write {', '.join(others)}, and this command reads {INDEX_REPO}"
        yield _check(
            "GGEZ_INDEX", "missing", what, "Set the variable here as the workflows have it."
        )
    named = named_secrets(loaded)
    if other := sorted({secret.name for secret in named} - PURPOSES.keys()):
        yield _check("secrets", "note", f"of a use that is not known here: {', '.join(other)}")
    misplaced = [
        f"{secret.name} ({', '.join(secret.jobs)})"
        for secret in named
        if secret.name in PURPOSES and secret.environment != PURPOSES[secret.name].environment
    ]
    if misplaced:
        fix = "Give the job the environment that docs/automation.md names under Tokens."
        yield _check(
            "secrets", "missing", f"outside their environment: {first_of(misplaced, MOST)}", fix
        )
    elif named:
        yield _check("secrets", "ok", f"named: {', '.join(sorted({s.name for s in named}))}")


def _owner_check(repository: Path) -> SetupCheck:
    check, place = partial(_check, "code owners"), repository / OWNERS[0]
    found = next((repository / path for path in OWNERS if (repository / path).is_file()), None)
    if found is None:
        return check("missing", "no CODEOWNERS", f"Write {place}: `* @ORGANISATION/maintainers`")
    lines = [
        words
        for line in found.read_text(encoding="utf-8", errors="replace").splitlines()
        if (words := line.partition("#")[0].split())
    ]
    bad = sorted({who for _, *owners in lines for who in owners if not OWNER.fullmatch(who)})
    if bad:
        return check(
            "missing", f"no account and no team: {first_of(bad, MOST)}", f"Correct {found}."
        )
    if not any(pattern == "*" and owners for pattern, *owners in lines):
        fix = f"Begin {found} with `* @ORGANISATION/maintainers`; later lines win."
        return check("missing", "files without an owner: there is no line for `*`", fix)
    teams = {
        who.partition("/")[0].removeprefix("@") for _, *all_ in lines for who in all_ if "/" in who
    }
    slug = github_name(repository)
    home = slug.partition("/")[0] if slug else None
    if home is not None and (foreign := sorted(team for team in teams if team != home)):
        fix = f"Name teams of {home} in {found}: GitHub ignores those of others."
        return check("missing", f"teams of {', '.join(foreign)}, and the repository is {slug}", fix)
    return check("ok", f"{counted(len(lines), 'line')}, owners for every file")


def _budget_checks(repository: Path) -> Iterator[SetupCheck]:
    check = partial(_check, "budget")
    try:
        budget = read_budget(repository)
    except GgezError as problem:
        yield check(
            "missing", problem.message, f"Write {PLACE.as_posix()}: {SOURCE}{PLACE.as_posix()}"
        )
        return
    owner = INDEX_REPO.partition("/")[0]
    said = f"${budget.monthly_usd:g} a month, paid by {budget.namespace}"
    others = {budget.namespace, budget.results.partition("/")[0]} - {owner}
    if others:
        fix = f"Correct `namespace` and `results` in {PLACE.as_posix()}, or set GGEZ_INDEX."
        yield check("note", f"{said}; the index is of {owner}, results are {budget.results}", fix)
    else:
        yield check("ok", said)
    if "@" not in budget.image:
        yield _check("image of jobs", "note", f"{budget.image} by its tag", "ggez-hub ci pin")


def _limits_check(repository: Path) -> SetupCheck:
    place = repository / "recipes" / "gates.yaml"
    try:
        limits = read_limits(place)
    except GgezError as problem:
        return _check("gates", "missing", problem.message, f"{SOURCE}recipes/gates.yaml")
    return _check("gates", "ok", f"at most {limits.parse_failures:.0%} of answers unreadable")


def _suite_check(repository: Path) -> SetupCheck:
    check, place = partial(_check, "suites"), f"recipes/{RECIPE}"
    try:
        found = task_counts(repository / "recipes")
    except GgezError as problem:
        return check("missing", problem.message, f"{SOURCE}{place}")
    if not found:
        return check("missing", "no suite", f"Add `suites` to {place}; docs/automation.md")
    return check(
        "ok", ", ".join(f"{family}: {counted(count, 'task')}" for family, count in found.items())
    )


def _card_checks(repository: Path) -> Iterator[SetupCheck]:
    places = sorted((repository / "cards").glob("*/*/*.md"))
    bad, loose = [], []
    for place in places:
        name = place.relative_to(repository).as_posix()
        try:
            read_card(place)
            loose += [name] if loose_places(place) else []
        except (BadCard, NotPinned) as problem:
            bad.append(f"{name}: {problem.message}")
    if bad:
        yield _check("cards", "missing", first_of(bad, MOST), "ggez-hub card validate CARD")
    elif places:
        yield _check("cards", "ok", f"{len(places)} follow the schema")
    else:
        yield _check("cards", "note", "none is accepted yet", "docs/contributing-an-adapter.md")
    if loose:
        yield _check(
            "pins", "note", f"at the branch main: {first_of(loose, MOST)}", "ggez-hub ci pin"
        )
