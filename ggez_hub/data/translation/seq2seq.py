"""Translation by a sequence-to-sequence model of transformers with NLLB's codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.data.folders import model_folder
from ggez_hub.data.translation.codes import nllb_code
from ggez_hub.data.translation.spec import Seq2Seq
from ggez_hub.errors import UsageProblem
from ggez_hub.extras import require
from ggez_hub.families.loading import open_model, open_processing


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
        """Open a model; raises NoModel, NotLoaded, and UsageProblem for a code that its tokenizer lacks."""
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
        """The translation of each text; None of one that is longer than the model reads or writes."""
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
        """How many tokens the model reads."""
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
        whole = (tokens[:, 1:] == self.tokenizer.eos_token_id).any(dim=1).tolist()
        said = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [text if ended else None for text, ended in zip(said, whole, strict=True)]
