"""The hub: its address, whether it answers, the token, and the hub on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from ggez_hub.errors import GgezError
from ggez_hub.http_address import is_http
from ggez_hub.installation import CheckResult

if TYPE_CHECKING:
    pass


HUB_TIMEOUT = 5.0  # seconds


EMBEDDED = {
    "absent": "never started; --hub embedded makes it",
    "idle": "does not run; --hub embedded starts it",
    "stale": "does not run: one that was killed left its address {}, which the next start removes",
    "busy": "somebody starts or ends it at this moment",
    "serving": "runs at {}",
}


def hubs(*, ask: bool, hub: str = "hf") -> Iterator[CheckResult]:
    """Address, whether `hub` answers, if it is to be asked, and the token; then the embedded hub.

    The token belongs to HF_ENDPOINT: the hub at another address is never sent it. No secret is in what
    is found.
    """
    own = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    endpoint = own if hub == "hf" else hub
    if hub == "embedded":
        pass
    elif is_http(endpoint):
        parts = urlsplit(endpoint)
        # The rest of an address may hold a password.
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        yield CheckResult("hub", "address", "ok", shown)
        endpoint = endpoint.rstrip("/")
        answers = _answers(endpoint, ask)
        yield answers
        if endpoint == own.rstrip("/"):
            yield _token(endpoint if answers.state == "ok" else None)
    else:
        found = f"{'HF_ENDPOINT' if hub == 'hf' else '--hub'} is not an http address"
        yield CheckResult("hub", "address", "broken", found, "Unset it, or correct it.")
    yield _embedded()


def _token(endpoint: str | None) -> CheckResult:
    """The user's token, which the hub at `endpoint` is asked about; None asks nobody."""
    from huggingface_hub import constants

    result = partial(CheckResult, "hub", "token")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if token := os.environ.get(name, "").strip():
            return result(*_token_state(endpoint, token, name))
    place = Path(constants.HF_TOKEN_PATH)
    try:
        token = place.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        token = ""
    if token:
        return result(*_token_state(endpoint, token, str(place)))
    found = "none: models that are gated or private, and publishing, need one"
    return result("note", found, "hf auth login, or set HF_TOKEN")


def _token_state(
    endpoint: str | None, token: str, place: str
) -> tuple[Literal["ok", "note", "broken"], str, str]:
    """State, what is found and the way out for the token in `place`."""
    if endpoint is None:
        return "ok", f"there is one, in {place}; whether it is valid was not asked", ""
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        name = HfApi(endpoint=endpoint, token=token).whoami()["name"]
    except HfHubHTTPError as problem:
        status = problem.response.status_code
        if status not in {401, 403}:
            return "note", f"there is one, in {place}; asked about it, the hub said {status}", ""
        return (
            "broken",
            f"the hub refuses the one in {place} ({status})",
            "Set another one, or run `hf auth login`; remove it to go on without.",
        )
    except (httpx2.HTTPError, ValueError, KeyError, TypeError, GgezError):
        return "note", f"there is one, in {place}; asked about it, the hub gave no answer", ""
    return "ok", f"of {name}, in {place}", ""


def _answers(endpoint: str, ask: bool) -> CheckResult:
    result = partial(CheckResult, "hub", "answers")
    if os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in {"1", "on", "yes", "true"}:
        return result("note", "not asked: HF_HUB_OFFLINE is set", "Unset HF_HUB_OFFLINE.")
    if not ask:
        return result("note", "not asked: --offline")
    import httpx2
    from huggingface_hub import get_session

    from ggez_hub.hub.guard import guard_client

    guard_client()
    try:
        # Without the token: who answers is not known yet.
        answer = get_session().get(
            f"{endpoint}/api/models", params={"limit": 1}, timeout=HUB_TIMEOUT
        )
        if answer.is_success and isinstance(answer.json(), list):
            return result("ok", "it answers")
        said = f"HTTP {answer.status_code}, which is not what a hub answers"
    except (httpx2.HTTPError, httpx2.InvalidURL, GgezError, ValueError) as problem:
        reason = str(problem).strip().partition("\n")[0] or type(problem).__name__
        said = f"no answer: {reason}"
    fix = "Check the network, a proxy's variables and HF_ENDPOINT; --hub embedded needs none."
    return result("broken", said, fix)


def _embedded() -> CheckResult:
    from ggez_hub.demo.hub import store_folder
    from ggez_hub.embedded.sessions import server_status

    result, root = partial(CheckResult, "hub", "embedded"), store_folder()
    try:
        found = server_status(root)
    except OSError as problem:
        return result("broken", f"{root}: {problem.strerror or problem}", f"rm -r {root}")
    if found.state == "silent":
        said = f"a server runs and does not answer at {found.endpoint}"
        return result("broken", said, f"End its process: {root / 'server.json'} has the number.")
    return result("ok", EMBEDDED[found.state].format(found.endpoint))
