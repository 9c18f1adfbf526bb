"""What a request comes to: every input pinned, frozen, and ready for the lock file."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import Field

from ggez_hub.cards import AlphaRecord
from ggez_hub.cards.values import FilePath, LanguageTag, RegionId, RepoId, Sha256
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.hub import HubFile
from ggez_hub.registry.parts import ResolvedParts, decisive_beta
from ggez_hub.weights import digest_json

FitsBy: TypeAlias = Literal["weights", "shape"]

FITS_BY_SHAPE = (
    "fits by shape only: the adapter was made for other weights, whose tensors have the same names, "
    "dtypes and shapes; nobody has measured it on these"
)

# Changes whenever the same inputs would give other bytes.
ENGINE = "ggez-merge/2"
# Files that are no weights and say what the weights mean: alpha, rank patterns, the base.
DECISIVE = frozenset({"adapter_config.json", "task_vector.json"})


class PinnedFile(FrozenModel, strict=False):
    """A file by size and digest: sha256 of a large file, git's id of a small one."""

    path: FilePath
    size: int = Field(ge=0)
    oid: str = Field(pattern=r"^[0-9a-f]{40}$")
    sha256: Sha256 | None = None

    @classmethod
    def of(cls, file: HubFile) -> PinnedFile:
        """The pin of a file on a hub."""
        return cls(path=file.path, size=file.size, oid=file.oid, sha256=file.sha256)

    def as_hub_file(self) -> HubFile:
        """The file to fetch."""
        return HubFile(self.path, self.size, self.oid, self.sha256)


class PinnedRepo(FrozenModel, strict=False):
    """Files of a repository at a commit; `weights` are the sha256s of its weight files.

    `tag` is the tag that it was asked for by, which names that commit.
    """

    repo: RepoId
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    license: str
    gated: bool
    weights: dict[FilePath, Sha256]
    files: tuple[PinnedFile, ...]
    tag: str | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def weight_sizes(self) -> tuple[int, ...]:
        """Bytes of each weight file."""
        return tuple(file.size for file in self.files if file.path in self.weights)


class ChosenBeta(FrozenModel, strict=False):
    """beta and why: given by the user or the form, or selected by a policy for a region's items on
    validation.

    Of a composition it was selected `jointly` where a joint curve has measured the adapters together.
    """

    value: float = Field(ge=0)
    why: Literal["given", "selected", "jointly"]
    policy: str | None = None
    region: str | None = None
    reason: str


class PinnedCard(FrozenModel, strict=False):
    """The card that was read: a file of the curated index, or the adapter's own README.md."""

    repo: RepoId
    repo_type: Literal["model", "dataset"]
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    path: FilePath
    sha256: Sha256


class PinnedAdapter(FrozenModel, strict=False):
    """An adapter with its beta, and the card that speaks for it.

    `beta` is None for a model that is taken as it is: nothing is weighed. `parts` are the betas of
    some tensors, where they were given.
    """

    source: PinnedRepo
    region: RegionId
    kind: str
    beta: ChosenBeta | None
    parts: ResolvedParts | None = None
    card: PinnedCard

    @property
    def weight(self) -> float | None:
        """beta as a number, or None."""
        return None if self.beta is None else self.beta.value

    @property
    def decisive(self) -> dict[str, str]:
        """Digests of what decides Delta: the weights, and the file that says their scale."""
        told = {f.path: f.sha256 or f.oid for f in self.source.files if f.path in DECISIVE}
        return self.source.weights | told


class Rejected(FrozenModel, strict=False):
    """A candidate that was not taken, with the reason."""

    repo: str
    region: str
    reason: str


class Resolution(FrozenModel, strict=False):
    """All that decides a pull. The same resolution gives the same bytes.

    `base` is None where a merged model is taken as it is: no base takes part. It `fits_by` the
    sha256s of its weights, or only by the names, dtypes and shapes of its tensors. `languages` (BCP 47)
    are those of the prompts that a switch sends to the adapter; other forms have none.
    """

    region: RegionId
    # The name of a folder: a lock may come from a stranger.
    family: str = Field(pattern=r"^[a-z]+$")
    method: str
    form: str
    engine: str = ENGINE
    alpha: AlphaRecord
    base: PinnedRepo | None
    fits_by: FitsBy = "weights"
    adapters: tuple[PinnedAdapter, ...]
    languages: tuple[LanguageTag, ...] = ()
    rejected: tuple[Rejected, ...] = ()

    @property
    def inputs(self) -> tuple[PinnedRepo, ...]:
        """Every pinned repository: the base, if one takes part, then the adapters."""
        adapters = tuple(adapter.source for adapter in self.adapters)
        return adapters if self.base is None else (self.base, *adapters)

    @property
    def gated(self) -> bool:
        """Whether access to an input is restricted; then it has to be to the result, too."""
        return any(pinned.gated for pinned in self.inputs)

    @property
    def by_part(self) -> bool:
        """Whether tensors have betas of their own: no curve has measured that."""
        return any(adapter.parts for adapter in self.adapters)

    @property
    def merged_into(self) -> PinnedRepo:
        """The base of a resolution that has one, as every merge and every adapter form has."""
        if self.base is None:
            raise ValueError("the model is taken as it is: no base takes part")
        return self.base

    @property
    def merge_digest(self) -> str:
        """The sha256 of what decides the merged weights; not of where they came from."""
        decisive: dict[str, Any] = {
            "base": None if self.base is None else self.base.weights,
            "adapters": [[a.decisive, decisive_beta(a.weight, a.parts)] for a in self.adapters],
            "method": self.method,
            "form": self.form,
            "engine": self.engine,
            **({"languages": list(self.languages)} if self.languages else {}),
        }
        return digest_json(decisive)
