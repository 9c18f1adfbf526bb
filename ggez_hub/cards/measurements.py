"""What a card records beside its curve: baselines, the closed part, joint curves, other seeds."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from ggez_hub.cards.curve import (
    CurveRow,
    MeasuredCurve,
    OthersWord,
    ParityRecord,
    Split,
    SplitParity,
)
from ggez_hub.cards.values import (
    BetaKey,
    FilePath,
    LanguageTag,
    OrWord,
    PointKey,
    PolicyName,
    RegionId,
    RepoId,
    Sha256,
    Text,
    Unknown,
)
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.quantities import counted
from ggez_hub.validation_errors import written_as


class Figure(FrozenModel):
    """A figure in points with its 95 % interval; `undetermined` where the interval is not reliable."""

    value: float
    low: float
    high: float
    undetermined: bool = False


class Baseline(FrozenModel):
    """GRP of one model, and the paired difference in GRP to the merge.

    `predictions` is the sha256 of its answers; a switch has those of the curve.
    """

    grp: Figure
    over_merge: Figure
    predictions: Sha256


class SwitchBaseline(FrozenModel):
    """The adapter on for prompts in `languages`, by what their text was identified as.

    `reason` is why the language is not a cue, where it is not. `misrouted` of the `prompts` went to the
    wrong one of the two.
    """

    languages: list[LanguageTag] = Field(min_length=1)
    cue: bool
    reason: Text = ""
    prompts: int = Field(gt=0)
    misrouted: int = Field(ge=0)
    grp: Figure
    over_merge: Figure


class Baselines(FrozenModel):
    """Baselines on one split, at the card's alpha; they are compared with the merge at `beta`."""

    split: Literal["validation", "test"]
    scale: Text
    beta: BetaKey
    measured_by: Literal["self", "registry"]
    switch: SwitchBaseline | None = None
    average: Baseline | None = None
    joint: Baseline | None = None


# A share of 2 ** 64 pieces: hashes are compared as integers, so that no rounding decides.
PIECES = 1 << 64


class ClosedRule(FrozenModel):
    """Which pictures of the test side are closed: about `share` of them, others in each rotation."""

    share: float = Field(gt=0, lt=1)
    rotation: Annotated[
        str, written_as(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$", "a name: letters, digits, . _ and -")
    ]

    def is_closed(self, picture: str) -> bool:
        """Whether a picture is closed, given as results identify it: all questions about it are, then."""
        digest = hashlib.sha256(f"{self.rotation}|{picture}".encode()).digest()
        return int.from_bytes(digest[:8], "big") < self.share * PIECES


class ClosedPart(ClosedRule):
    """What is published of the answers to the closed pictures: aggregates, and a digest to hold them to.

    pictures  how many different ones were asked about
    sha256    of the file with their predictions, which is published after the rotation
    parity    the sides at every beta over these pictures alone; None where they are too few for errors
    """

    pictures: int = Field(ge=0)
    sha256: Sha256
    parity: SplitParity | None = None


class ComposedAdapter(FrozenModel):
    """An adapter that was measured together with others, by the sha256s of what decides its Delta."""

    repo: RepoId | Unknown
    files: dict[FilePath, Sha256] = Field(min_length=1)


class JointCurve(FrozenModel):
    """Scores on the tasks of a region.

    A key has a beta for each of `adapters`, in their order; the card's own adapter is one of them.
    """

    region: RegionId
    adapters: list[ComposedAdapter] = Field(min_length=2)
    curve: dict[PointKey, dict[Text, CurveRow]] = Field(min_length=1)
    parity: ParityRecord = "independent"
    policy: PolicyName = "parity"

    @property
    def measured(self) -> MeasuredCurve:
        return MeasuredCurve(self.curve, self.parity, self.region)

    @field_validator("curve")
    @classmethod
    def _a_beta_for_each(
        cls, curve: dict[str, dict[str, CurveRow]], info: ValidationInfo
    ) -> dict[str, dict[str, CurveRow]]:
        count = len(info.data.get("adapters", ()))
        for key in curve:
            if count and key.count("+") + 1 != count:
                raise ValueError(
                    f"{key!r} has to hold a beta for each of the {counted(count, 'adapter')}"
                )
        return curve


AboveChance = Annotated[float, Field(le=100)]


class SeedSides(FrozenModel):
    """The sides of parity at each of `betas`, above chance: 0 at chance, 100 at the ceiling.

    `tasks` are those that decide. `q_others` is "none" where no item is outside the region,
    "q_global" where none is inside.
    """

    scale: Text
    tasks: list[Text] = Field(min_length=1)
    betas: list[BetaKey] = Field(min_length=1, max_length=1000)
    q_global: list[AboveChance]
    q_others: OrWord[list[AboveChance], OthersWord]
    q_regional: list[AboveChance]

    @property
    def others(self) -> list[float] | None:
        """The scores outside the region; None where no item is there."""
        if isinstance(self.q_others, str):
            return self.q_global if self.q_others == "q_global" else None
        return self.q_others

    @model_validator(mode="after")
    def _a_score_for_each(self) -> SeedSides:
        for scores in (self.q_global, self.others, self.q_regional):
            if scores is not None and len(scores) != len(self.betas):
                raise ValueError(
                    f"a side has {counted(len(scores), 'score')} for {counted(len(self.betas), 'beta')}"
                )
        return self


class SeedRun(FrozenModel):
    """One other seed; `models` are digests by beta, `predictions` the sha256 of its answers."""

    seed: int
    models: dict[BetaKey, Sha256] | Unknown
    predictions: Sha256 | Unknown
    sides: dict[Split, SeedSides] = Field(min_length=1)
