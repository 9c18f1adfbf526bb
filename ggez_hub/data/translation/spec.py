"""Translation augmentation, as the spec writes it."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from ggez_hub.cards.values import LanguageTag, Revision
from ggez_hub.data.scorers.spec import Url
from ggez_hub.frozen_model import FrozenModel


class Seq2Seq(FrozenModel):
    """A sequence-to-sequence model of transformers with NLLB's language codes.

    `codes` replaces codes that are not made from the language by rule.
    """

    kind: Literal["seq2seq"]
    model: str
    revision: Revision = "main"
    codes: dict[LanguageTag, str] = Field(default={})
    device: str = "cpu"
    batch: int = Field(default=16, ge=1)
    new_tokens: int = Field(default=256, ge=1)


class Endpoint(FrozenModel):
    """A chat model behind an OpenAI-compatible endpoint."""

    kind: Literal["endpoint"]
    url: Url
    model: str
    key_variable: str | None = None
    parallel: int = Field(default=8, ge=1, le=256)
    new_tokens: int = Field(default=512, ge=1)


TranslatorSpec: TypeAlias = Annotated[Seq2Seq | Endpoint, Field(discriminator="kind")]


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
