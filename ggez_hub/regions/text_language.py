"""The script and the language of a text, by Unicode's script property and py3langid.

A script that only one of py3langid's languages is written in decides: Thai, Lao, Khmer, Burmese,
Tamil. The rest is py3langid's: it identifies Vietnamese and Chinese well; Indonesian, Malay and Filipino
it confuses with each other. They are one group, `GROUP`: who asks for one of them takes all three.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ggez_hub.extras import require
from ggez_hub.regions.spoken_languages import languages

# Longer texts are looked at up to here.
SCRIPT_LETTERS = 400
# What several scripts share says nothing: punctuation, digits, marks.
SHARED = ("Zyyy", "Zinh", "Zzzz")
# Languages that are written in several scripts of Unicode at once.
WIDER = {
    "Jpan": ("Hira", "Kana", "Hani"), "Kore": ("Hang", "Hani"), "Hans": ("Hani",),
    "Hant": ("Hani",), "Hrkt": ("Hira", "Kana"),
}  # fmt: skip
GROUP = frozenset({"id", "ms", "fil"})
# py3langid's labels that CLDR calls otherwise.
LABELS = {"tl": "fil"}
LOOKED_AT = 1000
# The share of the letters from which a script decides.
CLEAR = 0.9
# Anything behind the blocks of Latin letters, Vietnamese ones included.
BEYOND_LATIN = re.compile("[\u0370-\u1dff\u1f00-\U0010ffff]")


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
    found = Counter(map(script_of, text[:SCRIPT_LETTERS]))
    for script in SHARED:
        del found[script]
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


@cache
def identifier() -> Any:
    """py3langid's model with confidences from 0 to 1; read once in a process."""
    require("data", "py3langid")
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def lone_script_letters() -> dict[str, str]:
    """Language -> the letters of the script that only it has, as a class of a regular expression.

    For a router, which has neither CLDR nor Unicode's tables.
    """
    text = (Path(__file__).parent / "data" / "lone_scripts.json").read_text(encoding="utf-8")
    found: dict[str, str] = json.loads(text)
    return found


@cache
def lone_scripts() -> dict[str, str]:
    """The scripts that are those of one language alone, and that language."""
    written: dict[str, set[str]] = {}
    for label in identifier().labels:
        # zxx is not a language.
        if label != "zxx":
            written.setdefault(script_of_language(label), set()).add(LABELS.get(label, label))
    return {script: found.pop() for script, found in written.items() if len(found) == 1}


def identify(text: str) -> tuple[str, float]:
    """The language of a text (BCP 47) and the confidence in it, 0 to 1."""
    if BEYOND_LATIN.search(text):
        letters = scripts(text)
        if letters:
            script = max(letters, key=letters.__getitem__)
            part = letters[script] / sum(letters.values())
            if part >= CLEAR and script in lone_scripts():
                return lone_scripts()[script], part
    label, confidence = identifier().classify(text[:LOOKED_AT])
    return LABELS.get(label, label), confidence


def group_confidence(text: str) -> float:
    """The confidence that a text is in one of the group's languages, 0 to 1."""
    ranked = identifier().rank(text[:LOOKED_AT])
    return float(sum(share for label, share in ranked if LABELS.get(label, label) in GROUP))


def identified_languages() -> frozenset[str]:
    """The languages that `identify` can answer with."""
    return frozenset(LABELS.get(label, label) for label in identifier().labels) - {"zxx"}


def accepted_languages(tags: Iterable[str]) -> frozenset[str]:
    """The answers of `identify` for BCP 47 tags: without regions and scripts, all of GROUP for one."""
    wanted = {tag.partition("-")[0] for tag in tags}
    return frozenset(wanted | GROUP if wanted & GROUP else wanted)


def switched_languages(declared: Sequence[str] | str, region: str) -> tuple[str, ...]:
    """The languages whose prompts a switch sends to an adapter, sorted.

    Those that its card declares, or the region's official ones if that is `unknown` or empty.
    """
    if not isinstance(declared, str) and declared:
        return tuple(sorted(declared))
    return tuple(sorted(one.tag for one in languages(region) if one.official_in))
