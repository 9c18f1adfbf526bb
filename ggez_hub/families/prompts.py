"""What a processor of transformers makes of pictures and a prompt, so that a reply can go on from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

IDS, MASK = "input_ids", "attention_mask"


def prompt_inputs(
    processor: Any, images: Sequence[Any], prompts: Sequence[str]
) -> dict[str, torch.Tensor]:
    """The inputs of n prompts with a picture each, or none at all; padded where they are several."""
    words = processor.tokenizer
    # A template that writes the first token itself must not get it twice.
    begun = bool(words.bos_token) and prompts[0].startswith(words.bos_token)
    inputs = dict(
        processor(
            images=[[image] for image in images] or None,
            text=list(prompts),
            add_special_tokens=not begun,
            padding=len(prompts) > 1,
            return_tensors="pt",
        )
    )
    shape = inputs[IDS].shape
    closed = bool((inputs[IDS][:, -1] == words.eos_token_id).all())
    if closed and not prompts[0].endswith(words.eos_token):
        # The tokenizer closed texts that go on.
        inputs = {n: v[:, :-1] if v.shape == shape else v for n, v in inputs.items()}
    return inputs
