"""What a translation has to be before it enters a training set."""

from __future__ import annotations

from collections.abc import Sequence

from ggez_hub.data.signatures import normalised
from ggez_hub.data.translation.spec import TranslationSpec
from ggez_hub.regions.script import script_of_language, scripts, share

# Shorter texts are often names, which translations keep.
WORDS = 4


def problem(
    originals: Sequence[str], translated: Sequence[str | None], target: str, spec: TranslationSpec
) -> str | None:
    """Why the translation of a chat is not taken, or None: a reason that is counted.

    A text that was too long for the translator is None.
    """
    whole = [text for text in translated if text is not None]
    if len(whole) < len(translated):
        return "cut"
    if not all(text.strip() for text in whole):
        return "empty"
    before, after = "\n".join(originals), "\n".join(whole)
    if _copied(before, after) or any(
        _copied(old, new)
        for old, new in zip(originals, whole, strict=True)
        if len(old.split()) >= WORDS
    ):
        return "untranslated"
    low, high = spec.length_ratio
    if not low <= len(after) / max(1, len(before)) <= high:
        return "length"
    letters = sum(scripts(after).values())
    if letters and share(after, [script_of_language(target)]) < spec.script_share:
        return "script"
    return None


def _copied(original: str, translated: str) -> bool:
    """Whether a text came back as it was; a text without letters may."""
    return normalised(original) == normalised(translated) and any(scripts(original).values())
