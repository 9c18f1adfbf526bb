"""The hub that is named by the environment, the token for it, and the hub on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from ggez_hub.installation import CheckResult
from ggez_hub.urls import is_http

TIMEOUT = 5.0  # seconds
TRUE = {"1", "on", "yes", "true"}


def hubs(*, ask: bool) -> Iterator[CheckResult]:
    """Endpoint, token and, if it is to be asked, whether the hub answers; then the embedded hub.

    No secret is in what is found.
    """
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if not is_http(endpoint):
        yield CheckResult(
            "hub", "address", "broken", "HF_ENDPOINT is no http address", "Unset it, or mend it."
        )
    else:
        yield CheckResult("hub", "address", "ok", _without_secrets(endpoint))
        yield _token()
        yield _answers(endpoint.rstrip("/"), ask)
    yield _embedded()


def _without_secrets(endpoint: str) -> str:
    """Scheme, host, port and path: the rest of an address may hold a password."""
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _token() -> CheckResult:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(name, "").strip():
            return CheckResult("hub", "token", "ok", f"there is one, in {name}")
    from huggingface_hub import constants

    place = Path(constants.HF_TOKEN_PATH)
    try:
        there = bool(place.read_text(encoding="utf-8").strip())
    except (OSError, ValueError):
        there = False
    if there:
        return CheckResult("hub", "token", "ok", f"there is one, in {place}")
    return CheckResult(
        "hub", "token", "note", "none: models that are gated or private, and publishing, need one",
        "hf auth login, or set HF_TOKEN",
    )  # fmt: skip


def _answers(endpoint: str, ask: bool) -> CheckResult:
    if os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in TRUE:
        return CheckResult(
            "hub", "answers", "note", "not asked: HF_HUB_OFFLINE is set", "Unset HF_HUB_OFFLINE."
        )
    if not ask:
        return CheckResult("hub", "answers", "note", "not asked: --offline")
    import httpx2
    from huggingface_hub import get_session

    from ggez_hub.errors import GgezError
    from ggez_hub.hub.guard import guard_client

    guard_client()
    way_out = "Check the network, a proxy's variables and HF_ENDPOINT; --hub embedded needs none."
    try:
        # Without the token: who answers is not known yet.
        answer = get_session().get(f"{endpoint}/api/models", params={"limit": 1}, timeout=TIMEOUT)
        listed = answer.is_success and isinstance(answer.json(), list)
    except (httpx2.HTTPError, httpx2.InvalidURL, GgezError, ValueError) as problem:
        said = str(problem).strip().partition("\n")[0] or type(problem).__name__
        return CheckResult("hub", "answers", "broken", f"no answer: {said}", way_out)
    if listed:
        return CheckResult("hub", "answers", "ok", "it answers")
    said = f"HTTP {answer.status_code}, which is not what a hub answers"
    return CheckResult("hub", "answers", "broken", said, way_out)


def _embedded() -> CheckResult:
    from ggez_hub.demo.hub import store_folder
    from ggez_hub.embedded.sessions import server_status

    root = store_folder()
    try:
        found = server_status(root)
    except OSError as problem:
        said = f"{root}: {problem.strerror or problem}"
        return CheckResult("hub", "embedded", "broken", said, f"rm -r {root}")
    if found.state == "silent":
        return CheckResult(
            "hub", "embedded", "broken", f"a server runs and does not answer at {found.endpoint}",
            f"End its process: {root / 'server.json'} has the number.",
        )  # fmt: skip
    return CheckResult("hub", "embedded", "ok", EMBEDDED[found.state].format(found.endpoint))


EMBEDDED = {
    "absent": "never started; --hub embedded makes it",
    "idle": "does not run; --hub embedded starts it",
    "stale": "does not run: one that was killed left its address {}, which the next start removes",
    "busy": "somebody starts or ends it at this moment",
    "serving": "runs at {}",
}
