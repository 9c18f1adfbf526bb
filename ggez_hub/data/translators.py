"""Translators: a sequence-to-sequence model of transformers with NLLB's codes, or an endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from ggez_hub.chat_endpoint import ChatEndpoint
from ggez_hub.data.model_folders import model_folder
from ggez_hub.data.spec import Seq2Seq, TranslationEndpoint, TranslationSpec
from ggez_hub.errors import UsageProblem
from ggez_hub.extras import require
from ggez_hub.families.pretrained import open_model, open_processing
from ggez_hub.regions.names import language_name, registered_name

# Where the code of the macrolanguage, or of the standard, is another one there.
OTHERS = {
    "ms": "zsm", "fil": "tgl", "zh": "zho", "ar": "arb", "fa": "pes", "sw": "swh", "ne": "npi",
}  # fmt: skip
PROMPT = (
    "Translate the text from {source} into {target}. Keep names of people, places and dishes "
    "recognisable, and keep line breaks and option letters as they are. Answer with the "
    "translation alone.\n\n{text}"
)


class TextTranslator(Protocol):
    """Translates texts; `name` identifies it in the cache and on the card."""

    @property
    def name(self) -> str: ...

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """The translation of each text; None of one that is too long for the translator."""
        ...


def open_translator(spec: TranslationSpec, base: Path) -> TextTranslator:
    """The translator of a spec whose relative paths start from `base`."""
    if isinstance(spec.translator, Seq2Seq):
        return Seq2SeqTranslator.of(spec.translator, [spec.source, *spec.targets], base)
    return EndpointTranslator.of(spec.translator)


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
