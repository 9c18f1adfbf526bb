"""Languages and countries as corpora write them.

Codes of languages and of countries are never mixed: `vi` is Vietnamese in a language field, and the
U.S. Virgin Islands in a country field.
"""

from __future__ import annotations

import re
from functools import lru_cache

import langcodes

from ggez_hub.regions import known_region

CACHE = 1 << 16
# A longer field is a text, not a name.
LONGEST = 200
PAIR = re.compile(r"""\((['"])((?:(?!\1).)*)\1, *(['"])((?:(?!\3).)*)\3\)""")


@lru_cache(CACHE)
def language_tag(text: str) -> str | None:
    """The BCP 47 language of `text`, or None: a tag, a name, "Thai (tha)", a (language, country).

    Tags are taken to their language and script; `nan` is Min Nan, not a missing number.
    """
    pair = _pair(text)
    name = pair[0] if pair else text.strip()
    if match := re.fullmatch(r"(.*)\(([a-z]{2,3})\)", name):
        name = match.group(2)
    if match := re.fullmatch(r"([A-Za-z]{2,3})(?:[-_]([A-Za-z]{4})(?![A-Za-z]))?(?:[-_].*)?", name):
        tag = "-".join(part for part in match.groups() if part)
        found = langcodes.Language.get(tag)
        return found.to_tag() if found.is_valid() else None
    try:
        found = langcodes.find(name)
    except LookupError:
        return None
    return str(found.to_tag())


@lru_cache(CACHE)
def country_code(text: str) -> str | None:
    """The ISO 3166-1 code of the country that `text` names, in lower case, or None.

    A code, a name in any language of CLDR, a (language, country), or a place with its country as
    the last part: "Hoi An, Vietnam".
    """
    pair = _pair(text)
    name = pair[1] if pair else text
    for part in (name, *reversed(name.split(","))):
        key = part.replace("_", " ").strip()
        if not key or len(key) > LONGEST:
            continue
        region = known_region(key)
        if region is not None and region.is_country:
            return region.id
    return None


@lru_cache(CACHE)
def country_in_path(path: str) -> str | None:
    """The country that is a folder of `path`, or None; codes do not count: `la` may be anything."""
    for segment in path.replace("\\", "/").split("/")[:-1]:
        if len(segment) > 3 and (found := country_code(segment)):
            return found
    return None


def _pair(text: str) -> tuple[str, str] | None:
    """The two strings of "('Filipino', 'Philippines')"."""
    match = PAIR.fullmatch(text) if len(text) <= LONGEST else None
    return (match[2], match[4]) if match else None
