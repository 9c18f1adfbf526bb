"""The scripts of a text's letters (ISO 15924), by Unicode's script property."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from ggez_hub.extras import require

# Longer texts are looked at up to here.
LOOKED_AT = 400
# What several scripts share says nothing: punctuation, digits, marks.
SHARED = ("Zyyy", "Zinh", "Zzzz")
# Languages that are written in several scripts of Unicode at once.
WIDER = {
    "Jpan": ("Hira", "Kana", "Hani"), "Kore": ("Hang", "Hani"), "Hans": ("Hani",),
    "Hant": ("Hani",), "Hrkt": ("Hira", "Kana"),
}  # fmt: skip


@cache
def script_of(character: str) -> str:
    """The script of a character; of digits, marks and punctuation one of SHARED."""
    require("data", "fontTools")
    from fontTools import unicodedata

    return str(unicodedata.script(character))


def scripts(text: str) -> dict[str, int]:
    """How many letters of each script a text has; characters that scripts share do not count."""
    if text.isascii():
        return {"Latn": sum(map(str.isalpha, text))}
    found: dict[str, int] = {}
    for script in map(script_of, text[:LOOKED_AT]):
        found[script] = found.get(script, 0) + 1
    for script in SHARED:
        found.pop(script, None)
    return found


def share(text: str, wanted: Iterable[str]) -> float:
    """The share of a text's letters that are in one of the scripts, 0 to 1."""
    found = scripts(text)
    total = sum(found.values())
    names = {name for script in wanted for name in WIDER.get(script, (script,))}
    return sum(found.get(name, 0) for name in names) / total if total else 0.0


@cache
def script_of_language(tag: str) -> str:
    """The script that a language is written in by CLDR's likely subtags: `Thai` of th."""
    import langcodes

    return str(langcodes.Language.get(tag).maximize().script or "Zzzz")
