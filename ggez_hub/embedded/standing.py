"""How it stands with the server of a store folder, asked without joining it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from filelock import Timeout

from ggez_hub.embedded.sessions import SessionFiles, is_listening

_WAIT: Final = 2.0  # seconds


@dataclass(frozen=True)
class Standing:
    """The server of a folder.

    absent    there has been no session in the folder
    idle      no server runs
    stale     none runs, and one that was killed has left its address: the next session removes it
    busy      somebody is joining, starting or ending it at this moment
    serving   one runs at `endpoint`
    silent    one runs, and does not answer at `endpoint`
    """

    state: Literal["absent", "idle", "stale", "busy", "serving", "silent"]
    endpoint: str | None = None


def standing(root: Path) -> Standing:
    """How it stands with the folder `root`, which is not made; raises OSError."""
    if not (root / "clients").is_dir():
        return Standing("absent")
    files = SessionFiles(root)
    try:
        # A server that starts at this moment must not find its lock taken by a question.
        with files.joining(timeout=_WAIT):
            serving, endpoint = files.is_serving(), files.published()
    except Timeout:
        return Standing("busy")
    if not serving:
        return Standing("idle" if endpoint is None else "stale", endpoint)
    if endpoint is None:
        return Standing("busy")
    return Standing("serving" if is_listening(endpoint) else "silent", endpoint)
