"""A training run as YAML with `kind: train`: the keys that all families share.

A family adds keys of its own. Keys that are left out have the family's defaults for the method:
those of `method: full` are the paper's settings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, StringConstraints, field_validator, model_validator

from ggez_hub.cards.provenance import DataRights
from ggez_hub.cards.values import Adapts, Family, LanguageTag, Text
from ggez_hub.data.spec import SourceSpec
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.validation_errors import written_as

Place: TypeAlias = Annotated[str, StringConstraints(min_length=1)]


def _number(value: object) -> object:
    # YAML 1.1 wants a dot in 1.0e-4, and reads 1e-4 as text.
    return float(value) if isinstance(value, str) and EXPONENT.fullmatch(value) else value


EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")
Number: TypeAlias = Annotated[float, BeforeValidator(_number)]
Positive: TypeAlias = Annotated[Number, Field(gt=0)]
Share: TypeAlias = Annotated[Number, Field(ge=0, lt=1)]
Count: TypeAlias = Annotated[int, Field(ge=1)]


class FamilyKey(FrozenModel, extra="ignore"):
    """The key of a training recipe that decides how the others are read."""

    kind: Literal["train"]
    family: Family


class Data(FrozenModel):
    """Examples: the folder of a `ggez-hub filter`, or sources as in the spec of one, unfiltered.

    Relative paths start from the recipe.
    """

    filtered: Place | None = None
    sources: list[SourceSpec] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.filtered is None) == (self.sources is None):
            raise ValueError("needs either filtered (a folder of `ggez-hub filter`) or sources")
        return self


class Validation(Data):
    """Examples that are not trained on: data of their own, or a share of those of the recipe.

    Of a share, all examples of one row of a source go together.
    """

    share: Annotated[Number, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.filtered, self.sources, self.share)) != 1:
            raise ValueError("needs one of filtered, sources and share")
        return self


class Lora(FrozenModel):
    """The adapter, in PEFT's words. Its scale is alpha / r, with rslora alpha / sqrt(r).

    `target_modules` are endings of module names, or one regular expression of full names; the
    default is the family's choice.
    """

    r: Count = 16
    alpha: Positive = 32
    dropout: Share = 0.0
    rslora: bool = False
    target_modules: str | Annotated[list[Place], Field(min_length=1)] | None = None


class Optimiser(FrozenModel):
    """AdamW, with a linear warm-up (a share of the steps) and a linear decay to zero.

    Gains and biases are not decayed. `max_grad_norm` cuts the norm of the gradient.
    """

    learning_rate: Positive
    weight_decay: Annotated[Number, Field(ge=0)] = 0.0
    betas: Annotated[tuple[Share, Share], Field(strict=False)] = (0.9, 0.999)
    epsilon: Positive = 1e-8
    warmup: Share = 0.0
    max_grad_norm: Positive | Literal["none"] = 1.0


class EarlyStop(FrozenModel):
    """Stop after `patience` validations without a lower loss; the best weights are kept."""

    patience: Count


@dataclass(frozen=True)
class Stage:
    """A part of a run with data of its own; `key` is that of the data in the recipe."""

    name: str
    key: str
    data: Data
    epochs: float
    max_steps: int | None
    optimiser: Optimiser


class TrainRecipe(FrozenModel):
    """A training run. Relative paths start from the recipe.

    base              a folder, or org/name@revision
    base_repo         org/name@revision of a base that is a folder: the card names it
    variant           which of several sets of weights in the base: fp16 beside full ones
    batch_size        examples of a step, over all processes
    micro_batch       of which a process computes this many at once; gradients accumulate
    early_stop        needs a validation set; so does validate_every
    checkpoint_every  steps between two states from which a killed run goes on
    """

    DEFAULTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    kind: Literal["train"]
    title: Text | None = None
    family: str
    region: str
    base: Place
    base_repo: (
        Annotated[
            str,
            written_as(r"^[\w.-]+/[\w.-]+@[\w./-]+$", "a repository at a revision: org/name@main"),
        ]
        | None
    ) = None
    variant: Annotated[str, written_as(r"^\w+$", "the name of a variant: fp16")] | None = None
    method: Literal["lora", "full"]
    lora: Lora | None = None
    data: Data
    validation: Validation | None = None
    optimiser: Optimiser
    batch_size: Count
    micro_batch: Count = 1
    epochs: Positive = 1.0
    max_steps: Count | None = None
    precision: Literal["bf16", "fp32"] = "bf16"
    gradient_checkpointing: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    checkpoint_every: Count = 200
    validate_every: Count = 200
    early_stop: EarlyStop | None = None
    workers: Annotated[int, Field(ge=0, le=64)] = 0
    trackio: Place | None = None

    license: Text | None = None
    languages: list[LanguageTag] | None = None
    adapts: Annotated[list[Adapts], Field(min_length=1)] | None = None
    summary: dict[LanguageTag, Text] | None = None
    data_rights: DataRights | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, values: Any) -> Any:
        """Fill in the family's defaults for the method; nested keys one by one.

        Without a method those of any: that the method is missing is the only thing to report.
        """
        if not (isinstance(values, dict) and cls.DEFAULTS):
            return values
        method = values.get("method")
        known = method if isinstance(method, str) and method in cls.DEFAULTS else "lora"
        filled = _filled(values, cls.DEFAULTS.get(known, {}))
        most = filled.get("batch_size")
        if "micro_batch" in filled and "micro_batch" not in values and isinstance(most, int):
            # The default must not exceed a small batch that the recipe asks for.
            filled["micro_batch"] = min(filled["micro_batch"], most)
        return filled

    @field_validator("region")
    @classmethod
    def _region(cls, asked: str) -> str:
        from ggez_hub.regions import known_region

        region = known_region(asked)
        if region is None:
            raise ValueError("is not a region: see `ggez-hub regions`")
        return region.id

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.method == "full" and self.lora is not None:
            raise ValueError("method full has no lora: remove one of them")
        if self.early_stop is not None and self.validation is None:
            raise ValueError("early_stop needs a validation set: add validation")
        if self.micro_batch > self.batch_size:
            raise ValueError("micro_batch is part of batch_size, and cannot be larger")
        return self

    @property
    def adapter(self) -> Lora:
        """The settings of the adapter, with defaults where the recipe has none."""
        return self.lora or Lora()

    @property
    def stages(self) -> list[Stage]:
        """The stages of the run in order."""
        return [Stage("tune", "data", self.data, self.epochs, self.max_steps, self.optimiser)]

    def decisive(self) -> dict[str, Any]:
        """What decides the weights: neither descriptions of them nor what only decides speed."""
        return self.model_dump(mode="json", exclude=DESCRIPTIVE_KEYS | SPEED_KEYS)


DESCRIPTIVE_KEYS = {
    "title", "license", "languages", "adapts", "summary", "data_rights", "base_repo",
}  # fmt: skip
SPEED_KEYS = {"workers", "trackio", "checkpoint_every"}


def _filled(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    filled = dict(values)
    for key, default in defaults.items():
        if key not in values:
            filled[key] = default
        elif isinstance(default, Mapping) and isinstance(values[key], Mapping):
            filled[key] = _filled(values[key], default)
    return filled
