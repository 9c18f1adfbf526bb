"""The filter as its spec writes it: YAML with `kind: filter`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, StringConstraints, Tag, field_validator, model_validator

from ggez_hub.cards.values import LanguageTag, RepoId, Revision
from ggez_hub.data.mapping import KNOWN_MAPPINGS, Column, ColumnMapping
from ggez_hub.data.model_folders import Library
from ggez_hub.data.scorers.spec import EndpointModel, LocalModel, RewardSpec, decisive
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.regions import known_region
from ggez_hub.validation_errors import BRANCH, written_as


class Seq2Seq(LocalModel):
    """A model of transformers with NLLB's language codes; `codes` are those that differ."""

    kind: Literal["seq2seq"]
    codes: dict[LanguageTag, str] = Field(default={})
    batch: int = Field(default=16, ge=1)
    new_tokens: int = Field(default=256, ge=1)


class TranslationEndpoint(EndpointModel):
    """A served chat model."""

    kind: Literal["endpoint"]
    new_tokens: int = Field(default=512, ge=1)


TranslatorSpec: TypeAlias = Annotated[Seq2Seq | TranslationEndpoint, Field(discriminator="kind")]


class TranslationSpec(FrozenModel):
    """Every kept example in `source` becomes one more in each of `targets`.

    `license` is the translator's: its terms go on the card. `length_ratio` bounds the characters of
    the translation over those of the original; `script_share` is the least share of its letters in
    the target's script.
    """

    translator: TranslatorSpec
    license: str
    source: LanguageTag = "en"
    targets: list[LanguageTag] = Field(min_length=1)
    length_ratio: list[float] = Field(default=[0.3, 4.0], min_length=2, max_length=2)
    script_share: float = Field(default=0.5, ge=0, le=1)


Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]{0,60}$")]
Globs: TypeAlias = str | list[str]
# A block with keys, or a word in its place: errors are about the one that was meant.
OR_A_WORD = Discriminator(lambda value: value if value in ("none", "keep") else BRANCH)
PLACES = ("hub", "parquet", "jsonl", "webdataset", "imagefolder")


class HubPlace(FrozenModel):
    """A dataset of the Hub, streamed by `datasets` at a commit."""

    repo: RepoId
    revision: Revision
    config: str | None = None
    split: str = "train"


class SourceSpec(FrozenModel):
    """Where rows come from, and how their columns are read.

    Exactly one of hub, parquet, jsonl, webdataset (globs) and imagefolder (a folder). `pictures` is
    the folder that relative paths of pictures start from. Relative paths start from the spec.
    """

    name: Name
    hub: HubPlace | None = None
    parquet: Globs | None = None
    jsonl: Globs | None = None
    webdataset: Globs | None = None
    imagefolder: str | None = None
    pictures: str | None = None
    mapping: str | None = None
    columns: ColumnMapping | None = None
    license: str

    @field_validator("mapping")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None and name not in KNOWN_MAPPINGS:
            raise ValueError(f"is not a known mapping: {', '.join(KNOWN_MAPPINGS)}")
        return name

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(getattr(self, place) is not None for place in PLACES) != 1:
            raise ValueError(f"needs exactly one of {', '.join(PLACES)}")
        if (self.mapping is None) == (self.columns is None):
            raise ValueError("needs either mapping (a known one) or columns")
        return self

    @property
    def place(self) -> str:
        return next(place for place in PLACES if getattr(self, place) is not None)

    def pictures_folder(self, base: Path) -> Path | None:
        """The folder that paths of pictures start from."""
        name = self.pictures if self.pictures is not None else self.imagefolder
        return base / name if name is not None else None

    @property
    def reads(self) -> ColumnMapping:
        return self.columns if self.columns is not None else KNOWN_MAPPINGS[self.mapping or ""]


class MetadataRule(FrozenModel):
    """The fields say that the row is of the region; the first that names a country decides."""

    evidence: Literal["metadata"]
    fields: list[Literal["country", "location", "path"]] = Field(
        default=["country", "location", "path"], min_length=1
    )


class LanguageRule(FrozenModel):
    """The text is in one of the languages; id, ms and fil count as one group."""

    evidence: Literal["language"]
    languages: list[LanguageTag] = Field(min_length=1)
    confidence: float = Field(default=0.5, ge=0, le=1)


class ScriptRule(FrozenModel):
    """At least `share` of the text's letters are in one of the scripts (ISO 15924)."""

    evidence: Literal["script"]
    scripts: list[
        Annotated[
            str, written_as(r"^[A-Z][a-z]{3}$", "a script by its code of ISO 15924: Thai, Latn")
        ]
    ] = Field(min_length=1)
    share: float = Field(default=0.5, gt=0, le=1)


class GazetteerRule(FrozenModel):
    """The text names a place: the region's countries in CLDR's names, and those of `places`.

    `names_in` are the languages of the names; `languages` are languages whose own names count too
    ("Lao", "Khmer"); `places` is a text file with a name on each line.
    """

    evidence: Literal["gazetteer"]
    names_in: list[LanguageTag] = Field(default=["en"], min_length=1)
    languages: list[LanguageTag] = Field(default=[])
    places: str | None = None


class PictureRule(LocalModel):
    """A CLIP model puts the picture in the region: zero-shot over countries, summed over members.

    `countries` are compared with each other (default: all of CLDR). A torch stage.
    """

    evidence: Literal["picture"]
    library: Library
    threshold: float = Field(default=0.5, gt=0, lt=1)
    prompt: str = "a photo taken in {country}"
    countries: list[str] = Field(default=[])


Rule: TypeAlias = Annotated[
    MetadataRule | LanguageRule | ScriptRule | GazetteerRule | PictureRule,
    Field(discriminator="evidence"),
]


class RegionFilter(FrozenModel):
    """The rules by which a row is regional: any, all, or at least a number of them has to hold."""

    keep: Literal["any", "all"] | int
    rules: list[Rule] = Field(min_length=1)

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if not 1 <= self.needed <= len(self.rules):
            raise ValueError(f"keep has to be from 1 to {len(self.rules)}, or any, or all")
        return self

    @property
    def needed(self) -> int:
        """How many rules have to hold."""
        if isinstance(self.keep, int):
            return self.keep
        return 1 if self.keep == "any" else len(self.rules)


class DuplicatesSpec(FrozenModel):
    """When a row repeats another one.

    by          both: picture and text; a picture with two questions is not a duplicate then
    distance    how many of the 64 bits of the pictures' perceptual hashes may differ
    similarity  the least Jaccard similarity of the texts' character 5-grams (by MinHash)
    """

    by: Literal["both", "picture", "text"] = "both"
    distance: int = Field(default=4, ge=0, le=7)
    similarity: float = Field(default=0.9, gt=0, le=1)


class HeldOutSpec(FrozenModel):
    """Evaluation sets of which nothing may enter, also cut, mirrored, or with words around it.

    similarity  how much of the shorter of two texts has to be in the other, as a share of its
                character 5-grams
    """

    sources: list[SourceSpec] = Field(min_length=1)
    similarity: float = Field(default=0.7, ge=0.5, le=1)


class FilterSpec(FrozenModel):
    """A filter: sources, the rules of the region, and what else is dropped or added."""

    kind: Literal["filter"]
    region: str
    sources: list[SourceSpec] = Field(min_length=1)
    keep_region: RegionFilter
    pictures: Literal["required", "optional", "ignored"] = "required"
    duplicates: Annotated[
        Annotated[DuplicatesSpec, Tag(BRANCH)] | Annotated[Literal["keep"], Tag("keep")], OR_A_WORD
    ] = DuplicatesSpec()
    held_out: HeldOutSpec | None = None
    reward: Annotated[
        Annotated[RewardSpec, Tag(BRANCH)] | Annotated[Literal["none"], Tag("none")], OR_A_WORD
    ] = "none"
    translation: Annotated[
        Annotated[TranslationSpec, Tag(BRANCH)] | Annotated[Literal["none"], Tag("none")], OR_A_WORD
    ] = "none"
    base: Column | None = None
    dominance: float = Field(default=0.7, gt=0, le=1)
    rows_per_shard: int = Field(default=50_000, ge=1)

    @field_validator("region")
    @classmethod
    def _region(cls, asked: str) -> str:
        region = known_region(asked)
        if region is None or not region.members:
            raise ValueError("is not a region whose members are known: see `ggez-hub regions`")
        return region.id

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [s.name for s in (*self.sources, *(self.held_out.sources if self.held_out else ()))]
        if len(set(names)) != len(names):
            raise ValueError("two sources have the same name")
        if silent := [source.name for source in self.sources if not source.reads.examples]:
            raise ValueError(
                f"source {silent[0]} has no examples: only what is held out may have none"
            )
        without = [source.name for source in self.sources if source.reads.picture is None]
        if self.pictures == "required" and without:
            raise ValueError(
                f"source {without[0]} has no column of pictures, and pictures are required: "
                "name it under columns, or write `pictures: optional` or `pictures: ignored`"
            )
        return self

    @property
    def picture_rules(self) -> list[PictureRule]:
        return [rule for rule in self.keep_region.rules if isinstance(rule, PictureRule)]

    @property
    def models(self) -> list[Any]:
        """What is opened: scorer, translator and rules on pictures."""
        return [
            *([self.reward.scorer] if self.reward != "none" else []),
            *([self.translation.translator] if self.translation != "none" else []),
            *self.picture_rules,
        ]

    def decisive(self) -> dict[str, Any]:
        """What decides the result, as JSON values: all but how many answers are asked for at once."""
        written = self.model_dump(mode="json")
        if self.reward != "none":
            written["reward"]["scorer"] = decisive(self.reward.scorer)
        if self.translation != "none":
            written["translation"]["translator"] = decisive(self.translation.translator)
        return written
