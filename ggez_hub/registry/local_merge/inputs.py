"""The inputs of a merge: folders and files of this machine, or repositories, which are fetched."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints

from ggez_hub.cards.readme import MAX_CARD_BYTES, license_of, read_readme
from ggez_hub.cards.values import Family, RegionId
from ggez_hub.errors import UsageProblem
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.hub import Hub, HubFile, RepoAtCommit, link_fetched
from ggez_hub.merging.betas_by_part import BetasByPart
from ggez_hub.merging.methods import METHODS, NAME, Method
from ggez_hub.registry.constants import CARD_NAME
from ggez_hub.registry.contribution.adapter_files import BaseModel, files_on_hub
from ggez_hub.registry.file_checks import beside
from ggez_hub.validation_errors import written_as

# Where huggingface_hub keeps a repository at a commit.
CACHED = re.compile(
    r"models--(?P<owner>[^/]+?)--(?P<name>[^/]+)/snapshots/(?P<revision>[0-9a-f]{40})\Z"
)


@dataclass(frozen=True)
class ModelSource:
    """An input on this machine, and the repository and commit that it is known to come from.

    `given` is how it was asked for; `readme` the text of its card, empty if it has none.
    """

    path: Path
    given: str
    repo: str | None = None
    revision: str | None = None
    readme: str = ""

    @property
    def name(self) -> str:
        """What it is called: its repository, or the last part of its path."""
        return self.repo or self.path.absolute().name

    @property
    def license(self) -> str:
        # Slow to import, and only a merged model names its licences.
        from ggez_hub.cards.document import split_front_matter

        return license_of(split_front_matter(self.readme)[0])


@dataclass(frozen=True)
class WeightedSource:
    """An adapter and the weight that it gets: `beta`, and of some tensors by `parts`."""

    source: ModelSource
    beta: float
    parts: BetasByPart | None = None


def on_disk(path: Path) -> ModelSource:
    """The input at a path; one in the cache of huggingface_hub is known by its repository."""
    folder = path if path.is_dir() else path.parent
    readme = read_readme(folder)
    cached = CACHED.search(folder.absolute().as_posix())
    if cached is None:
        return ModelSource(path, str(path), readme=readme)
    repo = f"{cached['owner']}/{cached['name']}"
    return ModelSource(path, str(path), repo, cached["revision"], readme)


def fetch_base_files(
    hub: Hub, found: BaseModel, place: Path, reads: Callable[[str], bool]
) -> ModelSource:
    """A base in a new folder at `place`: one set of weights and what is beside, if `reads` takes it.

    Raises GgezError, ChangedFile, and what the client raises.
    """
    files = [file for file in found.at.files if file.path in found.weights]
    files += [pinned.as_hub_file() for pinned in beside(found.at, found.weights)]
    return _fetched(hub, found.at, [file for file in files if reads(file.path)], place)


def fetch_adapter(hub: Hub, repo: str, revision: str, place: Path) -> ModelSource:
    """The adapter in a repository, in a new folder at `place`.

    A full fine-tune is fetched with what is beside its weights. Raises GgezError, BadAdapter,
    BadWeights, ChangedFile, and what the client raises.
    """
    found = files_on_hub(hub, repo, revision)
    at = found.at
    assert at is not None  # noqa: S101 - it was found on a hub
    files = [file for file in at.files if file.path in found.files]
    if found.kind == "finetune":
        files += [pinned.as_hub_file() for pinned in beside(at, found.files)]
    return _fetched(hub, at, files, place)


def _fetched(hub: Hub, at: RepoAtCommit, files: list[HubFile], place: Path) -> ModelSource:
    cached = hub.fetch(at.repo, at.revision, files) if files else place
    folder = link_fetched(cached, files, place)
    readme = ""
    card = at.file(CARD_NAME)
    if card is not None and card.size <= MAX_CARD_BYTES:
        readme = hub.read_text(at.repo, at.revision, CARD_NAME)
    return ModelSource(folder, f"{at.repo}@{at.revision}", at.repo, at.revision, readme)


REPOSITORY = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)@(?P<revision>\w[\w.-]*(/\w[\w.-]*)*)",
    re.ASCII,
)

Place: TypeAlias = Annotated[str, StringConstraints(min_length=1)]


class WeightedAdapter(FrozenModel, strict=False):
    """An adapter, a folder, a file or a repository, and the weight that it gets.

    `betas` is a file of betas by part, relative to the recipe: see merging/betas_by_part.py.
    """

    adapter: Place
    beta: float = Field(ge=0, allow_inf_nan=False)
    betas: Place | None = None


def _known_method(text: str) -> str:
    if text.partition("(")[0] not in METHODS:
        raise ValueError(f"must be one of {', '.join(METHODS)}")
    try:
        return str(Method.parse(text))
    except UsageProblem as problem:
        raise ValueError(f"must be a merge method. {problem.hint}") from None


class MergeRecipe(FrozenModel, strict=False):
    """theta_global + sum(beta * Delta), as the options of `merge`.

    `region` and `title` are for readers: they decide nothing.
    """

    kind: Literal["merge"]
    title: str | None = None
    region: RegionId | None = None
    family: Family | None = None
    base: Place
    variant: Annotated[str, written_as(r"^\w+$", "the name of a variant: fp16")] | None = None
    adapters: list[WeightedAdapter] = Field(min_length=1)
    method: Annotated[str, AfterValidator(_known_method)] = NAME
    out_dtype: Literal["bfloat16"] | None = None


def repository(place: str) -> tuple[str, str] | None:
    """The repository and the revision that a place names; None if it is written otherwise."""
    match = REPOSITORY.fullmatch(place)
    return (match["repo"], match["revision"]) if match else None
