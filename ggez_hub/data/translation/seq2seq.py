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
from ggez_hub.extras import require_of
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
        require_of("merge", "torch", "transformers")
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

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """The translation of each text."""
        import torch

        self.tokenizer.src_lang = self.codes[source]
        first = self.tokenizer.convert_tokens_to_ids(self.codes[target])
        found: list[str] = []
        for start in range(0, len(texts), self.batch):
            inputs = self.tokenizer(
                list(texts[start : start + self.batch]),
                padding=True,
                truncation=True,
                return_tensors="pt",
            ).to(self.model.device)
            with torch.inference_mode():
                tokens = self.model.generate(
                    **inputs,
                    forced_bos_token_id=first,
                    max_new_tokens=self.new_tokens,
                    do_sample=False,
                    num_beams=1,
                )
            found += self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return found
