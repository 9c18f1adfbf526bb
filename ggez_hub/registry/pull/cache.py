"""Notes in the user's cache about pulled folders, so that the same pull again is quick.

A note has size and modification time of every file of a folder, from when its bytes were last
compared with the lock, and the answer that the pull gave. A folder that is copied to another machine
has no note there and is read once. Nothing heavy is imported here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ggez_hub import __version__
from ggez_hub.atomic_files import write_file
from ggez_hub.registry.constants import LOCK_NAME
from ggez_hub.registry.request import Request

FORMAT = 1


@dataclass(frozen=True)
class PullKey:
    """All that decides the answer of a pull, but for the content of the hub.

    target   the folder as it was typed: the answer names it
    alpha    of the region, as the releases on this machine have it
    """

    request: Request
    endpoint: str
    target: str
    alpha: float
    version: str = __version__

    def as_json(self) -> dict[str, Any]:
        """The question as a note holds it: JSON knows lists only."""
        text = json.dumps(asdict(self), default=lambda value: value.model_dump(mode="json"))
        plain: dict[str, Any] = json.loads(text)
        return plain


@dataclass(frozen=True)
class PullAnswer:
    """What a pull answered: the commit of the index it rests on, its text and its JSON."""

    index: str
    text: str | None
    document: dict[str, Any] | None


def record_files(folder: Path) -> None:
    """Note the files of a folder, whose bytes were just compared with its lock.

    What was answered before still holds for the same lock.
    """
    before = _read(folder)
    lock = hashlib.sha256((folder / LOCK_NAME).read_bytes()).hexdigest()
    note = before if before.get("lock") == lock else {"lock": lock}
    _write(folder, note | {"files": dict(_stats(folder))})
    _forget_the_gone()


def unchanged_files(folder: Path) -> Collection[str]:
    """The files below `folder` whose size and time are those that were noted."""
    noted = _read(folder).get("files", {})
    return {name for name, stat in _stats(folder) if noted.get(name) == stat}


def record_answer(folder: Path, question: PullKey, answer: PullAnswer) -> None:
    """Add to the note of a folder what was asked and answered."""
    note = _read(folder)
    if "files" in note:
        answered = {"question": question.as_json(), "answer": asdict(answer)}
        _write(folder, note | answered)


def recorded_answer(folder: Path, question: PullKey) -> PullAnswer | None:
    """The answer to the same question, if nothing in the folder has been touched since."""
    note = _read(folder)
    if note.get("question") != question.as_json():
        return None
    if note.get("files") != dict(_stats(folder)):
        return None
    with suppress(KeyError, TypeError):
        return PullAnswer(**note["answer"])
    return None


def _stats(folder: Path) -> Iterator[tuple[str, list[int]]]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            seen = path.lstat()
            yield path.relative_to(folder).as_posix(), [seen.st_size, seen.st_mtime_ns]


def _place(folder: Path) -> Path:
    import platformdirs

    name = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:32]
    return platformdirs.user_cache_path("ggez-hub") / "pulls" / f"{name}.json"


def _read(folder: Path) -> dict[str, Any]:
    try:
        note = json.loads(_place(folder).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) and note.get("format") == FORMAT else {}


def _write(folder: Path, note: dict[str, Any]) -> None:
    place = _place(folder)
    text = json.dumps(note | {"format": FORMAT, "folder": str(folder.absolute())})
    # A note only saves time: a cache that cannot be written is not a failure.
    with suppress(OSError):
        write_file(place, text, durable=False)


def _forget_the_gone() -> None:
    for place in _place(Path()).parent.glob("*.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            if not Path(json.loads(place.read_bytes())["folder"]).exists():
                place.unlink()
