"""UnifiedReward's point score of a picture and its caption, from transformers or an endpoint.

The prompt is the one that the model was trained with (CodeGoat24/UnifiedReward, MIT licence): with
another one it scores worse. The answer ends in "Final Score: " and a number from 1 to 5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.chat_endpoint import ChatEndpoint, about_picture
from ggez_hub.data.model_folders import model_folder
from ggez_hub.data.pictures import with_pictures
from ggez_hub.data.rows import Row
from ggez_hub.data.scorers.scorer import Scorer
from ggez_hub.extras import require
from ggez_hub.families.pretrained import open_model, open_processing
from ggez_hub.families.vlm import SEES

if TYPE_CHECKING:
    from ggez_hub.data.scorers.spec import EndpointScorer, GenerativeScorer

LOWEST, HIGHEST = 1.0, 5.0

PROMPT = (
    "You are given a text caption and a generated image based on that caption. Your task is to "
    "evaluate this image based on two key criteria:\n"
    "1. Alignment with the Caption: Assess how well this image aligns with the provided caption. "
    "Consider the accuracy of depicted objects, their relationships, and attributes as described "
    "in the caption.\n"
    "2. Overall Image Quality: Examine the visual quality of this image, including clarity, detail "
    "preservation, color accuracy, and overall aesthetic appeal.\n"
    "Based on the above criteria, assign a score from 1 to 5 after 'Final Score:'.\n"
    "Your task is provided as follows:\n"
    "Text Caption: [{caption}]"
)
# The complete number is read: "10" is not 1.
ANSWER = re.compile(r"Final Score:[\s*]*(\d+(?:\.\d+)?)", re.IGNORECASE)


def prompt_of(caption: str) -> str:
    """The prompt for a caption."""
    return PROMPT.replace("{caption}", caption)


def final_score(answer: str) -> float | None:
    """The score that an answer ends with, 1 to 5; None if it has none, or one out of range."""
    found = ANSWER.findall(answer)
    if not found:
        return None
    score = float(found[-1])
    return score if LOWEST <= score <= HIGHEST else None


@dataclass(frozen=True)
class UnifiedReward(Scorer):
    """The scores of a model, by greedy decoding; None where the answer has none."""

    model: Any
    processor: Any
    batch: int
    new_tokens: int

    @classmethod
    def of(cls, spec: GenerativeScorer, base: Path) -> UnifiedReward:
        require("merge", "torch", "transformers")
        found = model_folder(spec.model, spec.revision, base, "transformers")
        model = open_model(found.path, SEES, spec.dtype)
        processor = open_processing(found.path, "AutoProcessor")
        # The answers of a batch begin at the same place only if the prompts are padded before it.
        processor.tokenizer.padding_side = "left"
        model.to(spec.device).requires_grad_(False)
        name, languages = f"UnifiedReward {found.name}", frozenset(spec.languages)
        return cls(name, languages, model, processor, spec.batch, spec.new_tokens)

    def score(self, rows: Sequence[Row]) -> list[float | None]:
        scores: list[float | None] = [None] * len(rows)
        places, pictures = with_pictures(rows)
        for start in range(0, len(places), self.batch):
            batch = places[start : start + self.batch]
            answers = self.answers(
                list(islice(pictures, len(batch))), [rows[place].text for place in batch]
            )
            for place, answer in zip(batch, answers, strict=True):
                scores[place] = final_score(answer)
        return scores

    def answers(self, pictures: Sequence[Any], captions: Sequence[str]) -> list[str]:
        import torch

        contents = [[{"type": "image"}, {"type": "text", "text": prompt_of(c)}] for c in captions]
        prompts = [
            self.processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
            )
            for content in contents
        ]
        # The template has written the first token already, if the model wants one.
        begun = prompts[0].startswith(self.processor.tokenizer.bos_token or "\0")
        inputs = self.processor(
            images=[[picture] for picture in pictures],
            text=prompts,
            add_special_tokens=not begun,
            padding=True,
            return_tensors="pt",
        ).to(self.model.device, self.model.dtype)
        with torch.inference_mode():
            tokens = self.model.generate(**inputs, max_new_tokens=self.new_tokens, do_sample=False)
        said = tokens[:, inputs["input_ids"].shape[1] :]
        answers: list[str] = self.processor.batch_decode(said, skip_special_tokens=True)
        return answers


@dataclass(frozen=True)
class EndpointScore(Scorer):
    """The scores of a served model; None where the answer has none."""

    endpoint: ChatEndpoint

    @classmethod
    def of(cls, spec: EndpointScorer) -> EndpointScore:
        name = f"UnifiedReward {spec.model} (endpoint)"
        return cls(name, frozenset(spec.languages), ChatEndpoint.of(spec))

    def score(self, rows: Sequence[Row]) -> list[float | None]:
        scores: list[float | None] = [None] * len(rows)
        shown = [(place, row.image["bytes"]) for place, row in enumerate(rows) if row.image]
        chats = [about_picture(content, prompt_of(rows[place].text)) for place, content in shown]
        for (place, _), answer in zip(shown, self.endpoint.complete(chats), strict=True):
            scores[place] = final_score(answer.text)
        return scores
