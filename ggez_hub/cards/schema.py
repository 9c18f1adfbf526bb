"""The adapter card's `ggez:` block: one typed schema for validator, JSON Schema and docs.

What is not known is the literal `unknown`; an absent field is an error, and so is an unknown key.
Digests are sha256 in hexadecimal, scores on 0-100, sizes in bytes.

A card may be of an adapter that nobody has pinned yet: of level `declared`, at the revision `main`,
with `files` and the base's `weights` `unknown`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from ggez_hub.cards.curve import Curve, CurveRow, MeasuredCurve, ParityRecord
from ggez_hub.cards.expected import Expected
from ggez_hub.cards.measurements import Baselines, ClosedPart, JointCurve, SeedRun
from ggez_hub.cards.people import PeopleRow
from ggez_hub.cards.provenance import DataFilter, DataRights, TrainedOn, Training
from ggez_hub.cards.values import (
    UNKNOWN,
    Account,
    Adapts,
    Date,
    Family,
    FilePath,
    Kind,
    LanguageTag,
    Level,
    OrBase,
    OrUnknown,
    PolicyName,
    RegionId,
    RepoId,
    Revision,
    Sha256,
    State,
    Text,
    Unknown,
)
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.regions import Alpha

SCHEMA_VERSION = 2


class BaseModelRef(FrozenModel):
    """The base that the adapter fits, identified by the sha256 of its weight files.

    `shapes` is the digest of its tensors' names, dtypes and shapes. `expected` is what others record of
    a base that is not pinned: a hint to compare with, never a pin.
    """

    repo: RepoId
    revision: Revision
    weights: OrUnknown[Annotated[dict[FilePath, Sha256], Field(min_length=1)]]
    shapes: Sha256 | Unknown = "unknown"
    expected: Expected | None = None


class AlphaRecord(FrozenModel):
    """The globalisation factor of the card's region with its provenance (KOF; derived, not asked)."""

    value: float = Field(ge=0, le=1)
    provenance: Literal["kof", "user"]
    series: Text
    release: Text
    year: int
    members: list[Text]
    missing: list[Text]
    fallback: Text | None = None

    @property
    def source(self) -> str:
        """Where it comes from, in words."""
        if self.provenance == "user":
            return "set by the user"
        return f"{self.series}, KOF release {self.release}, {self.year}"


class Disclosure(FrozenModel):
    """What its authors say of its use, for bills of materials; a card may leave it out.

    `energy_kwh` is what the training took; `autonomy` is whether it acts without a person.
    """

    uses: OrUnknown[list[Text]] = "unknown"
    limitations: OrUnknown[list[Text]] = "unknown"
    risks: OrUnknown[list[Text]] = "unknown"
    explanation: Text = "unknown"
    standards: OrUnknown[list[Text]] = "unknown"
    autonomy: Literal["yes", "no", "unknown"] = "unknown"
    energy_kwh: OrUnknown[Annotated[float, Field(gt=0)]] = "unknown"


class FileRecord(FrozenModel):
    """Size and digest of a file of the adapter."""

    size: int = Field(ge=0)
    sha256: Sha256


class Status(FrozenModel):
    """Whether the adapter may be resolved."""

    state: State
    superseded_by: RepoId | None = None
    reason: Text = ""


class Location(FrozenModel):
    """Where an accepted adapter is, since when, and whether it is recommended for its region.

    Only the registry's copy of a card has it: a repository cannot contain the id of its own commit.
    """

    repo: RepoId
    revision: Revision
    registered: Date | None = None
    recommended: bool = False


class AdapterCard(FrozenModel):
    """The `ggez:` block of an adapter's README.md."""

    schema_version: Literal[2]
    level: Level
    family: Family
    kind: Kind
    region: RegionId
    languages: OrUnknown[list[LanguageTag]]
    adapts: OrUnknown[Annotated[list[Adapts], Field(min_length=1)]]
    adapter: Location | None = None
    base: BaseModelRef
    trained_on: OrBase[TrainedOn]
    data_filter: OrUnknown[DataFilter]
    data_rights: OrUnknown[DataRights]
    alpha: AlphaRecord
    policy: PolicyName = "parity"
    training: OrUnknown[Training]
    curve: OrUnknown[Curve]
    parity: ParityRecord = "independent"
    files: OrUnknown[Annotated[dict[FilePath, FileRecord], Field(min_length=1)]]
    joint: list[JointCurve] = Field([])
    baselines: Baselines | None = None
    closed: ClosedPart | None = None
    seeds: list[SeedRun] = Field([], max_length=64)
    people: list[PeopleRow] = Field([], max_length=256)
    disclosure: Disclosure = Disclosure()
    status: Status
    published_by: Account
    registered_by: Account
    summary: dict[LanguageTag, Text] = Field(min_length=1)

    @property
    def measured(self) -> MeasuredCurve | None:
        if self.curve == UNKNOWN:
            return None
        return MeasuredCurve(self.curve, self.parity, self.region)

    @property
    def rows(self) -> list[CurveRow]:
        """All rows of the curve."""
        curve = {} if self.curve == UNKNOWN else self.curve
        return [row for tasks in curve.values() for row in tasks.values()]

    @property
    def pinned(self) -> bool:
        """Whether the card records the bytes of the adapter and of the base."""
        return UNKNOWN not in (self.files, self.base.weights)

    @field_validator("base")
    @classmethod
    def _known_weights(cls, base: BaseModelRef, info: ValidationInfo) -> BaseModelRef:
        if base.weights == UNKNOWN:
            _may_be_unpinned("weights", base.revision, info.data.get("level"))
        return base

    @field_validator("files")
    @classmethod
    def _known_files(
        cls, files: dict[str, FileRecord] | Unknown, info: ValidationInfo
    ) -> dict[str, FileRecord] | Unknown:
        if files == UNKNOWN:
            adapter = info.data.get("adapter")
            revision = adapter.revision if adapter else None
            _may_be_unpinned("files", revision, info.data.get("level"))
        return files

    @field_validator("parity")
    @classmethod
    def _of_this_curve(cls, parity: ParityRecord, info: ValidationInfo) -> ParityRecord:
        curve = info.data.get("curve", UNKNOWN)
        if parity != "independent" and "curve" in info.data:
            known = set() if curve == UNKNOWN else set(curve)
            for split, sides in parity.items():
                if not set(sides.betas) <= known:
                    raise ValueError(f"`{split}` has betas that `curve` does not have")
        return parity

    @field_validator("joint")
    @classmethod
    def _of_this_adapter(cls, joint: list[JointCurve], info: ValidationInfo) -> list[JointCurve]:
        files = info.data.get("files", UNKNOWN)
        # Invalid files have an error of their own.
        for curve in joint if "files" in info.data else ():
            if not any(is_adapter(adapter.files, files) for adapter in curve.adapters):
                raise ValueError("none of the `adapters` has the sha256s of this card's `files`")
        return joint

    @field_validator("seeds")
    @classmethod
    def _other_seeds(cls, seeds: list[SeedRun], info: ValidationInfo) -> list[SeedRun]:
        training = info.data.get("training", UNKNOWN)
        taken = set() if training == UNKNOWN else {training.seed}
        for run in seeds:
            if run.seed in taken:
                raise ValueError(
                    f"seed {run.seed} is there twice; that of the published adapter is `training.seed`"
                )
            taken.add(run.seed)
        return seeds

    @field_validator("people")
    @classmethod
    def _of_people(cls, rows: list[PeopleRow]) -> list[PeopleRow]:
        if any(row.judge != "people" for row in rows):
            raise ValueError("what scripts judged (`judge: simulated`) does not belong on a card")
        return rows


def is_adapter(measured: Mapping[str, str], files: dict[str, FileRecord] | Unknown) -> bool:
    """Whether an adapter that was measured is the one whose card records `files`.

    measured: path -> sha256 of what decides its Delta
    """
    if files == UNKNOWN:
        return False
    return all(path in files and files[path].sha256 == sha256 for path, sha256 in measured.items())


def _may_be_unpinned(what: str, revision: str | None, level: str | None) -> None:
    if level != "declared":
        raise ValueError(f"`{what}: unknown` is for the level declared only, not {level}")
    if revision != "main":
        raise ValueError(
            f"`{what}: unknown` is for the revision main only: "
            f"record the {what}, whose sha256s the hub lists"
        )


def alpha_record(factor: Alpha) -> AlphaRecord:
    """The record of a globalisation factor, with its provenance."""
    return AlphaRecord(
        value=factor.value,
        provenance=factor.provenance,
        # A user's own value has neither series nor release nor year.
        series=factor.series or "user",
        release=factor.release or "user",
        year=factor.year or 0,
        members=list(factor.members) or [factor.region],
        missing=list(factor.missing),
        fallback=factor.fallback,
    )
