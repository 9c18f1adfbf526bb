"""NLLB's codes of languages: ISO 639-3 and the script, as in tha_Thai (FLORES-200)."""

from __future__ import annotations

from functools import cache

# Where the code of the macrolanguage, or of the standard, is another one there.
OTHERS = {
    "ms": "zsm",
    "fil": "tgl",
    "zh": "zho",
    "ar": "arb",
    "fa": "pes",
    "sw": "swh",
    "ne": "npi",
}


@cache
def nllb_code(tag: str) -> str:
    """The code of a BCP 47 language: `tha_Thai` of th."""
    import langcodes

    language = langcodes.Language.get(tag).maximize()
    letters = OTHERS.get(language.language or "", "") or language.to_alpha3()
    return f"{letters}_{language.script}"
