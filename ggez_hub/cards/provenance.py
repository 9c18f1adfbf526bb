"""How an adapter was made: its data, their rights, and its training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ggez_hub.cards.values import OrNone, OrUnknown, RepoId, Revision, Sha256, Text, Unknown
from ggez_hub.frozen_model import FrozenModel


class TrainedOn(FrozenModel):
    """The checkpoint of the training run where it was not the base itself."""

    repo: RepoId
    revision: Revision | Unknown
    note: Text = ""


class DataSource(FrozenModel):
    """A data source, at the revision or version that was used."""

    repo: Text
    revision: Text
    license: Text


class Reward(FrozenModel):
    """The reward scorer of the quality filter and its threshold tau (paper, section on filtering)."""

    scorer: Text
    threshold: float


class Counts(FrozenModel):
    """Rows seen, kept, and dropped by reason."""

    seen: int = Field(ge=0)
    kept: int = Field(ge=0)
    dropped: dict[Text, int] = Field({})


class DataFilter(FrozenModel):
    """How the training set was selected; of the sets in `held_out` nothing entered it."""

    sources: OrUnknown[list[DataSource]]
    rules: OrUnknown[list[Text]]
    reward: OrNone[Reward]
    translator: Text
    counts: OrUnknown[Counts]
    spec_digest: Sha256 | Unknown
    held_out: list[DataSource] = Field([])


class DataRights(FrozenModel):
    """Who made the pictures and on what basis they are used."""

    pictures: Text
    licence_basis: Text
    recognisable_people: Literal["yes", "no", "unknown"]
    restricted_content: Literal["yes", "no", "unknown"]
    contact: Text
    takedown: Text


class Training(FrozenModel):
    """How the adapter was trained."""

    method: Text
    hyper_parameters: OrUnknown[dict[Text, float | int | Text | bool | list[Text]]]
    seed: OrUnknown[int]
    versions: OrUnknown[dict[Text, Text]]
