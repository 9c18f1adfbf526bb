"""What a request is resolved to: every input pinned, frozen, as the lock file stores it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, StringConstraints

from ggez_hub.cards import AlphaRecord
from ggez_hub.cards.values import FamilyName, FilePath, LanguageTag, RegionId, RepoId, Sha256
from ggez_hub.digests import digest_json
from ggez_hub.errors import UsageProblem
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.hub import Hub, HubFile, RepoAtCommit
from ggez_hub.merging.betas_by_part import MOST_PARTS, BetasByPart, Part
from ggez_hub.plugins import PluginRecord
from ggez_hub.quantities import counted
from ggez_hub.registry.request import OutDtype

Name = Annotated[str, StringConstraints(min_length=1)]
Beta = Annotated[float, Field(ge=0)]


class ResolvedParts(FrozenModel, strict=False):
    """Betas by part as they were written, and the beta of each tensor that follows from them.

    The betas decide the merge, so that reading a lock needs no regular expressions.
    """

    parts: Annotated[tuple[Part, ...], Field(min_length=1, max_length=MOST_PARTS)]
    betas: Annotated[dict[Name, Beta], Field(min_length=1)]

    @classmethod
    def of(cls, asked: BetasByPart, names: Collection[str], beta: float) -> ResolvedParts:
        return cls(parts=asked.parts, betas=asked.on(names).at(beta))

    def require_same(self, names: Collection[str], beta: float) -> None:
        """Raise UsageProblem unless the betas are what the parts come to on a base.

        A lock may have been changed by hand.
        """
        now = BetasByPart(parts=self.parts).on(names).at(beta)
        if now != self.betas:
            other = min(
                name for name in now.keys() | self.betas if self.betas.get(name) != now.get(name)
            )
            raise UsageProblem(
                f"the lock's beta of {other!r} is {self.betas.get(other)}, by its parts it is "
                f"{now.get(other)}",
                "The lock was changed. Pull anew without --locked.",
            )

    def lines(self) -> Iterator[str]:
        """Each part in words, and over how many tensors the betas reach."""
        yield from map(str, self.parts)
        low, high = min(self.betas.values()), max(self.betas.values())
        span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        yield f"{counted(len(self.betas), 'tensor')} at {span}"


def decisive_beta(beta: float | None, parts: ResolvedParts | None) -> Any:
    """The weight of an adapter as merge digests take it: a number, with parts one by tensor too."""
    return beta if parts is None else [beta, parts.betas]


FitsBy: TypeAlias = Literal["weights", "shape"]

FITS_BY_SHAPE = (
    "fits by shape only: the adapter was made for other weights, whose tensors have the same names, "
    "dtypes and shapes; nobody has measured it on these"
)

# Changes whenever the same inputs would give other bytes.
ENGINE = "ggez-merge/2"
# Files beside the weights that decide what these mean: alpha, rank patterns, the base.
DECISIVE = frozenset({"adapter_config.json", "task_vector.json"})


class PinnedFile(FrozenModel, strict=False):
    """A file by size and digest: sha256 of a large file, git's id of a small one."""

    path: FilePath
    size: int = Field(ge=0)
    oid: str = Field(pattern=r"^[0-9a-f]{40}$")
    sha256: Sha256 | None = None

    @classmethod
    def of(cls, file: HubFile) -> PinnedFile:
        return cls(path=file.path, size=file.size, oid=file.oid, sha256=file.sha256)

    def as_hub_file(self) -> HubFile:
        return HubFile(self.path, self.size, self.oid, self.sha256)


class PinnedRepo(FrozenModel, strict=False):
    """Files of a repository at a commit; `weights` are the sha256s of its weight files.

    `tag` is the tag that it was asked for by, which names that commit; `signer` signed it.
    """

    repo: RepoId
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    license: str
    gated: bool
    weights: dict[FilePath, Sha256]
    files: tuple[PinnedFile, ...]
    tag: str | None = None
    signer: str | None = None

    @property
    def nbytes(self) -> int:
        return sum(file.size for file in self.files)

    def fetch(self, hub: Hub, files: Iterable[PinnedFile] | None = None) -> Path:
        """Fetch and check files, or all; returns their folder in the cache."""
        return hub.fetch(self.repo, self.revision, self._on_hub(files))

    def missing_bytes(self, hub: Hub, files: Iterable[PinnedFile] | None = None) -> int:
        """Bytes of files, or all, that are not in the cache."""
        return hub.missing_bytes(self.repo, self.revision, self._on_hub(files))

    @property
    def listing(self) -> RepoAtCommit:
        return RepoAtCommit(self.repo, self.revision, self._on_hub(None), "", self.gated)

    def _on_hub(self, files: Iterable[PinnedFile] | None) -> tuple[HubFile, ...]:
        return tuple(file.as_hub_file() for file in (self.files if files is None else files))

    @property
    def weight_sizes(self) -> tuple[int, ...]:
        return tuple(file.size for file in self.files if file.path in self.weights)


def decisive_plugins(plugins: tuple[PluginRecord, ...]) -> dict[str, list[dict[str, str]]]:
    """What merge digests say of plug-ins; nothing without any."""
    return {"plugins": [record.document for record in plugins]} if plugins else {}


class ChosenBeta(FrozenModel, strict=False):
    """beta and why: given by the user or the form, or selected by a policy on validation.

    Of a composition it was selected `jointly` where a joint curve measured the adapters together.
    """

    value: float = Field(ge=0)
    why: Literal["given", "selected", "jointly"]
    policy: str | None = None
    region: str | None = None
    reason: str


class PinnedCard(FrozenModel, strict=False):
    """The card that was read: a file of the curated index, or the adapter's own README.md.

    Of an index that the package ships the `repo_type` is `package`, and `revision` identifies all
    its cards. `signer` signed the index.
    """

    repo: RepoId
    repo_type: Literal["model", "dataset", "package"]
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    path: FilePath
    sha256: Sha256
    signer: str | None = None


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
    def signatures(self) -> list[str]:
        """Who signed the adapter, and the index with its card, in words."""
        signed = {self.source.repo: self.source.signer, "the index": self.card.signer}
        return [f"{what} is signed by {signer}" for what, signer in signed.items() if signer]

    @property
    def weight(self) -> float | None:
        return None if self.beta is None else self.beta.value

    @property
    def decisive(self) -> dict[str, str]:
        """Digests of what decides Delta: the weights, and the file with their scale."""
        files = {f.path: f.sha256 or f.oid for f in self.source.files if f.path in DECISIVE}
        return self.source.weights | files


class Rejected(FrozenModel, strict=False):
    """A candidate that was not taken, with the reason."""

    repo: str
    region: str
    reason: str


class Resolution(FrozenModel, strict=False):
    """All that decides a pull. The same resolution gives the same bytes.

    `base` is None where a merged model is taken as it is: no base takes part. It `fits_by` the
    sha256s of its weights, or only by the names, dtypes and shapes of its tensors. `languages` (BCP 47)
    are those of the prompts that a switch sends to the adapter; other forms have none. What is float8 in
    the base is stored as `out_dtype`, if it is there.
    """

    region: RegionId
    # The name of a folder: a lock may come from a stranger.
    family: FamilyName
    method: str
    form: str
    engine: str = ENGINE
    alpha: AlphaRecord
    base: PinnedRepo | None
    fits_by: FitsBy = "weights"
    adapters: tuple[PinnedAdapter, ...]
    languages: tuple[LanguageTag, ...] = ()
    # Left out of a lock where nothing was asked, as it always was.
    out_dtype: OutDtype | None = Field(default=None, exclude_if=lambda asked: asked is None)
    plugins: tuple[PluginRecord, ...] = ()
    rejected: tuple[Rejected, ...] = ()

    @property
    def inputs(self) -> tuple[PinnedRepo, ...]:
        adapters = tuple(adapter.source for adapter in self.adapters)
        return adapters if self.base is None else (self.base, *adapters)

    @property
    def gated(self) -> bool:
        """Whether access to an input is restricted; then it has to be to the result, too."""
        return any(pinned.gated for pinned in self.inputs)

    @property
    def policy(self) -> str | None:
        return next((a.beta.policy for a in self.adapters if a.beta and a.beta.policy), None)

    @property
    def by_part(self) -> bool:
        """Whether tensors have betas of their own: no curve has measured that."""
        return any(adapter.parts for adapter in self.adapters)

    @property
    def is_base(self) -> bool:
        """Whether the result is the base unchanged: every beta is 0."""
        return self.base is not None and not any(a.weight or a.parts for a in self.adapters)

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
            **({"out_dtype": self.out_dtype} if self.out_dtype else {}),
            **decisive_plugins(self.plugins),
        }
        return digest_json(decisive)
