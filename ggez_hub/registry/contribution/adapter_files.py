"""An adapter on a disk or on a hub: its form, its files, and their own metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ggez_hub.atomic_files import write_file
from ggez_hub.cards.readme import read_readme
from ggez_hub.cards.safety import secrets_in
from ggez_hub.cards.schema import FileRecord
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.families import Family, detect_family, get_family, model_configuration
from ggez_hub.families.weight_files import PICKLES
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.hub.sparse_copy import shapes_digest, sparse_copy, tensors
from ggez_hub.merging.adapters import CONFIGURATION, find_form
from ggez_hub.merging.adapters.peft_config import CONFIG as PEFT_CONFIG
from ggez_hub.merging.adapters.peft_config import read_any_config
from ggez_hub.registry.contribution.training_metadata import (
    TrainingMetadata,
    metadata_of_peft,
    metadata_of_safetensors,
)
from ggez_hub.safetensors_header import BadWeights, read_header


@dataclass(frozen=True)
class BaseModel:
    """A base at a commit: its family and library, and its weight files by path with their sha256.

    `shapes` is the digest of its tensors' names, dtypes and shapes.
    """

    at: RepoAtCommit
    family: Family
    library: str
    weights: dict[str, str]
    shapes: str = UNKNOWN


def find_base(
    hub: Hub, name: str, family: str | None = None, variant: str | None = None
) -> BaseModel:
    """The base that `name`, a repository or REPO@REVISION, names; of `family` and `variant` if given.

    Raises GgezError, and what the client raises: GatedRepoError where access has to be requested.
    """
    repo, _, revision = name.partition("@")
    at = hub.at_commit(repo, revision or "main")
    with (
        sparse_copy(hub, at, model_configuration(), headers=False) as folder,
        named_as_repository(repo, folder),
    ):
        found = detect_family(folder, variant) if family is None else get_family(family)
        layout = found.layout(folder, variant)
    weights = {path: file_record(hub, at, path).sha256 for path in layout.weights}
    return BaseModel(at, found, layout.library, weights)


def with_shapes(hub: Hub, base: BaseModel) -> BaseModel:
    """The base with the digest of its shapes, from the headers of its files: kilobytes each.

    Raises GgezError if a file has no header.
    """
    try:
        found = tensors(hub, base.at, base.weights)
    except BadWeights as error:
        raise GgezError(error.message) from error
    return replace(base, shapes=shapes_digest(found))


def file_record(hub: Hub, at: RepoAtCommit, path: str) -> FileRecord:
    """Size and sha256 of a file; the Hub lists that of large files, others are fetched."""
    file = at.file(path)
    if file is None:
        raise GgezError(f"{at.repo} lacks {path}")
    sha256 = file.sha256 or sha256_file(hub.fetch(at.repo, at.revision, [file]) / path)
    return FileRecord(size=file.size, sha256=sha256)


@contextmanager
def named_as_repository(repo: str, folder: Path) -> Iterator[None]:
    """Errors about the sparse copy in `folder` name the repository instead; raises GgezError."""
    try:
        yield
    except GgezError as error:
        raise GgezError(
            error.message.replace(str(folder), repo), error.hint.replace(str(folder), repo)
        ) from error


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter as it was found.

    files    those that a card records, with size and sha256
    keys     the names of its tensors
    paths    where the files are on this machine; or `at`, where they are on a hub
    folder   the adapter's own, if it has one on this machine
    """

    name: str
    kind: str
    library: str
    files: Mapping[str, FileRecord]
    keys: frozenset[str]
    metadata: TrainingMetadata
    readme: str = ""
    paths: Mapping[str, Path] = field(default_factory=dict)
    folder: Path | None = None
    at: RepoAtCommit | None = None


def files_on_disk(source: Path) -> AdapterFiles:
    """The adapter that `source`, a file or a folder, is.

    Raises GgezError, BadAdapter or BadWeights with the reason why it cannot be registered.
    """
    folder = source if source.is_dir() else source.parent

    def record(path: str) -> FileRecord:
        file = folder / path
        return FileRecord(size=file.stat().st_size, sha256=sha256_file(file))

    found = _recognised(source, source.resolve().name if source.is_dir() else source.stem, record)
    return replace(
        found,
        readme=read_readme(source),
        paths={path: folder / path for path in found.files},
        folder=source if source.is_dir() else None,
    )


def forget_auto_mapping(folder: Path) -> Path:
    """Set `auto_mapping` of a PEFT folder to null; returns its configuration. Raises GgezError."""
    path = folder / PEFT_CONFIG
    if not path.is_file():
        raise UsageProblem(
            f"{folder} has no {PEFT_CONFIG}",
            "--drop-auto-mapping is for the folder that PEFT saved.",
        )
    config = read_any_config(folder) | {"auto_mapping": None}
    write_file(path, json.dumps(config, indent=2, sort_keys=True) + "\n")
    return path


def files_on_hub(
    hub: Hub, repo: str, revision: str = "main", file: str | None = None
) -> AdapterFiles:
    """The adapter in a repository, or its `file`; nothing but headers and small files is fetched.

    Raises as `files_on_disk`, and what the client raises.
    """
    at = hub.at_commit(repo, revision)
    names = model_configuration() | CONFIGURATION
    with sparse_copy(hub, at, names, headers=True) as folder, named_as_repository(repo, folder):
        source = folder / file if file else folder
        if file and not source.is_file():
            raise GgezError(f"{folder} has no file {file!r}")
        return replace(
            _recognised(source, repo.partition("/")[2], partial(file_record, hub, at)), at=at
        )


def _recognised(source: Path, name: str, record: Callable[[str], FileRecord]) -> AdapterFiles:
    if source.is_file() and source.suffix != ".safetensors":
        raise GgezError(
            f"{source} is not a safetensors file",
            "Formats that can run code are not taken: convert it where you trust it."
            if source.suffix in PICKLES
            else "Give a .safetensors file, a folder, or a repository.",
        )
    form = find_form(source)
    layout = form.layout(source)
    paths = layout.weights
    folder = source if source.is_dir() else source.parent
    if missing := [path for path in paths if not (folder / path).is_file()]:
        raise GgezError(
            f"{source} is a {form.name} without {', '.join(missing)}",
            "Fetch or copy all of its files.",
        )
    headers = [read_header(folder / path) for path in paths if path.endswith(".safetensors")]
    metadata = {key: value for header in headers for key, value in header.metadata.items()}
    _refuse_secrets(source, metadata)
    return AdapterFiles(
        name=_name(name),
        kind=form.kind,
        library=layout.library,
        files={path: record(path) for path in paths},
        keys=frozenset(key for header in headers for key in header.tensors),
        metadata=metadata_of_peft(read_any_config(folder))
        if PEFT_CONFIG in paths
        else metadata_of_safetensors(metadata),
    )


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
    name = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")
    return re.sub(r"[-.]{2,}", "-", name)[:80] or "adapter"
