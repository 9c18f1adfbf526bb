"""The joint curve of a composition: scores of base + sum(beta * Delta) of several adapters."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from ggez_hub.cards.curve import CurveRow, MeasuredCurve, ParityRecord
from ggez_hub.cards.values import (
    FilePath,
    PointKey,
    PolicyName,
    RegionId,
    RepoId,
    Sha256,
    Text,
    Unknown,
)
from ggez_hub.frozen_model import FrozenModel


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
        """The curve with what its errors share."""
        return MeasuredCurve(self.curve, self.parity, self.region)

    @field_validator("curve")
    @classmethod
    def _a_beta_for_each(
        cls, curve: dict[str, dict[str, CurveRow]], info: ValidationInfo
    ) -> dict[str, dict[str, CurveRow]]:
        count = len(info.data.get("adapters", ()))
        for key in curve:
            if count and key.count("+") + 1 != count:
                raise ValueError(f"{key!r} has to hold a beta for each of the {count} adapters")
        return curve
