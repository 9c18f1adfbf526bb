"""A check of the installation: libraries, devices, disks, the hub, and how to fix what is broken.

Nothing heavy is imported: torch is asked for its devices in a process of its own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from ggez_hub.errors import GgezError
from ggez_hub.hardware import device_bytes, free_disk_bytes
from ggez_hub.http_address import is_http

if TYPE_CHECKING:
    from packaging.requirements import Requirement

NAME = "ggez-hub"
# What each extra gives.
EXTRAS = {
    "merge": "merged models",
    "eval": "evaluation",
    "data": "the quality filter",
    "train": "training",
    "trackio": "a dashboard of losses",
    "scale": "tasks on a Ray cluster",
    "ci": "the registry's workflows",
}
SEVERAL = 6
TORCH_TIMEOUT = 120.0  # seconds: the first import of torch reads gigabytes
HUB_TIMEOUT = 5.0  # seconds
# A small model and its merge; `pull` prints beforehand what each takes.
LITTLE_DISK = 5_000_000_000
# A broken library may end the process that imports it.
ASK_TORCH = """
import json, torch
gpus = [
    (p.name, p.total_memory)
    for p in map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
]
print(json.dumps({"version": torch.__version__, "gpus": gpus, "mps": torch.backends.mps.is_available()}))
"""
EMBEDDED = {
    "absent": "never started; --hub embedded makes it",
    "idle": "does not run; --hub embedded starts it",
    "stale": "does not run: one that was killed left its address {}, which the next start removes",
    "busy": "somebody starts or ends it at this moment",
    "serving": "runs at {}",
}


@dataclass(frozen=True)
class CheckResult:
    """One thing that was checked.

    state   ok; note: worth knowing, and nothing of the core needs it; broken: the core needs it
    found   what is there
    fix     how to fix it, where it can be fixed
    """

    topic: str
    name: str
    state: Literal["ok", "note", "broken"]
    found: str
    fix: str = ""


def packages() -> Iterator[CheckResult]:
    """Python, the core, each extra, and what differs from the versions that were tested."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    result = partial(CheckResult, "packages")
    try:
        package = metadata.distribution(NAME)
    except metadata.PackageNotFoundError:
        found = "runs from a folder: its requirements are unknown"
        yield result(NAME, "note", found, f"pip install {NAME}")
        return
    wanted, here = package.metadata["Requires-Python"] or "", platform.python_version()
    if SpecifierSet(wanted).contains(here, prereleases=True):
        yield result("python", "ok", f"{here} ({sys.executable})")
    else:
        yield result("python", "broken", f"{here}, not {wanted}", "Install another.")
    required = _required(package, "")
    if off := _mismatches(required):
        yield result("core", "broken", off, f"pip install --upgrade {NAME}")
    else:
        yield result("core", "ok", f"{NAME} {package.version}, {len(required)} libraries")
    for extra, gives in EXTRAS.items():
        required = _required(package, extra)
        off = _mismatches(required)
        state: Literal["note", "ok"] = "note" if off else "ok"
        found = f"{gives}: {off or f'{len(required)} libraries'}"
        fix = f"pip install '{NAME}[{extra}]'" if off else ""
        yield CheckResult("extras", extra, state, found, fix)
    # Constraints stand beside the package in a checkout alone.
    constraints = Path(__file__).parents[1] / "constraints.txt"
    if constraints.is_file():
        lines = constraints.read_text(encoding="utf-8").splitlines()
        pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
        # The extras report what is not installed.
        if others := _mismatches(pinned, missing=False):
            found = f"others than were tested: {others}"
            yield result("versions", "note", found, f"pip install -c {constraints.name} {NAME}")
        else:
            yield result("versions", "ok", "those that the tests were last seen to pass")


def _required(package: metadata.Distribution, extra: str) -> list[Requirement]:
    """What the core requires, or what an extra requires beside it, on this machine."""
    from packaging.requirements import Requirement

    every = [Requirement(line) for line in package.requires or ()]
    return [
        found
        for found in every
        if (found.marker is None) == (not extra)
        and (found.marker is None or found.marker.evaluate({"extra": extra}))
    ]


def _mismatches(required: list[Requirement], *, missing: bool = True) -> str:
    """Libraries that are missing or of another version, at most SEVERAL of them; empty if none."""
    found = []
    for library in required:
        try:
            here = metadata.version(library.name)
        except metadata.PackageNotFoundError:
            found += [f"no {library.name}"] if missing else []
            continue
        if not library.specifier.contains(here, prereleases=True):
            found.append(f"{library.name} is {here}, not {library.specifier}")
    more = f", and {len(found) - SEVERAL} more" if len(found) > SEVERAL else ""
    return ", ".join(found[:SEVERAL]) + more


def devices() -> Iterator[CheckResult]:
    """What torch can compute on; nothing where it is not installed."""
    if importlib.util.find_spec("torch") is None:
        return
    result = partial(CheckResult, "machine", "torch")
    command = [sys.executable, "-P", "-c", ASK_TORCH]
    errors = ""
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=TORCH_TIMEOUT
        )
        errors = ended.stderr
        found = json.loads(ended.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, OSError, ValueError, IndexError) as problem:
        said = errors if isinstance(problem, ValueError | IndexError) else str(problem)
        why = (said.strip().splitlines() or ["its process ended without a message"])[-1]
        yield result("note", why, "pip install --force-reinstall torch")
        return
    names = [f"{name} ({size / 1e9:.0f} GB)" for name, size in found["gpus"]]
    names += ["MPS"] if found["mps"] else []
    said = f"{found['version']} on {', '.join(names) or 'the CPU'}"
    if names or not device_bytes():
        yield result("ok", said)
    else:
        fix = "Install a torch for CUDA: https://pytorch.org/get-started/locally"
        yield result("note", f"{said}, though there is an NVIDIA device", fix)


def disks() -> Iterator[CheckResult]:
    """The caches: where they are, whether they can be written, and what is free there."""
    import platformdirs

    # By the environment: the library's constants cannot be imported with every HF_ENDPOINT.
    home = os.environ.get("HF_HOME")
    if not home:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        home = str(Path(cache) / "huggingface")
    models = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()
    yield _disk("cache of models", models, "Set HF_HOME to another folder.")
    own = platformdirs.user_cache_path(NAME)
    yield _disk("cache of ggez-hub", own, "Set XDG_CACHE_HOME to another folder.")


def _disk(name: str, folder: Path, other: str) -> CheckResult:
    result = partial(CheckResult, "machine", name)
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        return result("broken", f"{folder}: {there} cannot be written", other)
    free = free_disk_bytes(folder)
    said = f"{folder}: {free / 1e9:.1f} GB free"
    return (
        result("note", said, f"Free some space. {other}")
        if free < LITTLE_DISK
        else result("ok", said)
    )


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
