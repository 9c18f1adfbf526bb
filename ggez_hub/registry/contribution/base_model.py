"""A base model on a hub: its family, and the sha256s of its weights, without a download."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.families import Family, Layout, detect_family, get_family
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.hub.sparse_copy import sparse_copy
from ggez_hub.hub.weight_headers import shapes_digest, tensors
from ggez_hub.safetensors_header import BadWeights


class NoBase(GgezError):
    """A repository cannot be the base of an adapter."""


@dataclass(frozen=True)
class BaseModel:
    """A base at a commit: its family and library, and its weight files by path with their sha256.

    `shapes` is the digest of its tensors' names, dtypes and shapes.
    """

    at: RepoAtCommit
    family: Family
    library: str
    weights: dict[str, str]
    shapes: str = "unknown"


def find_base(
    hub: Hub, name: str, family: str | None = None, variant: str | None = None
) -> BaseModel:
    """The base that `name`, a repository or REPO@REVISION, names; of `family` and `variant` if given.

    Raises NoBase, and what the client raises: GatedRepoError where access has to be asked for.
    """
    repo, _, revision = name.partition("@")
    at = hub.at_commit(repo, revision or "main")
    with sparse_copy(hub, at, headers=False) as folder, named_as_repository(repo, folder):
        found = detect_family(folder, variant) if family is None else get_family(family)
        layout = found.layout(folder, variant)
    return BaseModel(at, found, layout.library, weights_of(hub, at, layout))


def with_shapes(hub: Hub, base: BaseModel) -> BaseModel:
    """The base with the digest of its shapes, from the headers of its files: kilobytes each.

    Raises NoBase if a file has no header.
    """
    try:
        found = tensors(hub, base.at, base.weights)
    except BadWeights as error:
        raise NoBase(error.message) from error
    return replace(base, shapes=shapes_digest(found))


def weights_of(hub: Hub, at: RepoAtCommit, layout: Layout) -> dict[str, str]:
    """The sha256s of a layout's weight files, as the hub lists them."""
    weights: dict[str, str] = {}
    for path in layout.weights:
        file = at.file(path)
        if file is None:
            raise NoBase(f"{at.repo} lacks {path}")
        # The Hub lists the sha256 of large files; weights that are none can be fetched.
        weights[path] = file.sha256 or sha256_file(hub.fetch(at.repo, at.revision, [file]) / path)
    return weights


@contextmanager
def named_as_repository(repo: str, folder: Path) -> Iterator[None]:
    """Whatever is wrong with the outline in `folder` is said of the repository; raises NoBase."""
    try:
        yield
    except GgezError as error:
        raise NoBase(
            error.message.replace(str(folder), repo), error.hint.replace(str(folder), repo)
        ) from error
