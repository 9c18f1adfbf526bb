"""What a rater declares: a country and languages, offered by their names in the rater's language."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from babel import Locale

from ggez_hub.regions.catalogue import catalogue


@cache
def countries(language: str) -> dict[str, str]:
    """Upper-case ISO 3166-1 alpha-2 code -> name, by name."""
    found = ((region, region.name_in(language)) for region in catalogue().values())
    return _by_name((r.id.upper(), name or r.name) for r, name in found if r.is_country)


@cache
def languages(language: str) -> dict[str, str]:
    """The languages that CLDR names, without those of a region or script: tag -> name, by name."""
    names = Locale.parse(language).languages.items()
    return _by_name((tag, name) for tag, name in names if "_" not in tag and tag != "und")


def _by_name(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    return dict(sorted(pairs, key=lambda pair: pair[1].casefold()))
