"""What a repository must be before a byte of its weights is fetched."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Protocol

from ggez_hub.cards import AdapterCard
from ggez_hub.errors import GgezError
from ggez_hub.hub import RepoAtCommit
from ggez_hub.merging.output import NOT_CARRIED, WEIGHT_SUFFIXES
from ggez_hub.registry.kinds import get_kind
from ggez_hub.registry.resolution import PinnedFile

ADAPTER_CONFIG = "adapter_config.json"
# Configurations, tokenizers and the like; larger files that are no weights are no part of a model.
MAX_SIDE_FILE = 64_000_000


class NotFit(GgezError):
    """A candidate is not taken; the message is the reason."""


class Texts(Protocol):
    """What can read a small text file of a repository at a commit: a hub, or a folder."""

    def read_text(self, repo: str, revision: str, path: str) -> str:
        """The text of the file at `path`."""


def vet_adapter(at: RepoAtCommit, card: AdapterCard, hub: Texts) -> tuple[PinnedFile, ...]:
    """The files of an adapter that will be fetched; raises NotFit.

    They are those that the card records, and the hub must list them with the recorded sha256. Of
    a kind that is a whole model, what lies beside its weights is fetched too.
    """
    if card.files == "unknown":
        raise NotFit("has no recorded files: its card is not pinned yet")
    if not any(path.endswith(".safetensors") for path in card.files):
        raise NotFit("records no safetensors file")
    pinned = []
    for path, record in sorted(card.files.items()):
        file = at.file(path)
        if file is None:
            raise NotFit(f"lacks {path}, which its card records")
        if file.size != record.size or (file.sha256 or record.sha256) != record.sha256:
            raise NotFit(f"has another {path} than its card records")
        if path.endswith(tuple(WEIGHT_SUFFIXES - {".safetensors"})):
            raise NotFit(f"records {path}, which is no safetensors file")
        pinned.append(PinnedFile(path=path, size=file.size, oid=file.oid, sha256=record.sha256))
    if ADAPTER_CONFIG in card.files:
        _vet_config(json.loads(hub.read_text(at.repo, at.revision, ADAPTER_CONFIG)), card)
    return tuple(pinned) + (beside(at, card.files) if get_kind(card.kind).whole else ())


def _vet_config(config: object, card: AdapterCard) -> None:
    """Loaders follow what adapter_config.json names: it may name nothing but the card's base."""
    if not isinstance(config, dict):
        raise NotFit(f"has an {ADAPTER_CONFIG} that is no object")
    if config.get("auto_mapping"):
        raise NotFit(f"has an auto_mapping in {ADAPTER_CONFIG}, which loaders import code by")
    named = config.get("base_model_name_or_path")
    allowed = {None, "", card.base.repo}
    if card.trained_on not in ("base", "unknown"):
        allowed.add(getattr(card.trained_on, "repo", None))
    if named not in allowed:
        raise NotFit(f"names the base {named!r} in {ADAPTER_CONFIG}, its card {card.base.repo!r}")


def vet_base(at: RepoAtCommit, card: AdapterCard) -> tuple[PinnedFile, ...]:
    """The files of a base that will be fetched: the weights, and what lies beside them.

    A base is identified by its weights: their sha256s must be those that the card names, whatever
    the repository or the commit. Raises NotFit.
    """
    if card.base.weights == "unknown":
        raise NotFit("does not say which weights it fits: its card is not pinned yet")
    pinned = []
    for path, sha256 in sorted(card.base.weights.items()):
        file = at.file(path)
        if file is None:
            raise NotFit(f"fits a base with {path}, which {at.repo} does not have")
        if file.sha256 != sha256:
            raise NotFit(f"fits other weights than those of {at.repo}@{at.revision[:12]} ({path})")
        pinned.append(PinnedFile.of(file))
    return tuple(pinned) + beside(at, card.base.weights)


def model_files(at: RepoAtCommit) -> tuple[PinnedFile, ...]:
    """The files of a model or an adapter that no card speaks for: safetensors, and what is beside."""
    weights = [f for f in at.files if f.path.endswith(".safetensors")]
    if not weights:
        raise NotFit(f"{at.repo}@{at.revision[:12]} holds no safetensors file")
    return tuple(map(PinnedFile.of, weights)) + beside(at, [f.path for f in weights])


def beside(at: RepoAtCommit, taken: Collection[str]) -> tuple[PinnedFile, ...]:
    """What lies beside the weights that are `taken`: configuration, tokenizer, indexes."""
    return tuple(
        PinnedFile.of(file)
        for file in at.files
        if is_side_file(file.path) and file.size <= MAX_SIDE_FILE and file.path not in taken
    )


def is_side_file(path: str) -> bool:
    """Whether a file of a model is carried beside its weights, by its path alone."""
    parts = path.split("/")
    suffix = "." + parts[-1].rpartition(".")[2].lower()
    return suffix not in WEIGHT_SUFFIXES and not NOT_CARRIED.intersection(parts)
