"""Merged models on a hub: pushed with their lock, and taken instead of merging again.

A merged model has the tag `ggez-merge:<first 16 digits of the merge digest>` and the `ggez.lock` of
the pull that made it. Whether it was made from the inputs that it names can only be known by
merging, so it is taken from the owner of the index, or organisations that `--trust` names. All else
is checked: the lock is of the very resolution, and every file has the sha256 of the lock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.errors import HfHubHTTPError

from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.hub import ChangedFile, Hub, HubFile, NotInCache
from ggez_hub.merging.side_files import copy_file
from ggez_hub.registry.constants import CARD_NAME, INDEX_REPO, LOCK_NAME
from ggez_hub.registry.lock import Lock, parse_lock
from ggez_hub.registry.resolution import PinnedRepo, Resolution
from ggez_hub.registry.trust.checks import signer_of
from ggez_hub.safetensors_header import read_header

TAG = "ggez-merge"
# The words of --trust that name no organisation.
NOBODY = frozenset({"curated", "any"})


@dataclass(frozen=True)
class PublishedMerge:
    """A merged model on a hub that a lock describes: the files below <family>/ of the pull."""

    repo: str
    revision: str
    lock: Lock
    files: tuple[HubFile, ...]

    @property
    def nbytes(self) -> int:
        return sum(file.size for file in self.files)


def merge_tag(resolution: Resolution) -> str:
    """The tag by which the merged model of a resolution is found."""
    return f"{TAG}:{resolution.merge_digest[:16]}"


def owners_trusted(trust: str) -> frozenset[str]:
    """Whose merged models are taken: the index's owner's, and those of organisations in `trust`."""
    return frozenset({INDEX_REPO.partition("/")[0], *trust.split(",")}) - NOBODY


def find_published(
    resolution: Resolution, hub: Hub, owners: Collection[str], expected: Lock | None = None
) -> PublishedMerge | None:
    """The merged model of this very resolution by one of `owners`, or None.

    With `expected`, the user's own lock, it is one that has the files which that lock records.
    """

    try:
        tagged = hub.discover(["ggez", merge_tag(resolution)])
    except (HfHubHTTPError, NotInCache):
        # A mirror may serve files and no search: what can be merged here needs none.
        return None
    for repo, revision in tagged:
        if repo.partition("/")[0] in owners:
            try:
                found = _described(resolution, hub, repo, revision)
            except (GgezError, HfHubHTTPError):
                continue  # what cannot be read is not taken; merging needs none
            wanted = expected.outputs if expected else {}
            if found is not None and all(
                found.lock.outputs.get(name) == record
                for name, record in wanted.items()
                if name != f"{resolution.family}/{CARD_NAME}"
            ):
                return found
    return None


def _described(resolution: Resolution, hub: Hub, repo: str, revision: str) -> PublishedMerge | None:
    at = hub.at_commit(repo, revision)
    if at.file(LOCK_NAME) is None:
        return None
    lock = parse_lock(hub.read_text(repo, at.revision, LOCK_NAME), f"{LOCK_NAME} of {repo}")
    side, prefix = _side_files(resolution.base), f"{resolution.family}/"
    same = lock.resolution.merge_digest == resolution.merge_digest
    if not same or _side_files(lock.resolution.base) != side:
        return None
    files = []
    for output, record in lock.outputs.items():
        path = output.removeprefix(prefix)
        if path == CARD_NAME:
            continue
        file = at.file(path)
        # A merge changes weights alone: what else there is must be the base's own, byte for byte.
        weights = resolution.base is not None and path in resolution.base.weights
        if file is not None and not weights and (path, file.oid) not in side:
            return None
        if not output.startswith(prefix) or file is None or file.size != record.size:
            return None
        if file.sha256 not in (None, record.sha256):
            return None
        files.append(file)
    signer_of(hub, at, {f.path: lock.outputs[prefix + f.path].sha256 for f in files})
    return PublishedMerge(repo, at.revision, lock, tuple(files)) if files else None


def _side_files(base: PinnedRepo | None) -> set[tuple[str, str]]:
    """What a merged model has from its base beside the weights: mirrors may differ in it."""
    if base is None:
        return set()
    return {(f.path, f.oid) for f in base.files if f.path not in base.weights}


def take_published(
    found: PublishedMerge, hub: Hub, model: Path, wrote: Callable[[int], None] | None
) -> None:
    """Fetch a merged model into the existing folder `model`; raises ChangedFile, BadWeights."""
    fetched = hub.fetch(found.repo, found.revision, found.files)
    family = found.lock.resolution.family
    for file in found.files:
        source = fetched / file.path
        if sha256_file(source) != found.lock.outputs[f"{family}/{file.path}"].sha256:
            raise ChangedFile(
                f"{file.path} of {found.repo} is not the file that its {LOCK_NAME} records",
                "Merge here instead: --merge-here.",
            )
        if source.suffix == ".safetensors":
            read_header(source)
        (model / file.path).parent.mkdir(parents=True, exist_ok=True)
        copy_file(source, model / file.path)
        if wrote is not None and source.suffix == ".safetensors":
            wrote(file.size)
