"""The newest signed index that was seen of each hub, kept with the user's data and not in a cache.

Nothing heavy is imported here: a pull that is answered by its note asks too.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ggez_hub.atomic_files import write_file
from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub
from ggez_hub.registry.constants import INDEX_REPO, VERIFYING_KEY


@dataclass(frozen=True)
class SeenIndex:
    """A signed index: its number, when it was signed, when it expires, and its commit."""

    number: int
    signed: datetime
    expires: datetime
    revision: str

    def __str__(self) -> str:
        return f"number {self.number} of {self.signed:%Y-%m-%d}"

    @property
    def is_expired(self) -> bool:
        return self.expires < datetime.now(UTC)


def memory_file() -> Path:
    """Where it is kept."""
    import platformdirs

    return Path(platformdirs.user_data_dir("ggez-hub")) / "indexes.json"


def name_of(hub: Hub) -> str:
    """A hub's index in words; it is remembered by them.

    An embedded hub has another address each time: its key is it. Made anew, it is another hub.
    """
    if hub.folder is None:
        return f"{INDEX_REPO} of {hub.endpoint}"
    key = hub.folder / VERIFYING_KEY
    name = hashlib.sha256(key.read_bytes()).hexdigest()[:16] if key.is_file() else "none yet"
    return f"{INDEX_REPO} of the embedded hub with the key {name}"


def seen_index(hub: Hub) -> SeenIndex | None:
    """The newest index of a hub that was seen here; raises GgezError."""
    found = _read().get(name_of(hub))
    try:
        if found is None:
            return None
        dates = {key: datetime.fromisoformat(found[key]) for key in ("signed", "expires")}
        return SeenIndex(number=int(found["number"]), revision=str(found["revision"]), **dates)
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(error) from error


def remember(hub: Hub, now: SeenIndex) -> None:
    """Keep an index, unless a newer one is kept."""
    from filelock import FileLock

    path = memory_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        before = seen_index(hub)
        if before is None or (now.number >= before.number and now != before):
            text = json.dumps(_read() | {name_of(hub): asdict(now)}, default=str, indent=1)
            write_file(path, text + "\n")


def _read() -> dict[str, Any]:
    try:
        found: dict[str, Any] = dict(json.loads(memory_file().read_bytes()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable(error) from error
    return found


def _unreadable(error: Exception) -> GgezError:
    # Without it a hub could be taken back unseen.
    return GgezError(
        f"{memory_file()}, which remembers the newest indexes, cannot be read: {error}",
        "Remove it to begin anew: an index that was taken back since is not noticed then.",
    )
