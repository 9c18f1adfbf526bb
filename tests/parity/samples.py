"""Moments of answers that were made up, as a suite would give them."""

from __future__ import annotations

import numpy as np

from ggez_hub.parity.moments import Moments, clustered_moments, count_changes


def moments_of(
    world: np.ndarray, region: np.ndarray, floors: tuple[float, float] = (0.0, 0.0)
) -> Moments:
    """Moments of values (C, B) in [0, 1], one question a picture and side; others are the world."""
    values = np.stack([world, world, region], axis=1).astype(float)
    floor = np.array([floors[0], floors[0], floors[1]])[:, None]
    pictures = len(values)
    scores = 100 * values.mean(axis=0)
    corrected = 100 * (values - floor) / (1 - floor)
    means = corrected.mean(axis=0)
    errors = 100 * values.std(axis=0, ddof=1) / np.sqrt(pictures)
    return clustered_moments(
        (corrected - means) / pictures,
        means,
        scores,
        errors,
        100 * floor[:, 0],
        (pictures, pictures, pictures),
        count_changes(corrected / pictures),
    )
