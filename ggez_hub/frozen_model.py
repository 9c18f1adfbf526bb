"""The base of every pydantic model of the package."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """Frozen, closed to unknown keys, strict about types, without NaN and infinity.

    A model that differs says so in its class line: `class Gates(FrozenModel, strict=False)`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
