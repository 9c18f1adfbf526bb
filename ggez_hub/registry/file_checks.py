"""What a repository must be before a byte of its weights is fetched."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Protocol

from ggez_hub.cards import AdapterCard
from ggez_hub.cards.schema import FileRecord
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.errors import GgezError
from ggez_hub.families import Read, UnknownLayout, get_family
from ggez_hub.hub import RepoAtCommit
from ggez_hub.merging.side_files import NOT_CARRIED, WEIGHT_SUFFIXES
from ggez_hub.registry.adapter_kinds import get_kind
from ggez_hub.registry.resolution import PinnedFile

ADAPTER_CONFIG = "adapter_config.json"
# Configurations, tokenizers and the like; larger files that are not weights are not part of a model.
MAX_SIDE_FILE = 64_000_000
MAX_CONFIG = 1_000_000
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
CODE = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh", ".ps1", ".bat", ".exe")
# Each has a loader import code from beside the weights.
LEADS_TO_CODE = ("auto_mapping", "auto_map", "trust_remote_code")
WITHOUT_CODE = {
    "auto_mapping": "PEFT writes auto_mapping where LoraConfig names no task_type: set it to null in "
    f"{ADAPTER_CONFIG} (`ggez-hub contribute FOLDER --drop-auto-mapping` does), or name the task type."
}


class NotFit(GgezError):
    """A candidate is not taken; the message is the reason."""


class Texts(Protocol):
    """What can read a small text file of a repository at a commit: a hub, or a folder."""

    def read_text(self, repo: str, revision: str, path: str) -> str:
        """The text of the file at `path`."""


def vet_adapter(at: RepoAtCommit, card: AdapterCard, hub: Texts) -> tuple[PinnedFile, ...]:
    """The files of an adapter that will be fetched; raises NotFit.

    They are those that the card records, and the hub must list them with the recorded sha256; where
    the card records none, those that hold an adapter of its kind. Of a kind that is a model,
    what is beside its weights is fetched too.
    """
    pinned = listed_files(at, card, hub) if card.files == UNKNOWN else _recorded(at, card.files)
    sizes = {file.path: file.size for file in pinned}
    if ADAPTER_CONFIG in sizes:
        if sizes[ADAPTER_CONFIG] > MAX_CONFIG:
            raise NotFit(f"has an {ADAPTER_CONFIG} of more than {MAX_CONFIG:,} bytes")
        _vet_config(hub.read_text(at.repo, at.revision, ADAPTER_CONFIG), card)
    if not get_kind(card.kind).is_model:
        _refuse_twins(at, sizes)
        return pinned
    # Code of a stranger is left where it is: nothing that is printed would run it.
    return pinned + tuple(f for f in beside(at, sizes) if not f.path.lower().endswith(CODE))


def _refuse_twins(at: RepoAtCommit, paths: Collection[str]) -> None:
    """Loaders that miss adapter_model.safetensors unpickle adapter_model.bin without a word."""
    for path in paths:
        stem, _, suffix = path.rpartition(".")
        twins = [stem + other for other in PICKLES if suffix == "safetensors"]
        if found := next((twin for twin in twins if at.file(twin)), None):
            raise NotFit(f"has {found}, a pickle, beside {path}: loaders may take the one for it")


def _recorded(at: RepoAtCommit, records: Mapping[str, FileRecord]) -> tuple[PinnedFile, ...]:
    if not any(path.endswith(".safetensors") for path in records):
        raise NotFit("records no safetensors file")
    pinned = []
    for path, record in sorted(records.items()):
        if path.endswith(tuple(WEIGHT_SUFFIXES - {".safetensors"})):
            raise NotFit(f"records {path}, which is not a safetensors file")
        if path.lower().endswith(CODE):
            raise NotFit(f"records {path}, which is code: an adapter is data alone")
        file = at.file(path)
        if file is None:
            raise NotFit(f"lacks {path}, which its card records")
        if file.size != record.size or (file.sha256 or record.sha256) != record.sha256:
            raise NotFit(f"has another {path} than its card records")
        pinned.append(PinnedFile(path=path, size=file.size, oid=file.oid, sha256=record.sha256))
    return tuple(pinned)


def listed_files(at: RepoAtCommit, card: AdapterCard, hub: Texts) -> tuple[PinnedFile, ...]:
    """The files that hold an adapter of the card's kind, as the hub lists them; raises NotFit."""
    kind, family = get_kind(card.kind), get_family(card.family)
    try:
        paths = kind.listed([file.path for file in at.files], family, _reader(at, hub))
    except UnknownLayout as problem:
        raise NotFit(f"cannot be pinned: {problem.message}") from problem
    return tuple(_pin(at, path) for path in sorted(paths))


def _pin(at: RepoAtCommit, path: str) -> PinnedFile:
    file = at.file(path)
    if file is None or (path.endswith(".safetensors") and file.sha256 is None):
        raise NotFit(f"cannot be pinned: {at.repo} lists no sha256 of {path}")
    return PinnedFile.of(file)


def _reader(at: RepoAtCommit, hub: Texts) -> Read:
    def read(path: str) -> str:
        file = at.file(path)
        if file is None or file.size > MAX_SIDE_FILE:
            raise UnknownLayout(f"its {path} is larger than {MAX_SIDE_FILE:,} bytes")
        return hub.read_text(at.repo, at.revision, path)

    return read


def _vet_config(text: str, card: AdapterCard) -> None:
    """Loaders follow what adapter_config.json names: it may name nothing but the card's base."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotFit(f"has an {ADAPTER_CONFIG} that cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise NotFit(f"has an {ADAPTER_CONFIG} that is not an object")
    for key in LEADS_TO_CODE:
        if config.get(key):
            raise NotFit(
                f"has the key {key} in {ADAPTER_CONFIG}, which loaders import code by",
                WITHOUT_CODE.get(key, f"Remove {key} from {ADAPTER_CONFIG}."),
            )
    named = config.get("base_model_name_or_path")
    allowed = [None, "", card.base.repo]
    if card.trained_on not in ("base", UNKNOWN):
        allowed.append(getattr(card.trained_on, "repo", None))
    if named not in allowed:
        raise NotFit(f"names the base {named!r} in {ADAPTER_CONFIG}, its card {card.base.repo!r}")


def vet_base(at: RepoAtCommit, card: AdapterCard, hub: Texts) -> tuple[PinnedFile, ...]:
    """The files of the base that a card names: the weights, and what is beside them.

    Raises NotFit.
    """
    return vet_weights(at, base_weights(at, card, hub))


def base_weights(at: RepoAtCommit, card: AdapterCard, hub: Texts) -> dict[str, str]:
    """The sha256s of the weights that a card's adapter fits: those it records, else those of `at`.

    Raises NotFit if `at` holds no weights of the card's family.
    """
    if card.base.weights != UNKNOWN:
        return dict(card.base.weights)
    return weights_listed(at, card.family, hub)


def weights_listed(at: RepoAtCommit, family: str, hub: Texts) -> dict[str, str]:
    """The sha256s of the weights that a repository's library loads; raises NotFit."""
    paths = [file.path for file in at.files]
    try:
        weights = get_family(family).listed_weights(paths, _reader(at, hub))
    except UnknownLayout as problem:
        raise NotFit(f"needs a base of {family}, and {at.repo} is none: {problem.message}") from (
            problem
        )
    return {path: str(_pin(at, path).sha256) for path in weights}


def vet_weights(at: RepoAtCommit, weights: Mapping[str, str]) -> tuple[PinnedFile, ...]:
    """The files of a base with these sha256s, whatever the repository or the commit.

    A base is identified by its weights. Raises NotFit.
    """
    pinned = []
    for path, sha256 in sorted(weights.items()):
        file = at.file(path)
        if file is None:
            raise NotFit(f"fits a base with {path}, which {at.repo} does not have")
        if file.sha256 != sha256:
            raise NotFit(f"fits other weights than those of {at.repo}@{at.revision[:12]} ({path})")
        pinned.append(PinnedFile.of(file))
    return tuple(pinned) + beside(at, weights.keys())


def model_files(at: RepoAtCommit) -> tuple[PinnedFile, ...]:
    """The files of a model or an adapter that no card speaks for: safetensors, and what is beside."""
    weights = [f for f in at.files if f.path.endswith(".safetensors")]
    if not weights:
        raise NotFit(f"{at.repo}@{at.revision[:12]} holds no safetensors file")
    return tuple(map(PinnedFile.of, weights)) + beside(at, [f.path for f in weights])


def beside(at: RepoAtCommit, taken: Collection[str]) -> tuple[PinnedFile, ...]:
    """What is beside the weights that are `taken`: configuration, tokenizer, indexes."""
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
