"""Kept examples in further languages."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ggez_hub.data.scorers.spec import decisive
from ggez_hub.data.tally import Tally
from ggez_hub.data.translation.checks import problem
from ggez_hub.data.translation.spec import Seq2Seq, TranslationSpec
from ggez_hub.weights import digest_json

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
            from ggez_hub.data.translation.seq2seq import Seq2SeqTranslator

            languages = [spec.source, *spec.targets]
            translator = Seq2SeqTranslator.of(spec.translator, languages, base)
        else:
            from ggez_hub.data.translation.endpoint import EndpointTranslator

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
