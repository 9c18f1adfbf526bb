"""Names of territories and languages in CLDR's locales; locale data is loaded only when asked for."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any


def _table(kind: str, language: str) -> dict[str, str]:
    from babel import Locale, localedata

    identifier = language.replace("-", "_")
    if not localedata.exists(identifier):
        return {}
    table: dict[str, str] = getattr(Locale.parse(identifier), kind)
    return table


def territory_name(code: str, language: str = "en") -> str | None:
    """The name of an upper-case ISO 3166-1 or an M49 code, or None where the locale has none."""
    return _table("territories", language).get(code)


def language_name(tag: str) -> str | None:
    """The English name of a BCP 47 tag ("Chinese (Traditional)" of zh-Hant), or None."""
    language, _, script = tag.partition("-")
    name = _table("languages", "en").get(language)
    if name is None or not script:
        return name
    return f"{name} ({_table('scripts', 'en').get(script, script)})"


def registered_name(tag: str) -> str:
    """The English name of any registered BCP 47 tag; slower, for what CLDR's English lacks."""
    import langcodes

    name: str = langcodes.Language.get(tag).display_name("en")
    return name


def current_language(code: str) -> str:
    """The language subtag that CLDR uses today for `code` (fil for tl, he for iw)."""
    from babel.core import get_global

    aliases: dict[str, str] = dict(get_global("language_aliases"))
    return aliases.get(code, code).partition("_")[0]


@cache
def _names_in_any_language() -> Any:
    """A prefix tree from territory names in all of CLDR's languages to territory codes."""
    from language_data.names import load_trie
    from language_data.util import data_filename

    return load_trie(data_filename("trie/und/name_to_territory.marisa"))


def code_of_name(name: str) -> str | None:
    """The territory code (ISO 3166-1 or M49) that is called `name` in some language of CLDR.

    Only whole names match; case, hyphens, commas and parentheses do not matter. The codes of
    countries that were renamed lead to today's.
    """
    from babel.core import get_global
    from language_data.names import get_trie_value, normalize_name

    trie, key = _names_in_any_language(), normalize_name(name)
    if key not in trie:
        return None
    code: str = get_trie_value(trie, key)
    successors: Iterable[str] = get_global("territory_aliases").get(code, [code])
    match list(successors):
        case [successor]:
            return successor
        case _:
            return None


def names_starting_like(name: str) -> list[str]:
    """The names, in any language, that begin with the same character; for near misses."""
    from language_data.names import normalize_name

    first = normalize_name(name)[:1]
    return list(_names_in_any_language().keys(first)) if first else []
