"""Generating models under test: multiple choice by the likelihood of each option as the reply.

The model sees the picture and the question in its own chat template. An option's score is the mean
log-likelihood of its tokens, so that a long option does not lose by its length. Nothing is generated,
so there is no answer that cannot be read.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.embedding import NotLoaded
from ggez_hub.evaluation.extras import require
from ggez_hub.families import Family
from ggez_hub.families.vlm import SEES
from ggez_hub.merging.merge import require_engine

if TYPE_CHECKING:
    import torch

IDS, MASK = "input_ids", "attention_mask"


class LikelihoodModel:
    """A vision-language model of transformers in evaluation mode.

    On a GPU in the dtype that is stored; without one in float32.
    """

    def __init__(self, folder: Path, family: Family) -> None:
        """Open local files only: no code of the repository, no pickle.

        Raises UsageProblem for a model that sees no pictures, and NotLoaded where transformers
        cannot load the folder, would make weights up, or finds no chat template.
        """
        require_engine()
        require("transformers", "PIL")
        import torch
        import transformers

        if family.layout(folder).loader != SEES:
            raise UsageProblem(f"{folder} holds a model that sees no pictures")
        gpu = torch.cuda.is_available()
        try:
            self._model, report = transformers.AutoModelForImageTextToText.from_pretrained(
                folder,
                dtype="auto" if gpu else torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
            self._processor = transformers.AutoProcessor.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, RuntimeError, ValueError, KeyError, ImportError) as error:
            raise NotLoaded(f"transformers cannot load {folder}: {error}") from error
        if lost := sorted(report["missing_keys"]):
            raise NotLoaded(f"{folder} lacks weights of the model: {', '.join(lost[:3])}")
        if not getattr(self._processor, "chat_template", None):
            raise NotLoaded(
                f"{folder} has no chat template: how to ask it is not known",
                "Use a model that was tuned on instructions.",
            )
        self._device = torch.device("cuda" if gpu else "cpu")
        self._model.eval().requires_grad_(False).to(self._device)

    def prompt(self, question: str) -> str:
        """The question as the model gets it, up to where its reply begins."""
        content = [{"type": "image"}, {"type": "text", "text": question}]
        prompt: str = self._processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        return prompt

    def log_likelihoods(
        self, picture: bytes, prompt: str, options: Sequence[str]
    ) -> NDArray[np.float64]:
        """The mean log-likelihood (natural, <= 0) of the tokens of each of the k options -> (k,)."""
        import torch
        from PIL import Image

        image = Image.open(io.BytesIO(picture)).convert("RGB")
        inputs = self._inputs(image, prompt)
        # A reply begins with a space where the prompt does not end with one.
        lead = "" if prompt[-1:].isspace() else " "
        words = [self._tokens(lead + option) for option in options]
        batch = {name: _repeated(name, value, inputs[IDS], words) for name, value in inputs.items()}
        with torch.inference_mode():
            logits = self._model(**{n: v.to(self._device) for n, v in batch.items()}).logits
            start = inputs[IDS].shape[1] - 1
            found = torch.log_softmax(logits[:, start:].float(), dim=-1).cpu()
        return np.array(
            [
                found[row, torch.arange(len(own)), torch.tensor(own)].double().mean().item()
                for row, own in enumerate(words)
            ]
        )

    def _inputs(self, image: Any, prompt: str) -> dict[str, torch.Tensor]:
        """What the processor makes of picture and prompt, so that a reply can go on from it."""
        words = self._processor.tokenizer
        # A template that writes the first token itself must not get it twice.
        begun = bool(words.bos_token) and prompt.startswith(words.bos_token)
        inputs = dict(
            self._processor(
                images=[image], text=[prompt], add_special_tokens=not begun, return_tensors="pt"
            )
        )
        shape = inputs[IDS].shape
        closed = int(inputs[IDS][0, -1]) == words.eos_token_id
        if closed and not prompt.endswith(words.eos_token):
            # The tokenizer closed a text that goes on.
            inputs = {n: v[:, :-1] if v.shape == shape else v for n, v in inputs.items()}
        return inputs

    def _tokens(self, text: str) -> list[int]:
        tokens: list[int] = self._processor.tokenizer(text, add_special_tokens=False)[IDS]
        if not tokens:
            raise NotLoaded(f"the tokenizer gives no tokens for {text!r}")
        return tokens


def _repeated(
    name: str, value: torch.Tensor, ids: torch.Tensor, words: Sequence[Sequence[int]]
) -> torch.Tensor:
    """An input of the prompt (1, t) for k replies after it: (k, t + the longest).

    What has a value for each token goes on: with the replies, with ones in the mask, else with the
    zeros of text. What has not, as the picture, is there k times.
    """
    import torch

    if value.shape != ids.shape:
        return torch.cat([value] * len(words))
    longest = max(map(len, words))
    rows = torch.zeros((len(words), longest), dtype=value.dtype)
    for row, own in enumerate(words):
        if name == IDS:
            rows[row, : len(own)] = torch.tensor(own)
        elif name == MASK:
            rows[row, : len(own)] = 1
    return torch.cat([value.expand(len(words), -1), rows], dim=1)
