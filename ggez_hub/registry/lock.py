"""`ggez.lock`: the resolution that a folder was made from, and the digests of what came out."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from ggez_hub import __version__
from ggez_hub.cards.schema import FileRecord
from ggez_hub.cards.values import FilePath, RepoId, Sha256
from ggez_hub.contained_files import files_below
from ggez_hub.digests import digest_json, sha256_file, sha256_files
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.merging.methods import plugins_of
from ggez_hub.plugins import PluginRecord
from ggez_hub.registry.constants import LOCK_NAME
from ggez_hub.registry.repositories import Gone, reach
from ggez_hub.registry.resolution import (
    ENGINE,
    PinnedRepo,
    Resolution,
    ResolvedParts,
    decisive_beta,
    decisive_plugins,
)
from ggez_hub.text_files import read_text
from ggez_hub.validation_errors import listed

OTHER_LOCK = "ggez-{}.lock"
# Betas by part name every tensor.
MAX_LOCK_BYTES = 64_000_000

GONE = {
    "repo": "the repository is gone or private",
    "revision": "the commit is gone (the branch was rewritten)",
}


class LockFile(FrozenModel, strict=False):
    """A lock file of any kind. `outputs` are the files below the folder that holds it."""

    schema_version: Literal[1] = 1
    generator: str = f"ggez-hub {__version__}"
    outputs: dict[FilePath, FileRecord]

    def to_text(self) -> str:
        """Canonical JSON: sorted keys, so that equal locks have equal bytes."""
        data = self.model_dump(mode="json")
        return json.dumps(data, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


class Lock(LockFile):
    """The lock of a pull."""

    resolution: Resolution


def read_lock(path: Path) -> Lock:
    """Read a lock file; raises GgezError."""
    try:
        text = read_text(path, MAX_LOCK_BYTES)
    except FileNotFoundError as error:
        raise GgezError(
            f"there is no lock file {path}", "Pull once without --locked, or name one with --lock."
        ) from error
    except (OSError, ValueError) as error:
        raise GgezError(f"{path} is not a lock file: {error}") from error
    return parse_lock(text, str(path))


def lock_place(folder: Path, family: str | None) -> Path:
    """Where the lock of a family's model in a pulled folder is, or is to be.

    It is ggez.lock, or ggez-<family>.lock where ggez.lock is of another family than the one named. Raises GgezError for a
    ggez.lock that cannot be read.
    """
    first = folder / LOCK_NAME
    if family and first.is_file() and read_lock(first).resolution.family != family:
        return folder / OTHER_LOCK.format(family)
    return first


def locks_in(place: Path) -> tuple[Path, ...]:
    """The lock files of a pulled folder, or the one of a family's model in it (`thai/embedding`)."""
    if not place.is_dir():
        return ()
    found = [place / LOCK_NAME, *sorted(place.glob(OTHER_LOCK.format("*")))]
    here = tuple(file for file in found if file.is_file())
    place = place if place.name else place.absolute()
    if here or not (place.parent / LOCK_NAME).is_file():
        return here
    with suppress(GgezError):
        lock = lock_place(place.parent, place.name)
        if lock.is_file() and read_lock(lock).resolution.family == place.name:
            return (lock,)
    return ()


def one_lock_in(place: Path) -> Path | None:
    """The lock file of `locks_in`; raises UsageProblem where a folder holds several families."""
    locks = locks_in(place)
    if len(locks) < 2:
        return locks[0] if locks else None
    families = sorted(read_lock(lock).resolution.family for lock in locks)
    raise UsageProblem(
        f"{place} holds models of {len(families)} families: {', '.join(families)}",
        f"Name one: {place / families[0]}",
    )


def parse_lock(text: str, path: str) -> Lock:
    """The lock that a text is; `path` says where it is from. Raises GgezError."""
    try:
        lock = Lock.model_validate_json(text)
    except ValidationError as error:
        raise GgezError(f"{path} is not a lock file:\n{listed(error)}") from error
    if lock.resolution.engine != ENGINE:
        raise GgezError(
            f"{path} was made by the engine {lock.resolution.engine}, this is {ENGINE}",
            f"Use {lock.generator}, or pull anew without --locked.",
        )
    return lock


def require_plugins(resolution: Resolution) -> None:
    """Raise GgezError unless the plug-ins that a resolution was made with are what is installed."""
    installed = plugins_of(resolution.family, resolution.method)
    if installed != resolution.plugins:
        made, found = (
            ", ".join(map(str, each)) or "none" for each in (resolution.plugins, installed)
        )
        raise GgezError(
            f"the lock was made with the plug-ins {made}; those that are used here are {found}",
            "Install the same versions, or pull anew without --locked.",
        )


def record_outputs(folder: Path) -> dict[str, FileRecord]:
    """Size and sha256 of every file below `folder`, except the lock itself."""
    names = [name for name, path in files_below(folder).items() if path.name != LOCK_NAME]
    return {
        name: FileRecord(size=(folder / name).stat().st_size, sha256=sha256)
        for name, sha256 in sha256_files(folder, names).items()
    }


def differences(lock: LockFile, folder: Path, unread: Collection[str] = ()) -> list[str]:
    """How the files below `folder` differ from the lock: every byte is read.

    Of the files named in `unread` the size alone is compared.
    """
    found = []
    for name, record in lock.outputs.items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif path.stat().st_size != record.size:
            found.append(f"{name} has {path.stat().st_size:,} bytes, not {record.size:,}")
        elif name not in unread and sha256_file(path) != record.sha256:
            found.append(f"{name} has another sha256 than {record.sha256[:16]}…")
    return found


def unstated(provenance: Iterable[str], card: str) -> list[str]:
    """The lines of a lock's provenance that the card beside it lacks: one of the two was changed."""
    stated = set(card.splitlines())
    return [
        f"the lock has '{line.removeprefix('- ')}', the card of the result does not"
        for line in provenance
        if line not in stated
    ]


def check_upstream(lock: Lock, hub: Hub) -> None:
    """Raise Differs unless the hub still has every input as the lock pins it."""
    found: list[str] = []
    for pinned in lock.resolution.inputs:
        where = f"{pinned.repo}@{pinned.revision[:12]}"
        try:
            at = reach(hub, pinned.repo, pinned.revision)
        except Gone as problem:
            found.append(f"{where}: {GONE[problem.key]}")
            continue
        found += [f"{where}: {problem}" for problem in _changed(pinned, at)]
        # A version that was published is not to change.
        if pinned.tag is not None:
            now = hub.tags(pinned.repo).get(pinned.tag)
            if now != pinned.revision:
                what = f"names the commit {now[:12]} now" if now else "is gone"
                found.append(f"{where}: the tag {pinned.tag} {what}")
    if found:
        raise GgezError(
            "the hub no longer has what the lock pins:\n  " + "\n  ".join(found),
            "Pull anew without --locked to take what is there now.",
        )


def _changed(pinned: PinnedRepo, at: RepoAtCommit) -> Iterator[str]:
    listed = {file.path: file for file in at.files}
    for file in pinned.files:
        now = listed.get(file.path)
        if now is None:
            yield f"{file.path} is gone"
            continue
        digests = (now.sha256, file.sha256) if now.sha256 and file.sha256 else (now.oid, file.oid)
        if now.size != file.size or digests[0] != digests[1]:
            yield (
                f"{file.path} has changed: {digests[0][:16]}… of {now.size:,} bytes, pinned "
                f"{digests[1][:16]}… of {file.size:,}"
            )


class MergedInput(FrozenModel, strict=False):
    """What was read of an input. `name` is its repository or its folder's own name."""

    name: str
    repo: RepoId | None = None
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    license: str
    files: dict[FilePath, Sha256]


class MergedAdapter(MergedInput):
    """An adapter with its form and its weight, and the base that its own files name."""

    form: str
    beta: float = Field(ge=0)
    parts: ResolvedParts | None = None
    trained_on: str | None = None


class MergeRecord(FrozenModel, strict=False):
    """All that decides a merge of folders. The same merge gives the same bytes."""

    family: str
    method: str
    variant: str | None
    out_dtype: str | None = None
    engine: str = ENGINE
    base: MergedInput
    adapters: tuple[MergedAdapter, ...]
    plugins: tuple[PluginRecord, ...] = ()

    @property
    def digest(self) -> str:
        decisive: dict[str, Any] = {
            "base": self.base.files,
            "adapters": [
                [adapter.files, decisive_beta(adapter.beta, adapter.parts)]
                for adapter in self.adapters
            ],
            "method": self.method,
            "engine": self.engine,
            **({"out_dtype": self.out_dtype} if self.out_dtype else {}),
            **decisive_plugins(self.plugins),
        }
        return digest_json(decisive)


class MergeLock(LockFile):
    """A lock file beside merged weights."""

    merge: MergeRecord


def parse_any_lock(text: str, where: str) -> Lock | MergeLock:
    """The lock of a pull or of a merge of folders, by whatever engine; raises GgezError."""
    try:
        document = json.loads(text)
        is_merge = isinstance(document, dict) and "merge" in document
        return (MergeLock if is_merge else Lock).model_validate(document)
    except ValidationError as error:
        raise GgezError(f"{where} is not a lock file:\n{listed(error)}") from error
    except (ValueError, RecursionError) as error:
        raise GgezError(f"{where} is not a lock file: {error}") from error


def read_any_lock(path: Path) -> Lock | MergeLock:
    """The lock of a pull or of a merge of folders; raises GgezError."""
    try:
        document = json.loads(read_text(path, MAX_LOCK_BYTES))
        if isinstance(document, dict) and "merge" in document:
            return MergeLock.model_validate(document)
    except (OSError, ValueError, RecursionError):
        # Whatever is wrong with it, the lock of a pull is expected.
        pass
    return read_lock(path)
