"""The choice of beta for one seed, from its validation answers alone, by the package's own rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ggez_hub.parity.beta_choice import choose
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.moments import Moments
from ggez_hub.parity.policy import Policy as Rule

Policy: TypeAlias = Literal["parity", "keep"]
POLICIES: tuple[Policy, ...] = ("parity", "keep")


def choose_beta(
    policy: Policy,
    alpha: float,
    betas: Sequence[float],
    others: NDArray[np.float64],
    regional: NDArray[np.float64],
) -> int | None:
    """The place of the beta that the policy takes.

    betas             ascending from 0
    others, regional  (betas, concepts): the chance-corrected score of each concept of the side

    Returns None where `keep` is asked for and the base is at chance outside the region.
    """
    try:
        return choose(_curve(betas, others, regional), alpha, Rule.parse(policy)).index
    except NoCurve:
        return None


def _curve(
    betas: Sequence[float], others: NDArray[np.float64], regional: NDArray[np.float64]
) -> ParityCurve:
    """What is outside the region counts as global; a concept is a picture."""
    count = len(betas)
    outside, inside = (np.cov(side, ddof=1) / side.shape[1] for side in (others, regional))
    covariance = np.zeros((3, count, 3, count))
    covariance[:2, :, :2] = outside[None, :, None]
    covariance[2, :, 2] = inside
    sides = (others, others, regional)
    means = np.array([side.mean(axis=1) for side in sides])
    moments = Moments(
        means=means,
        covariance=covariance,
        scores=means,
        errors=np.array([side.std(axis=1, ddof=1) / np.sqrt(side.shape[1]) for side in sides]),
        floors=np.zeros(3),
        pictures=tuple(side.shape[1] for side in sides),
        changed=np.full((3, count, count), np.nan),
    )
    return ParityCurve(
        betas=tuple(betas),
        moments=moments,
        scale="above chance",
        region="content",
        measured_by="self",
        at_chance=(),
        is_at_chance=False,
        is_joint=True,
    )
