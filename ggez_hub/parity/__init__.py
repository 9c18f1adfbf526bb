"""Global-Regional Parity and the choice of beta (arXiv 2604.11490); no torch, no network.

grp      GRP = alpha * Q_global + (1 - alpha) * Q_regional, and scores above chance
betas    a point of the grid: one beta for each adapter
curve    a card's curve on one split, seen for a region
choice   `select_beta` and its policies: everything that needs a beta calls it
"""

from ggez_hub.parity.grp import grp, normalised

__all__ = ["grp", "normalised"]
