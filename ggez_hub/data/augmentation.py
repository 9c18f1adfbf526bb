"""Translation augmentation: kept examples in further languages, checked before they enter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from ggez_hub.data.deduplication import normalised
from ggez_hub.data.rows import Row
from ggez_hub.data.scorers.spec import decisive
from ggez_hub.data.spec import TranslationSpec
from ggez_hub.data.tally import Tally
from ggez_hub.data.translators import TextTranslator, open_translator
from ggez_hub.digests import digest_json
from ggez_hub.evaluation.answers.cache import AnswerCache, answer_once
from ggez_hub.regions.text_language import script_of_language, scripts, share

OPTION = re.compile(r"((?:[A-Z]\. )?)(.*)")
# Shorter texts are often names, which translations keep.
WORDS = 4


@dataclass(frozen=True)
class Augmenter:
    """Makes one example in each target language of every example in the source language.

    `identity` is what decides the translator's answers: none is asked for twice under it.
    """

    spec: TranslationSpec
    translator: TextTranslator
    identity: str
    cache: AnswerCache

    @classmethod
    def of(cls, spec: TranslationSpec, base: Path, cache: Path) -> Augmenter:
        translator = open_translator(spec, base)
        identity = f"{translator.name} {digest_json(decisive(spec.translator))}"
        return cls(spec, translator, identity, AnswerCache(cache))

    @property
    def name(self) -> str:
        return self.translator.name

    def translated(self, rows: list[Row], tally: Tally) -> Iterator[Row]:
        """The further rows; those that do not pass the checks are counted."""
        spec = self.spec
        originals = [row for row in rows if row.language.partition("-")[0] == spec.source]
        units = [
            unit.text
            for row in originals
            for message in row.messages
            for unit in units_of(message["content"], row.format)
            if unit.has_letters
        ]
        for target in spec.targets:
            found = self.translations(units, target)
            for row in originals:
                before = [message["content"] for message in row.messages]
                texts = [_joined(units_of(text, row.format), found) for text in before]
                after = [text for text in texts if text is not None]
                reason = "cut" if len(after) < len(texts) else problem(before, after, target, spec)
                if reason is not None:
                    tally.extra[f"translation {target}: {reason}"] += 1
                    continue
                roles = [message["role"] for message in row.messages]
                yield replace(
                    row,
                    id=f"{row.id}/{target}",
                    text="\n".join(after),
                    messages=[
                        {"role": role, "content": text}
                        for role, text in zip(roles, after, strict=True)
                    ],
                    language=target,
                    translated_from=spec.source,
                )

    def translations(self, texts: Sequence[str], target: str) -> dict[str, str | None]:
        """The translation of each text; None of one that is too long."""
        source = self.spec.source
        distinct = list(dict.fromkeys(texts))
        keys = [json.dumps([self.identity, source, target, text]) for text in distinct]
        found = answer_once(
            dict(zip(keys, distinct, strict=True)),
            self.cache,
            lambda missing: self.translator.translate(missing, source, target),
            chunk=max(1, len(keys)),
        )
        return {text: found[key] for key, text in zip(keys, distinct, strict=True)}


class Unit(NamedTuple):
    """What is translated at once, behind what stays as it is."""

    prefix: str
    text: str

    @property
    def has_letters(self) -> bool:
        return any(map(str.isalpha, self.text))


def units_of(content: str, form: str) -> list[Unit]:
    """The units of a message: all of it; of a multiple choice each line behind its letter.

    So an option and the answer that repeats it have one translation.
    """
    if form != "multiple_choice":
        return [Unit("", content)]
    matches = map(OPTION.match, content.split("\n"))
    return [Unit(match.group(1), match.group(2)) for match in matches if match]


def _joined(units: Sequence[Unit], found: Mapping[str, str | None]) -> str | None:
    """A message of its translated units; None if one of them is too long."""
    texts = [found[unit.text] if unit.has_letters else unit.text for unit in units]
    if None in texts:
        return None
    return "\n".join(f"{unit.prefix}{text}" for unit, text in zip(units, texts, strict=True))


def problem(
    originals: Sequence[str], translated: Sequence[str], target: str, spec: TranslationSpec
) -> str | None:
    """Why the translation of a chat is not taken, or None: a reason that is counted."""
    if not all(text.strip() for text in translated):
        return "empty"
    before, after = "\n".join(originals), "\n".join(translated)
    if _is_copied(before, after) or any(
        _is_copied(old, new)
        for old, new in zip(originals, translated, strict=True)
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


def _is_copied(original: str, translated: str) -> bool:
    """Whether a text came back as it was; a text without letters may."""
    return normalised(original) == normalised(translated) and any(scripts(original).values())
