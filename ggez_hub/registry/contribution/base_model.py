"""A base model on a hub: its family, and the sha256s of its weights, without a download."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ggez_hub.cards.schema import FileRecord
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.families import Family, detect_family, get_family
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.hub.sparse_copy import sparse_copy
from ggez_hub.hub.weight_headers import shapes_digest, tensors
from ggez_hub.safetensors_header import BadWeights


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
    with sparse_copy(hub, at, headers=False) as folder, named_as_repository(repo, folder):
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
