"""Kept examples in further languages."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ggez_hub.data.deduplication import normalised
from ggez_hub.data.scorers.spec import decisive
from ggez_hub.data.spec import Seq2Seq, TranslationSpec
from ggez_hub.data.tally import Tally
from ggez_hub.digests import digest_json
from ggez_hub.regions.text_language import script_of_language, scripts, share

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


OPTION = re.compile(r"((?:[A-Z]\. )?)(.*)")


class TextTranslator(Protocol):
    """Translates texts; `name` identifies it in the cache and on the card."""

    @property
    def name(self) -> str: ...

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """The translation of each text; None of one that is too long for the translator."""
        ...


class Cache:
    """Translations on disk, by translator, languages and text: none is asked for twice.

    `asked` is what identifies the translator with all that decides what it says.
    """

    def __init__(self, path: Path, asked: str) -> None:
        self._asked = asked
        self._base = sqlite3.connect(path)
        self._base.execute(
            "CREATE TABLE IF NOT EXISTS translations (translator TEXT, source TEXT, target TEXT,"
            " original TEXT, translated TEXT,"
            " PRIMARY KEY (translator, source, target, original)) WITHOUT ROWID"
        )

    def through(
        self, translator: TextTranslator, texts: Sequence[str], source: str, target: str
    ) -> dict[str, str | None]:
        """The translation of each text; those that are new are asked for, and kept."""
        found: dict[str, str | None] = {}
        for text in dict.fromkeys(texts):
            row = self._base.execute(
                "SELECT translated FROM translations"
                " WHERE translator = ? AND source = ? AND target = ? AND original = ?",
                (self._asked, source, target, text),
            ).fetchone()
            if row is not None:
                found[text] = row[0]
        new = [text for text in dict.fromkeys(texts) if text not in found]
        if new:
            translated = translator.translate(new, source, target)
            found |= dict(zip(new, translated, strict=True))
            self._base.executemany(
                "INSERT OR REPLACE INTO translations VALUES (?, ?, ?, ?, ?)",
                [(self._asked, source, target, text, found[text]) for text in new],
            )
            self._base.commit()
        return found


@dataclass(frozen=True)
class Augmenter:
    """Makes one example in each target language of every example in the source language."""

    spec: TranslationSpec
    translator: TextTranslator
    cache: Cache

    @classmethod
    def of(cls, spec: TranslationSpec, base: Path, cache: Path) -> Augmenter:
        """Open the translator of a spec; raises NoModel, UsageProblem."""
        translator: TextTranslator
        if isinstance(spec.translator, Seq2Seq):
            from ggez_hub.data.translators import Seq2SeqTranslator

            languages = [spec.source, *spec.targets]
            translator = Seq2SeqTranslator.of(spec.translator, languages, base)
        else:
            from ggez_hub.data.translators import EndpointTranslator

            translator = EndpointTranslator.of(spec.translator)
        asked = f"{translator.name} {digest_json(decisive(spec.translator))}"
        return cls(spec, translator, Cache(cache, asked))

    @property
    def name(self) -> str:
        return self.translator.name

    def translated(self, rows: list[dict[str, Any]], tally: Tally) -> Iterator[dict[str, Any]]:
        """The further examples; those that do not pass the checks are counted."""
        spec = self.spec
        originals = [row for row in rows if row["language"].partition("-")[0] == spec.source]
        units = [
            unit.text
            for row in originals
            for message in row["messages"]
            for unit in units_of(message["content"], row["format"])
            if unit.has_letters
        ]
        for target in spec.targets:
            found = self.cache.through(self.translator, units, spec.source, target)
            for row in originals:
                texts = [
                    _joined(units_of(message["content"], row["format"]), found)
                    for message in row["messages"]
                ]
                reason = problem([m["content"] for m in row["messages"]], texts, target, spec)
                if reason is None:
                    yield self._row(row, [text or "" for text in texts], target)
                else:
                    tally.extra[f"translation {target}: {reason}"] += 1

    def _row(self, row: dict[str, Any], texts: list[str], target: str) -> dict[str, Any]:
        messages = [
            {"role": message["role"], "content": text}
            for message, text in zip(row["messages"], texts, strict=True)
        ]
        return {
            **row,
            "id": f"{row['id']}/{target}",
            "text": "\n".join(texts),
            "messages": messages,
            "language": target,
            "translated_from": self.spec.source,
        }


class Unit(NamedTuple):
    """What is translated at once, behind what stays as it is."""

    prefix: str
    text: str

    @property
    def has_letters(self) -> bool:
        """Whether there is anything to translate."""
        return any(map(str.isalpha, self.text))


def units_of(content: str, form: str) -> list[Unit]:
    """The units of a message: all of it; of a multiple choice each line behind its letter.

    So an option and the answer that repeats it have one translation.
    """
    if form != "multiple_choice":
        return [Unit("", content)]
    return [
        Unit(match.group(1), match.group(2))
        for line in content.split("\n")
        if (match := OPTION.match(line))
    ]


def _joined(units: Sequence[Unit], found: Mapping[str, str | None]) -> str | None:
    """A message of its translated units; None if one of them is too long."""
    texts = [found[unit.text] if unit.has_letters else unit.text for unit in units]
    if None in texts:
        return None
    return "\n".join(f"{unit.prefix}{text}" for unit, text in zip(units, texts, strict=True))
