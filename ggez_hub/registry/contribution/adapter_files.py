"""An adapter as it lies on a disk or on a hub: its form, its files, what they say of themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ggez_hub.cards.readme import MAX_CARD_BYTES
from ggez_hub.cards.safety import secrets_in
from ggez_hub.cards.schema import FileRecord
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.families import UnknownLayout, detect_family
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.hub.sparse_copy import sparse_copy
from ggez_hub.merging.adapters import FORMS, PICKLES
from ggez_hub.merging.adapters.lora_file import lora_path
from ggez_hub.merging.adapters.peft_config import CONFIG as PEFT_CONFIG
from ggez_hub.merging.adapters.peft_config import read_any_config
from ggez_hub.merging.adapters.peft_folder import WEIGHTS as PEFT_WEIGHTS
from ggez_hub.merging.adapters.task_vector import MANIFEST
from ggez_hub.merging.adapters.task_vector import WEIGHTS as VECTOR_WEIGHTS
from ggez_hub.registry.constants import CARD_NAME
from ggez_hub.registry.contribution.base_model import named_as_repository
from ggez_hub.registry.contribution.training_metadata import (
    TrainingMetadata,
    metadata_of_peft,
    metadata_of_safetensors,
)
from ggez_hub.safetensors_header import BadWeights, read_header


class NoAdapterHere(GgezError):
    """A file, folder or repository holds nothing that can be registered."""


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter as it was found.

    `files` are those that a card records, with size and sha256; `paths` says where they lie on
    this machine, `at` where on a hub: one of the two. `folder` is the adapter's own, if it has one
    here. `keys` are the names of its tensors.
    """

    name: str
    kind: str
    library: str
    files: Mapping[str, FileRecord]
    keys: frozenset[str]
    told: TrainingMetadata
    readme: str | None = None
    paths: Mapping[str, Path] = field(default_factory=dict)
    folder: Path | None = None
    at: RepoAtCommit | None = None


@dataclass(frozen=True)
class _Shape:
    """A form as it is registered: its kind, the library for it, its files in a folder."""

    kind: str
    library: str


# By the names of merging.adapters.FORMS. A full fine-tune's library is that of its layout.
SHAPES: Mapping[str, _Shape] = {
    "PEFT folder": _Shape("lora", "peft"),
    "task vector": _Shape("task_vector", "ggez-hub"),
    "LoRA file": _Shape("lora", "diffusers"),
    "full fine-tune": _Shape("finetune", ""),
}


def files_on_disk(source: Path) -> AdapterFiles:
    """The adapter that `source`, a file or a folder, is.

    Raises NoAdapterHere, BadAdapter or BadWeights with the reason why it cannot be registered.
    """
    folder = source if source.is_dir() else source.parent
    found = _recognised(source)
    for path in found.paths:
        if path.endswith(".safetensors"):
            read_header(folder / path)
    card = folder / CARD_NAME
    readme = None
    if source.is_dir() and card.is_file() and card.stat().st_size <= MAX_CARD_BYTES:
        readme = card.read_text(encoding="utf-8", errors="replace")
    records = {
        path: FileRecord(size=(folder / path).stat().st_size, sha256=sha256_file(folder / path))
        for path in found.paths
    }
    return AdapterFiles(
        name=_name(source.resolve().name if source.is_dir() else source.stem),
        kind=found.shape.kind,
        library=found.library,
        files=records,
        keys=found.keys,
        told=found.told,
        readme=readme,
        paths={path: folder / path for path in records},
        folder=source if source.is_dir() else None,
    )


def files_on_hub(
    hub: Hub, repo: str, revision: str = "main", file: str | None = None
) -> AdapterFiles:
    """The adapter in a repository, or its `file`; nothing but headers and small files is fetched.

    Raises as `files_on_disk`, and what the client raises.
    """
    at = hub.at_commit(repo, revision)
    with sparse_copy(hub, at, headers=True) as folder, named_as_repository(repo, folder):
        source = folder / file if file else folder
        if file and not source.is_file():
            raise NoAdapterHere(f"{folder} has no file {file!r}")
        found = _recognised(source)
    records = {}
    for path in found.paths:
        listed = at.file(path)
        assert listed is not None  # noqa: S101 - the outline has the names of the listing
        sha256 = listed.sha256 or sha256_file(hub.fetch(repo, at.revision, [listed]) / path)
        records[path] = FileRecord(size=listed.size, sha256=sha256)
    return AdapterFiles(
        name=_name(repo.partition("/")[2]),
        kind=found.shape.kind,
        library=found.library,
        files=records,
        keys=found.keys,
        told=found.told,
        at=at,
    )


@dataclass(frozen=True)
class _Recognised:
    shape: _Shape
    library: str
    paths: tuple[str, ...]
    keys: frozenset[str]
    told: TrainingMetadata


def _recognised(source: Path) -> _Recognised:
    if source.is_file() and source.suffix != ".safetensors":
        raise NoAdapterHere(
            f"{source} is no safetensors file",
            "Formats that can run code are not taken: convert it where you trust it."
            if source.suffix in PICKLES
            else "Give a .safetensors file, a folder, or a repository.",
        )
    form = next((form for form in FORMS if form.holds(source)), None)
    if form is None:
        names = _names(source)
        if pickles := [name for name in names if Path(name).suffix in PICKLES]:
            raise NoAdapterHere(
                f"{source} holds its weights only in {', '.join(pickles[:3])}, which is never loaded",
                "Convert it to safetensors where you trust it.",
            )
        known = ", ".join(form.name for form in FORMS)
        raise NoAdapterHere(f"{source} holds no adapter of a known form", f"Known: {known}.")
    shape, folder = SHAPES[form.name], source if source.is_dir() else source.parent
    paths, library = parts_of(form.name, source)
    if missing := [path for path in paths if not (folder / path).is_file()]:
        raise NoAdapterHere(f"{source} is a {form.name} without {', '.join(missing)}")
    headers = [read_header(folder / path) for path in paths if path.endswith(".safetensors")]
    keys = frozenset(key for header in headers for key in header.tensors)
    metadata = {key: value for header in headers for key, value in header.metadata.items()}
    _refuse_secrets(source, metadata)
    told = metadata_of_safetensors(metadata)
    if PEFT_CONFIG in paths:
        told = metadata_of_peft(read_any_config(folder))
    return _Recognised(shape, library or shape.library, paths, keys, told)


def parts_of(form: str, source: Path) -> tuple[tuple[str, ...], str]:
    """The files of a form, relative to its folder, and its library if the form does not say."""
    if form == "PEFT folder":
        return (PEFT_CONFIG, PEFT_WEIGHTS), ""
    if form == "task vector":
        return (MANIFEST, VECTOR_WEIGHTS), ""
    if form == "LoRA file":
        path = lora_path(source)
        assert path is not None  # noqa: S101 - the form holds
        return (path.name,), ""
    try:
        layout = detect_family(source).layout(source)
    except UnknownLayout as error:
        raise NoAdapterHere(
            f"{source} holds safetensors, but neither an adapter nor a model of a known layout",
            f"{error.message}. {error.hint}",
        ) from error
    # What lies beside the weights goes with them, as it is (vetting.py): no card records it.
    return layout.weights, layout.library


def _names(source: Path) -> list[str]:
    if source.is_file():
        return [source.name]
    return sorted(p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file())


def _refuse_secrets(source: Path, metadata: Mapping[str, str]) -> None:
    """A file is published with its metadata, and with what its trainer left there."""
    kinds = sorted({secret.kind for secret in secrets_in(json.dumps(dict(metadata)))})
    if kinds:
        raise BadWeights(
            f"the metadata of {source} holds what looks like {', '.join(kinds)}",
            "Save the file again without it (safetensors.torch.save_file(tensors, path)), and "
            "revoke it.",
        )


def _name(text: str) -> str:
    """A name for a repository and a card, of letters that both take."""
    name = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")
    return re.sub(r"[-.]{2,}", "-", name)[:80] or "adapter"
