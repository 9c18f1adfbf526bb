"""Where to look next when a region has nothing of its own."""

from __future__ import annotations

from ggez_hub.regions.catalogue import SOUTHEAST_ASIA, WORLD, Region, catalogue, groups
from ggez_hub.regions.lookup import find_region


def fallback_chain(region: Region | str, wide: bool = False) -> tuple[Region, ...]:
    """`region`, then the groups that enclose it, the nearest first.

    Without `wide` only `southeast-asia`, the group of the paper, follows its countries. With it
    every M49 group around the region follows, up to `world`. The World Bank regions, whose members
    are unknown here, enclose nothing and are enclosed only by `world`. Raises UnknownRegion.
    """
    if isinstance(region, str):
        region = find_region(region)
    if not region.members or region.id == WORLD:
        around = []
    else:
        around = [group for group in groups() if set(region.members) < set(group.members)]
        around.sort(key=lambda group: (group.id != SOUTHEAST_ASIA, len(group.members), group.id))
    if not wide:
        around = [group for group in around if group.id == SOUTHEAST_ASIA]
    elif region.id != WORLD and catalogue()[WORLD] not in around:
        around.append(catalogue()[WORLD])
    return (region, *around)
