"""`ggez.lock` of a merge of folders: every input and output by its sha256."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field

from ggez_hub.cards.values import FilePath, RepoId, Sha256
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.registry.lock import Lock, LockFile, read_lock
from ggez_hub.registry.parts import ResolvedParts, decisive_beta
from ggez_hub.registry.resolution import ENGINE
from ggez_hub.weights import digest_json


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


class Merge(FrozenModel, strict=False):
    """All that decides a merge of folders. The same merge gives the same bytes."""

    family: str
    method: str
    variant: str | None
    engine: str = ENGINE
    base: MergedInput
    adapters: tuple[MergedAdapter, ...]

    @property
    def digest(self) -> str:
        """The sha256 of what decides the merged weights; not of where they came from."""
        decisive: dict[str, Any] = {
            "base": self.base.files,
            "adapters": [
                [adapter.files, decisive_beta(adapter.beta, adapter.parts)]
                for adapter in self.adapters
            ],
            "method": self.method,
            "engine": self.engine,
        }
        return digest_json(decisive)


class MergeLock(LockFile):
    """A lock file beside merged weights."""

    merge: Merge


def read_any_lock(path: Path) -> Lock | MergeLock:
    """The lock of a pull or of a merge of folders; raises BadLock."""
    try:
        document = json.loads(path.read_bytes())
        if isinstance(document, dict) and "merge" in document:
            return MergeLock.model_validate(document)
    except (OSError, ValueError, RecursionError):
        # Whatever is wrong with it, the lock of a pull is expected.
        pass
    return read_lock(path)
