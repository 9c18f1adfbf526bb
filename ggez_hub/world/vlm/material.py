"""What the language model is trained on: what the tower saw, and questions with their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ggez_hub.world.concepts import concepts
from ggez_hub.world.vlm.model import PLACES
from ggez_hub.world.vlm.tokenizer import ASSISTANT, IMAGE, LANGUAGES, QUESTIONS, USER

IGNORED = -100


class Batch(NamedTuple):
    """`features` (n, 16, 1280) float32, token ids (n, t), labels (n, t): IGNORED but for replies."""

    features: Tensor
    ids: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Material:
    """Features of the training pictures (concepts, views, 16, 1280), and tokens.

    `prompts[language]` are the tokens of a question, `replies[language][concept]` those of a name.
    """

    features: Tensor
    prompts: Mapping[str, Sequence[int]]
    replies: Mapping[str, Sequence[Sequence[int]]]
    pad: int

    @classmethod
    def of(cls, features: Tensor, processor: Any) -> Material:
        """The names of all concepts in the tokens of `processor`, asked as its template asks."""
        words = processor.tokenizer

        def tokens(text: str) -> list[int]:
            found: list[int] = words(text, add_special_tokens=False).input_ids
            return found

        seen = f"{words.bos_token}{USER}{IMAGE * PLACES}"
        return cls(
            features,
            {language: tokens(f"{seen}{QUESTIONS[language]}{ASSISTANT}") for language in LANGUAGES},
            {
                language: [
                    tokens(f" {concept.names[language]}{words.eos_token}") for concept in concepts()
                ]
                for language in LANGUAGES
            },
            words.pad_token_id,
        )

    def draw(
        self, rows: Sequence[int], shares: Mapping[str, float], rng: np.random.Generator
    ) -> Batch:
        """A picture of each concept, and its name asked for in a language drawn by its share."""
        languages = rng.choice(list(shares), size=len(rows), p=list(shares.values()))
        views = torch.from_numpy(rng.integers(self.features.shape[1], size=len(rows)))
        prompts = [self.prompts[language] for language in languages]
        replies = [self.replies[lang][row] for lang, row in zip(languages, rows, strict=True)]
        longest = max(len(p) + len(r) for p, r in zip(prompts, replies, strict=True))
        # Padding is on the right, where causal attention never looks.
        ids = torch.full((len(rows), longest), self.pad)
        labels = torch.full((len(rows), longest), IGNORED)
        for place, (prompt, reply) in enumerate(zip(prompts, replies, strict=True)):
            end = len(prompt) + len(reply)
            ids[place, :end] = torch.tensor([*prompt, *reply])
            labels[place, len(prompt) : end] = torch.tensor(reply)
        return Batch(self.features[torch.tensor(rows), views].float(), ids, labels)
