"""A study as it is pinned: STUDY/study.json, and the outputs that people judge beside it.

    STUDY/study.json            this schema as canonical JSON; its sha256 is the study's digest
    STUDY/outputs/<sha256>.png  what a model drew, by its bytes; .txt is what it answered (UTF-8)
    STUDY/raters.db             raters and judgements (see `store`); never published
    STUDY/ratings.parquet       what scores follow from (see `ratings`)

`item_side` says what an item is about (the world or the region), `rater_side` where its raters are
from: human Global-Regional Parity is of the raters' sides (arXiv 2604.11490, section 4).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, ValidationError, model_validator

from ggez_hub.cards.values import LanguageTag
from ggez_hub.digests import canonical_json
from ggez_hub.errors import GgezError
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.humans.design import Design, Texts
from ggez_hub.text_files import read_text
from ggez_hub.validation_errors import listed

Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Identifier: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Side: TypeAlias = Literal["global", "regional"]
SIDES: tuple[Side, ...] = ("global", "regional")
Role: TypeAlias = Literal["base", "merged", "unmerged", "other"]
STUDY_FILE, OUTPUTS = "study.json", "outputs"
# A study may be a stranger's.
MAX_BYTES, MAX_ITEMS, MAX_MODELS, MAX_PROMPT = 64 << 20, 20_000, 26, 8_000
Prompt: TypeAlias = Annotated[str, Field(min_length=1, max_length=MAX_PROMPT)]


class StudyModel(FrozenModel):
    """A model of the study: what it is called in results, and the sha256 of what it is."""

    name: Identifier
    # merged and unmerged have one `base` in the study, to which they are compared.
    role: Role
    # Of the weights (see ggez_hub.evaluation), or of the file that its outputs came from.
    digest: Sha256
    beta: float | None = None


class Output(FrozenModel):
    """An output by the sha256 of its bytes."""

    sha256: Sha256
    media: Literal["picture", "text"]

    @property
    def file(self) -> str:
        return f"{OUTPUTS}/{self.sha256}.{'png' if self.media == 'picture' else 'txt'}"


class StudyItem(FrozenModel):
    """What the models were asked, and what each of them gave.

    `gold` is what a careful rater answers: model -> the values that are right, of the design's first
    measure. Gold items never count in scores.
    """

    id: Annotated[str, Field(min_length=1, max_length=200)]
    item_side: Side
    category: Annotated[str, Field(max_length=200)] = ""
    # Of the prompt, and of the outputs where they are text: only raters of that language get these.
    language: LanguageTag
    prompt: Prompt
    # The prompt in other languages, for raters of pictures.
    translations: dict[LanguageTag, Prompt] = Field(default_factory=dict)
    # The picture that was asked about.
    picture: Output | None = None
    outputs: dict[str, Output]
    gold: dict[str, tuple[float, ...]] | None = None

    @property
    def is_written(self) -> bool:
        """Whether outputs are text, which only readers of its language can judge."""
        return any(output.media == "text" for output in self.outputs.values())

    def is_for(self, language: str) -> bool:
        """Whether raters who work in this language can judge it."""
        return self.language == language or not self.is_written

    def prompt_in(self, language: str) -> str:
        """The prompt for a rater of this language, as it was asked if there is no translation."""
        return self.translations.get(language, self.prompt)


class Consent(FrozenModel):
    """What raters agree to. A new version is asked for again."""

    version: Annotated[str, Field(min_length=1, max_length=32)]
    text: Texts


class Study(FrozenModel):
    """A study, complete: with the seed everything else (who judges what, in which order) follows."""

    schema_version: Literal[1] = 1
    kind: Literal["pinned-study"] = "pinned-study"
    name: Identifier
    title: Texts
    region: str
    # Where raters are from, and the languages (BCP 47) in which those of that side work.
    raters: Annotated[
        dict[Side, Annotated[tuple[LanguageTag, ...], Field(min_length=1)]], Field(min_length=1)
    ]
    design: Design
    models: Annotated[tuple[StudyModel, ...], Field(min_length=1, max_length=MAX_MODELS)]
    items: Annotated[tuple[StudyItem, ...], Field(min_length=1, max_length=MAX_ITEMS)]
    instructions: Texts
    consent: Consent
    # Of each side and language: how many raters judge what is shown at once.
    raters_per_item: Annotated[int, Field(ge=1, le=100)]
    # Shares of a rater's own items that come twice, and that are gold.
    repeats: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    gold: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    # How many different things one rater is to judge, without repeats and gold.
    items_per_rater: Annotated[int, Field(ge=1, le=10_000)] = 50
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @model_validator(mode="after")
    def _complete(self) -> Study:
        names, outputs = {model.name for model in self.models}, self.design.outputs
        if len(names) != len(self.models) or len(self.by_item) != len(self.items):
            raise ValueError("two models have one name, or two items one id")
        roles = [model.role for model in self.models]
        if roles.count("base") > 1 or ("base" not in roles and {"merged", "unmerged"} & {*roles}):
            raise ValueError("merged and unmerged models are compared to one model, the base")
        if any(len(set(tags)) != len(tags) for tags in self.raters.values()):
            raise ValueError("raters name a language twice")
        if outputs > len(names):
            raise ValueError(f"the design shows {outputs} outputs at once: needs as many models")
        for item in self.items:
            if not names.issuperset(item.outputs):
                raise ValueError(f"the item {item.id} has outputs of models that are not there")
            if item.gold is None and len(item.outputs) != len(names):
                raise ValueError(f"the item {item.id} needs an output of each model")
            if item.gold is not None and (
                len(item.outputs) < outputs or not item.outputs.keys() >= item.gold.keys()
            ):
                raise ValueError(
                    f"the gold item {item.id} needs {outputs} outputs, gold among them"
                )
            if item.is_written and item.language not in self.languages:
                raise ValueError(f"no rater reads {item.language}, in which the item {item.id} is")
        return self

    @cached_property
    def digest(self) -> str:
        """The sha256 of study.json."""
        return hashlib.sha256(self.canonical()).hexdigest()

    def canonical(self) -> bytes:
        return canonical_json(self.model_dump(mode="json")).encode()

    @property
    def rater_sides(self) -> tuple[Side, ...]:
        return tuple(side for side in SIDES if side in self.raters)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages in which raters of any side work."""
        return tuple(dict.fromkeys(tag for side in self.rater_sides for tag in self.raters[side]))

    @cached_property
    def judged(self) -> Mapping[str, tuple[str, ...]]:
        """Language of raters -> the items that they judge, and that scores are of: not gold ones."""
        return {
            language: tuple(i.id for i in self.items if i.gold is None and i.is_for(language))
            for language in self.languages
        }

    @cached_property
    def by_name(self) -> Mapping[str, StudyModel]:
        return {model.name: model for model in self.models}

    @cached_property
    def by_item(self) -> Mapping[str, StudyItem]:
        return {item.id: item for item in self.items}


def read_study(folder: Path) -> Study:
    """The study of a folder; raises GgezError if it is not one."""
    path = folder / STUDY_FILE
    try:
        return Study.model_validate_json(read_text(path, MAX_BYTES), strict=False)
    except FileNotFoundError:
        raise GgezError(
            f"{folder} is not a study: it has no {STUDY_FILE}",
            "ggez-hub humans new STUDY.yaml -o DIR makes one.",
        ) from None
    except ValidationError as error:
        raise GgezError(f"{path}:\n{listed(error)}", "Make the study again.") from error
    except (OSError, ValueError) as error:
        raise GgezError(f"{path} cannot be read: {error}") from error


def read_output(folder: Path, output: Output) -> bytes:
    """The bytes of an output; raises GgezError where they are not those that the study pins."""
    try:
        content = (folder / output.file).read_bytes()
    except OSError as error:
        raise GgezError(f"{folder / output.file} cannot be read: {error}") from error
    if hashlib.sha256(content).hexdigest() != output.sha256:
        raise GgezError(f"{folder / output.file} was changed", "Make the study again.")
    return content
