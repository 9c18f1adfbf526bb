"""Translation augmentation: kept examples in further languages, checked before they enter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ggez_hub.chat_endpoint import ChatEndpoint
from ggez_hub.data.deduplication import normalised
from ggez_hub.data.model_folders import model_folder
from ggez_hub.data.rows import Row
from ggez_hub.data.scorers.spec import decisive
from ggez_hub.data.spec import Seq2Seq, TranslationEndpoint, TranslationSpec
from ggez_hub.data.tally import Tally
from ggez_hub.digests import digest_json
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.cache import AnswerCache, answer_once
from ggez_hub.extras import require
from ggez_hub.families.pretrained import open_model, open_processing
from ggez_hub.regions.names import language_name, registered_name
from ggez_hub.regions.text_language import script_of_language, scripts, share

OPTION = re.compile(r"((?:[A-Z]\. )?)(.*)")
# Shorter texts are often names, which translations keep.
WORDS = 4
# Where the code of the macrolanguage, or of the standard, is another one there.
OTHERS = {
    "ms": "zsm", "fil": "tgl", "zh": "zho", "ar": "arb", "fa": "pes", "sw": "swh", "ne": "npi",
}  # fmt: skip
PROMPT = (
    "Translate the text from {source} into {target}. Keep names of people, places and dishes "
    "recognisable, and keep line breaks and option letters as they are. Answer with the "
    "translation alone.\n\n{text}"
)


@dataclass(frozen=True)
class Augmenter:
    """Makes one example in each target language of every example in the source language.

    `identity` is what decides the translator's answers: none is asked for twice under it.
    """

    spec: TranslationSpec
    translator: Seq2SeqTranslator | EndpointTranslator
    identity: str
    cache: AnswerCache

    @classmethod
    def of(cls, spec: TranslationSpec, base: Path) -> Augmenter:
        translator: Seq2SeqTranslator | EndpointTranslator
        if isinstance(spec.translator, Seq2Seq):
            languages = [spec.source, *spec.targets]
            translator = Seq2SeqTranslator.of(spec.translator, languages, base)
        else:
            translator = EndpointTranslator.of(spec.translator)
        identity = f"{translator.name} {digest_json(decisive(spec.translator))}"
        return cls(spec, translator, identity, AnswerCache())

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
        keys = {
            json.dumps([self.identity, source, target, text]): text for text in dict.fromkeys(texts)
        }
        found = answer_once(
            keys,
            self.cache,
            lambda new: self.translator.translate(new, source, target),
            chunk=max(1, len(keys)),
        )
        return {text: found[key] for key, text in keys.items()}


class Unit(NamedTuple):
    """What is translated at once, behind what stays as it is."""

    prefix: str
    text: str

    @property
    def has_letters(self) -> bool:
        return any(map(str.isalpha, self.text))


def units_of(content: str, form: str) -> list[Unit]:
    """All of a message; of a multiple choice each line, so that an option is translated once."""
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


@cache
def nllb_code(tag: str) -> str:
    """The code of a BCP 47 language: `tha_Thai` of th."""
    import langcodes

    language = langcodes.Language.get(tag).maximize()
    letters = OTHERS.get(language.language or "", "") or language.to_alpha3()
    return f"{letters}_{language.script}"


@dataclass(frozen=True)
class Seq2SeqTranslator:
    """A model and its tokenizer; greedy decoding, so that a text has one translation."""

    model: Any
    tokenizer: Any
    codes: Mapping[str, str]
    batch: int
    new_tokens: int
    name: str

    @classmethod
    def of(cls, spec: Seq2Seq, languages: Sequence[str], base: Path) -> Seq2SeqTranslator:
        require("merge", "torch", "transformers")
        found = model_folder(spec.model, spec.revision, base, "transformers")
        tokenizer = open_processing(found.path, "AutoTokenizer")
        model = open_model(found.path, "AutoModelForSeq2SeqLM", "auto")
        codes = {tag: spec.codes.get(tag) or nllb_code(tag) for tag in languages}
        known = tokenizer.get_vocab()
        for tag, code in codes.items():
            if code not in known:
                raise UsageProblem(
                    f"{spec.model} has no language {code!r} for {tag}",
                    "Name its code for it under translator.codes.",
                )
        model.to(spec.device).requires_grad_(False)
        return cls(model, tokenizer, codes, spec.batch, spec.new_tokens, found.name)

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        self.tokenizer.src_lang = self.codes[source]
        found: list[str | None] = [None] * len(texts)
        short = [place for place, text in enumerate(texts) if self._tokens(text) <= self.longest]
        for start in range(0, len(short), self.batch):
            places = short[start : start + self.batch]
            answers = self._answers([texts[place] for place in places], self.codes[target])
            for place, answer in zip(places, answers, strict=True):
                found[place] = answer
        return found

    @property
    def longest(self) -> int:
        most = getattr(self.model.config, "max_position_embeddings", None)
        return min(self.tokenizer.model_max_length, most or self.tokenizer.model_max_length)

    def _tokens(self, text: str) -> int:
        return len(self.tokenizer(text, verbose=False)["input_ids"])

    def _answers(self, texts: list[str], code: str) -> list[str | None]:
        import torch

        inputs = self.tokenizer(texts, padding=True, return_tensors="pt").to(self.model.device)
        with torch.inference_mode():
            tokens = self.model.generate(
                **inputs,
                forced_bos_token_id=self.tokenizer.convert_tokens_to_ids(code),
                max_new_tokens=self.new_tokens,
                do_sample=False,
                num_beams=1,
            )
        # The first token is the one that every answer starts with, and may be the one that ends it.
        complete = (tokens[:, 1:] == self.tokenizer.eos_token_id).any(dim=1).tolist()
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [text if ended else None for text, ended in zip(texts, complete, strict=True)]


@dataclass(frozen=True)
class EndpointTranslator:
    """A served chat model."""

    endpoint: ChatEndpoint
    name: str

    @classmethod
    def of(cls, spec: TranslationEndpoint) -> EndpointTranslator:
        return cls(ChatEndpoint.of(spec), f"{spec.model} (endpoint)")

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        prompt = PROMPT.replace("{source}", _named(source)).replace("{target}", _named(target))
        chats = [[{"role": "user", "content": prompt.replace("{text}", text)}] for text in texts]
        answers = self.endpoint.complete(chats)
        return [None if answer.cut else answer.text.strip() for answer in answers]


def _named(tag: str) -> str:
    return f"{language_name(tag) or registered_name(tag)} ({tag})"
