"""The adapter card's `ggez:` block: one typed schema for validator, JSON Schema and docs.

A field that is not known carries the literal `unknown`; a field that is absent is an error, so that
nobody mistakes silence for an answer. Unknown keys are refused. Digests are sha256 in hexadecimal;
scores are on 0-100; sizes are bytes.

A card may speak for an adapter that nobody has pinned yet: of level `declared`, at the revision
`main`, with `files` and the base's `weights` `unknown`. It can be found and listed; what it weighs
and which bytes it means is known only once its hub has been asked.
"""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationInfo,
    field_validator,
)

from ggez_hub.cards.safety import plain_letters, plain_text

SCHEMA_VERSION = 1

T = TypeVar("T")
Unknown: TypeAlias = Literal["unknown"]

# Told apart by what stands there, so that an error speaks of that alone. The tags show up in the
# paths of errors (ALTERNATIVES), though not in cards.
ALTERNATIVES = frozenset({"(value)", "(word)"})


def _alternative(value: object) -> str:
    return "(word)" if isinstance(value, str) else "(value)"


OrUnknown: TypeAlias = Annotated[
    Annotated[T, Tag("(value)")] | Annotated[Unknown, Tag("(word)")], Discriminator(_alternative)
]
OrNone: TypeAlias = Annotated[
    Annotated[T, Tag("(value)")] | Annotated[Literal["none", "unknown"], Tag("(word)")],
    Discriminator(_alternative),
]
OrBase: TypeAlias = Annotated[
    Annotated[T, Tag("(value)")] | Annotated[Literal["base", "unknown"], Tag("(word)")],
    Discriminator(_alternative),
]

Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}"
RepoId: TypeAlias = Annotated[
    str, StringConstraints(pattern=rf"^{NAME}/{NAME}$"), BeforeValidator(plain_letters)
]
# The name of an account or an organisation on the Hub, or `unknown`.
Account: TypeAlias = Annotated[
    str, StringConstraints(pattern=rf"^{NAME}$"), BeforeValidator(plain_letters)
]
# Shown to people as it is: in tables, result cards and web pages.
Text: TypeAlias = Annotated[str, AfterValidator(plain_text)]
Revision: TypeAlias = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{40}|main)$")]
RegionId: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^([a-z]{2}|m49-[0-9]{3}|[a-z-]{3,40})$")
]
LanguageTag: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
]
# What an adapter changes: what pictures show or what is recognised in them; the language that is
# understood; the language of the answers.
Adapts: TypeAlias = Literal["content", "prompt_language", "answer_language"]
Score: TypeAlias = Annotated[float, Field(ge=0, le=100)]


def _safe_path(value: str) -> str:
    parts = value.split("/")
    if any(p in {"", ".", ".."} for p in parts) or re.search(r"[\\\x00-\x1f:]", value):
        raise ValueError("must be a relative path with forward slashes and no '..'")
    return plain_text(value)


FilePath: TypeAlias = Annotated[str, AfterValidator(_safe_path)]


def _beta_key(value: str) -> str:
    if not re.fullmatch(r"\d+(\.\d+)?", value) or f"{float(value):g}" != value:
        raise ValueError('must be a beta in its shortest form, in quotes: "0", "0.25", "1"')
    return value


BetaKey: TypeAlias = Annotated[str, AfterValidator(_beta_key)]

Level: TypeAlias = Literal["declared", "measured", "reproducible"]
Family: TypeAlias = Literal["embedding", "diffusion", "vlm"]
Kind: TypeAlias = Literal["lora", "task_vector", "finetune", "merged"]
State: TypeAlias = Literal["active", "deprecated", "yanked"]


def _date(value: object) -> object:
    # YAML reads a date without quotes as one.
    text = value.isoformat() if isinstance(value, datetime.date) else value
    if isinstance(text, str) and len(text) == len("2026-01-31"):
        datetime.date.fromisoformat(text)
    return text


Date: TypeAlias = Annotated[
    str, BeforeValidator(_date), StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
]


class Block(BaseModel):
    """Base of all parts of the block: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class BaseModelRef(Block):
    """The base that the adapter fits, identified by the sha256 of its weight files.

    `shapes` is the digest of its tensors' names, dtypes and shapes.
    """

    repo: RepoId
    revision: Revision
    weights: OrUnknown[Annotated[dict[FilePath, Sha256], Field(min_length=1)]]
    shapes: Sha256 | Unknown = "unknown"


class TrainedOn(Block):
    """The checkpoint of the training run where it was not the base itself."""

    repo: RepoId
    revision: Revision | Unknown
    note: Text = ""


class Source(Block):
    """A data source, at the revision or version that was used."""

    repo: Text
    revision: Text
    license: Text


class Reward(Block):
    """The reward scorer of the quality filter and its threshold tau (paper, section on filtering)."""

    scorer: Text
    threshold: float


class Counts(Block):
    """Rows seen, kept, and dropped by reason."""

    seen: int = Field(ge=0)
    kept: int = Field(ge=0)
    dropped: dict[Text, int] = {}


class DataFilter(Block):
    """How the training set was selected."""

    sources: OrUnknown[list[Source]]
    rules: OrUnknown[list[Text]]
    reward: OrNone[Reward]
    translator: Text
    counts: OrUnknown[Counts]
    spec_digest: Sha256 | Unknown


class DataRights(Block):
    """Who made the pictures and on what basis they are used."""

    pictures: Text
    licence_basis: Text
    recognisable_people: Literal["yes", "no", "unknown"]
    restricted_content: Literal["yes", "no", "unknown"]
    contact: Text
    takedown: Text


class AlphaRecord(Block):
    """The globalisation factor of the card's region with its provenance (KOF; derived, not asked)."""

    value: float = Field(ge=0, le=1)
    provenance: Literal["kof", "user"]
    series: Text
    release: Text
    year: int
    members: list[Text]
    missing: list[Text]
    fallback: Text | None = None


class Training(Block):
    """How the adapter was trained."""

    method: Text
    hyper_parameters: OrUnknown[dict[Text, float | int | Text | bool | list[Text]]]
    seed: OrUnknown[int]
    versions: OrUnknown[dict[Text, Text]]


class CountryScore(Block):
    """A score on the items of one country or group."""

    score: Score
    n: int = Field(gt=0)
    se: float = Field(ge=0)


class CurveRow(Block):
    """A score of base + beta * Delta on one task; `floor` is the score of guessing.

    `judge` is the model or the people that decided, where the metric alone does not: another judge
    is another scale.
    """

    score: Score
    n: int = Field(gt=0)
    se: float = Field(ge=0)
    floor: Score
    ceiling: Score = 100.0
    metric: Text
    judge: Text = "none"
    split: Literal["validation", "test"]
    side: Literal["global", "others", "regional"]
    by_country: dict[RegionId, CountryScore] = {}
    measured_by: Literal["self", "registry"]
    evaluator: Text
    model: Sha256
    task: Sha256
    predictions: Sha256 | Unknown

    @property
    def scale(self) -> str:
        """What may be averaged and ranked together: one metric, of one judge."""
        return self.metric if self.judge == "none" else f"{self.metric} by {self.judge}"


Curve: TypeAlias = dict[BetaKey, dict[Text, CurveRow]]


class FileRecord(Block):
    """Size and digest of a file of the adapter."""

    size: int = Field(ge=0)
    sha256: Sha256


class Status(Block):
    """Whether the adapter may be resolved."""

    state: State
    superseded_by: RepoId | None = None
    reason: Text = ""


class Location(Block):
    """Where an accepted adapter lies, since when the registry has it, and whether it is the one that
    the registry recommends for its region. Only the registry's copy
    of a card has it: a repository cannot contain the id of the commit that contains it."""

    repo: RepoId
    revision: Revision
    registered: Date | None = None
    recommended: bool = False


class AdapterCard(Block):
    """The `ggez:` block of an adapter's README.md."""

    schema_version: Literal[1]
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
    training: OrUnknown[Training]
    curve: OrUnknown[Curve]
    files: OrUnknown[Annotated[dict[FilePath, FileRecord], Field(min_length=1)]]
    status: Status
    published_by: Account
    registered_by: Account
    summary: dict[LanguageTag, Text] = Field(min_length=1)

    @property
    def pinned(self) -> bool:
        """Whether the card says which bytes it speaks for, the adapter's and the base's."""
        return self.files != "unknown" and self.base.weights != "unknown"

    @field_validator("base")
    @classmethod
    def _known_weights(cls, base: BaseModelRef, info: ValidationInfo) -> BaseModelRef:
        if base.weights == "unknown":
            _may_be_unpinned("weights", base.revision, info.data.get("level"))
        return base

    @field_validator("files")
    @classmethod
    def _known_files(
        cls, files: dict[str, FileRecord] | Unknown, info: ValidationInfo
    ) -> dict[str, FileRecord] | Unknown:
        if files == "unknown":
            adapter = info.data.get("adapter")
            revision = adapter.revision if adapter else None
            _may_be_unpinned("files", revision, info.data.get("level"))
        return files


def _may_be_unpinned(what: str, revision: str | None, level: str | None) -> None:
    """What is measured, or at a commit, is a matter of certain bytes."""
    if level != "declared":
        raise ValueError(f"`{what}: unknown` is for the level declared only, not {level}")
    if revision != "main":
        raise ValueError(
            f"`{what}: unknown` is for the revision main only: "
            f"record the {what}, whose sha256s the hub lists"
        )
