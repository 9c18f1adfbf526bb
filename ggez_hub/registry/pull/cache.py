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

FORMAT = 2
LOCK_SUFFIX = Path(LOCK_NAME).suffix


@dataclass(frozen=True)
class PullKey:
    """All that decides the answer of a pull, but for the content of the hub.

    target   the folder as it was typed: the answer names it
    alpha    of the region, as the releases on this machine have it
    trust    what has to be signed, and by whom
    """

    request: Request
    endpoint: str
    target: str
    alpha: float
    trust: str = ""
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


def record_files(folder: Path, outputs: Collection[str]) -> None:
    """Note the files `outputs` of a pulled folder, whose bytes were just compared with their lock.

    Those of other families stay as they were noted. What was answered before still holds for the
    same locks.
    """
    before, found = _read(folder), dict(_stats(folder))
    locks = {
        name: _digest(folder / name)
        for name in found
        if Path(name).match(f"*{LOCK_SUFFIX}") and "/" not in name
    }
    note = before if before.get("locks") == locks else {"locks": locks}
    noted = before.get("files", {})
    files = {
        name: stat
        for name, stat in found.items()
        if name in outputs or name in locks or noted.get(name) == stat
    }
    _write(folder, note | {"files": files})
    _forget_the_gone()


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


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
