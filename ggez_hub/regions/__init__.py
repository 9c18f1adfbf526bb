"""Regions, the globalisation factor alpha of a region, and Global-Regional Parity.

Pure functions over data that is installed with the package: nothing here uses the network, and
neither torch nor a locale is loaded by importing it.

    >>> from ggez_hub.regions import alpha, fallback_chain, find_region, grp
    >>> [region.id for region in fallback_chain(find_region("Thailand"))]
    ['th', 'southeast-asia']
    >>> round(grp(64.4, 63.8, alpha("southeast-asia").value), 1)
    64.1
"""

from __future__ import annotations

from ggez_hub.regions.catalogue import Region, groups
from ggez_hub.regions.chain import fallback_chain
from ggez_hub.regions.confusion import LanguageReading, language_reading, spelled_out
from ggez_hub.regions.globalisation import Alpha, alpha
from ggez_hub.regions.lookup import UnknownRegion, find_region, known_region
from ggez_hub.regions.parity import grp, normalised
from ggez_hub.regions.spoken import SpokenLanguage, languages

__all__ = [
    "Alpha",
    "LanguageReading",
    "Region",
    "SpokenLanguage",
    "UnknownRegion",
    "alpha",
    "fallback_chain",
    "find_region",
    "groups",
    "grp",
    "known_region",
    "language_reading",
    "languages",
    "normalised",
    "spelled_out",
]
