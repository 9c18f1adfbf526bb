"""Checks of a registry's hub: its organisation, its index, and the rights of a token by whoami."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ggez_hub.automation.budget import Budget
from ggez_hub.automation.setup import SetupCheck, SetupState
from ggez_hub.automation.setup.secrets import PURPOSES, TokenPurpose
from ggez_hub.errors import GgezError, first_line
from ggez_hub.hub import Hub
from ggez_hub.quantities import counted
from ggez_hub.registry.constants import INDEX_FILE, INDEX_REPO
from ggez_hub.retry import with_retries

_check = partial(SetupCheck, "hub")
REAL = "https://huggingface.co"
WRITING = ("write", "admin", "contributor")
NEW_TOKEN = f"{REAL}/settings/tokens/new?tokenType=fineGrained"


def hub_checks(
    hub: Hub, budget: Budget | None, secret: str, option: str = ""
) -> Iterator[SetupCheck]:
    """What the hub has; `secret` is what its token is meant for, `option` how commands name it."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        who = _whoami(hub)
        # Whose token is refused is refused everything.
        reader = Hub(hub.endpoint) if who is None else hub
        yield _index_check(reader, option)
        yield from _results_checks(reader, budget)
        yield from _token_checks(hub, who, budget, secret)
    except OfflineModeIsEnabled:
        yield _check(
            "answers", "unknown", "not asked: HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE"
        )
    except (httpx2.HTTPError, HfHubHTTPError, GgezError) as error:
        yield _check(
            "answers",
            "missing",
            f"{hub.endpoint}: {first_line(error)}",
            "Check the network and --hub.",
        )
    if hub.endpoint == REAL:
        yield _publisher_check(hub)


def _index_check(hub: Hub, option: str) -> SetupCheck:
    from huggingface_hub.errors import RepositoryNotFoundError

    check, fix = partial(_check, "index"), f"ggez-hub index publish cards{option}"
    try:
        info = with_retries(lambda: hub.api.dataset_info(INDEX_REPO))
    except RepositoryNotFoundError:
        return check("missing", f"no data set {INDEX_REPO}: every `pull` ends there", fix)
    if info.private:
        page = f"{hub.page(INDEX_REPO, 'dataset')}/settings"
        return check(
            "missing", f"{INDEX_REPO} is private: nobody else pulls", f"{page}: make public"
        )
    files = {file.rfilename for file in info.siblings or ()}
    cards = sum(path.startswith("cards/") for path in files)
    found = f"{INDEX_REPO} @ {str(info.sha)[:12]}: {counted(cards, 'card')}"
    if not cards:
        return check("note", f"{INDEX_REPO} has no cards yet: publish.yml adds the first", fix)
    if INDEX_FILE not in files:
        return check("note", f"{found}, without {INDEX_FILE}: every pull reads them all", fix)
    return check("ok", found)


def _results_checks(hub: Hub, budget: Budget | None) -> Iterator[SetupCheck]:
    if budget is None:
        return
    if hub.exists(budget.results, "dataset"):
        yield _check("results", "ok", f"{budget.results} takes what jobs measure")
    else:
        said = f"no data set {budget.results} yet: the first job makes it, if its token may"
        yield _check("results", "note", said, f"hf repos create {budget.results} --type dataset")


def _whoami(hub: Hub) -> dict[str, Any] | None:
    """What the hub says of the token; None without one, and for one that it does not accept."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return with_retries(hub.api.whoami) if hub.token else None
    except HfHubHTTPError as error:
        if error.response.status_code != 401:
            raise
        return None


def _token_checks(
    hub: Hub, who: Mapping[str, Any] | None, budget: Budget | None, secret: str
) -> Iterator[SetupCheck]:
    owner = INDEX_REPO.partition("/")[0]
    if who is None:
        fix = f"HF_TOKEN=... ggez-hub ci doctor --secret {secret}"
        yield _check("organisation", "unknown", f"{owner}: no token to ask with", fix)
        if hub.token is None:
            yield _check("token", "unknown", f"none: the rights of {secret} cannot be asked", fix)
        else:
            said = f"{hub.endpoint} does not accept it: mistyped, expired or revoked"
            yield _check("token", "missing", said, NEW_TOKEN)
        return
    yield _organisation_check(who, owner)
    wanted = (
        {"HF_JOBS_TOKEN": budget.namespace, "HF_RESULTS_TOKEN": budget.results} if budget else {}
    )
    place = wanted.get(secret, owner)
    yield _rights_check(who, secret, place, finer=hub.endpoint == REAL)


def _organisation_check(who: Mapping[str, Any], owner: str) -> SetupCheck:
    check = partial(_check, "organisation")
    if who["name"] == owner:
        return check(
            "note", f"{owner} is an account and not an organisation: one person holds it all"
        )
    roles = {org["name"]: org.get("roleInOrg") for org in who.get("orgs", ())}
    if owner not in roles:
        fix = f"Make it at {REAL}/organizations/new, or have one of its admins invite you."
        return check("missing", f"{who['name']} is not a member of {owner}", fix)
    role = roles[owner] or "unknown"
    if role not in WRITING:
        fix = f"{REAL}/organizations/{owner}/settings/members: contributor or write"
        return check("missing", f"{who['name']} has the role {role} in {owner}", fix)
    return check("ok", f"{owner}: {who['name']} has the role {role}")


def _rights_check(who: Mapping[str, Any], secret: str, place: str, *, finer: bool) -> SetupCheck:
    """Compare the rights of a token with those of its purpose, on an owner or one repository.

    finer  whether the hub has tokens with finer rights than the roles read and write
    """
    purpose = PURPOSES[secret]
    token = (who.get("auth") or {}).get("accessToken") or {}
    role = token.get("role")
    exact = f"{', '.join(sorted(purpose.permissions)) or 'nothing'} on {place}"
    exact += ", and reading gated repositories" if purpose.gated else ""

    def check(state: SetupState, said: str) -> SetupCheck:
        fix = "" if state == "ok" else f"{NEW_TOKEN}: {exact}"
        return _check("token", state, f"as {secret}: {said}", fix)

    match role:
        case "fineGrained":
            return check(*_fine_grained(token.get("fineGrained") or {}, purpose, place, exact))
        case "read" if purpose.permissions:
            return check("missing", "it may only read")
        case "read":
            return check("ok", "it reads, and writes nothing")
        case "write" | "admin" if finer:
            return check(
                "note", f"the role {role} may all that {who['name']} may; it needs {exact}"
            )
        case "write" | "admin":
            return check("ok", f"the role {role}")
        case _:
            return check("unknown", f"a token of the kind {role}")


def _fine_grained(
    grained: Mapping[str, Any], purpose: TokenPurpose, place: str, exact: str
) -> tuple[SetupState, str]:
    """State and words for the rights of a fine-grained token, as whoami lists them."""
    held = {
        (str(scope["entity"].get("name", "?")), permission)
        for scope in grained.get("scoped", ())
        for permission in scope["permissions"]
    }
    needed = {
        (name, right) for name in (place, place.partition("/")[0]) for right in purpose.permissions
    }
    lacking = purpose.permissions - {right for _, right in held & needed}
    if purpose.gated and not grained.get("canReadGatedRepos"):
        lacking |= {"reading gated repositories"}
    beyond = {f"{right} on {name}" for name, right in held - needed if right.endswith(".write")}
    beyond |= {right for right in grained.get("global", ()) if right.endswith(".write")}
    said = [f"it lacks {', '.join(sorted(lacking))} on {place}"] if lacking else []
    said += [f"more than it needs: {', '.join(sorted(beyond))}"] if beyond else []
    state: SetupState = "missing" if lacking else "note" if beyond else "ok"
    return state, "; ".join(said) or exact


def _publisher_check(hub: Hub) -> SetupCheck:
    page = f"{hub.page(INDEX_REPO, 'dataset')}/settings"
    said = "whether the index has one is shown on its page alone"
    claims = "GitHub Actions, repository, workflow publish.yml, environment hub"
    return _check("Trusted Publisher", "unknown", said, f"{page}: {claims}")
