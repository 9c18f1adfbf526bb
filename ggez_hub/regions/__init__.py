"""Regions and the globalisation factor alpha of a region.

Pure functions over data that is installed with the package: nothing here uses the network, and
neither torch nor a locale is loaded by importing it.

    >>> from ggez_hub.regions import alpha, fallback_chain, find_region
    >>> [region.id for region in fallback_chain(find_region("Thailand"))]
    ['th', 'southeast-asia']
    >>> round(alpha("southeast-asia", 2023).value, 4)
    0.4337
"""

from __future__ import annotations

from ggez_hub.regions.catalogue import Region, groups
from ggez_hub.regions.fallback import fallback_chain
from ggez_hub.regions.globalisation import Alpha, alpha
from ggez_hub.regions.lookup import (
    LanguageReading,
    UnknownRegion,
    find_region,
    known_region,
    language_reading,
    spelled_out,
)
from ggez_hub.regions.spoken_languages import SpokenLanguage, languages

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
    "known_region",
    "language_reading",
    "languages",
    "spelled_out",
]
