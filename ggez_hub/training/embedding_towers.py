"""The two towers of an embedding model, whatever library it is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from ggez_hub.families import get_family
from ggez_hub.families.pretrained import NotLoaded, open_model, open_processing
from ggez_hub.training.backend import checkpoint_activations

if TYPE_CHECKING:
    from PIL.Image import Image

Inputs: TypeAlias = Mapping[str, Tensor]

# What text towers take of what tokenizers return.
TEXT_INPUTS = ("input_ids", "attention_mask")


@dataclass(frozen=True)
class Towers:
    """An embedding model, and what makes tensors for it.

    model            its logit_scale is the logarithm of the factor of all similarities
    picture_inputs   n pictures as inputs of `encode_pictures`
    text_inputs      n texts as inputs of `encode_texts`, padded and cut as the tower was trained
    encode_pictures  the features of pictures, (n, d), not normalised; encode_texts those of texts
    save_memory      compute activations again in the backward pass
    """

    model: Any
    picture_inputs: Callable[[Sequence[Image]], Inputs]
    text_inputs: Callable[[Sequence[str]], Inputs]
    encode_pictures: Callable[[Inputs], Tensor]
    encode_texts: Callable[[Inputs], Tensor]
    save_memory: Callable[[], None]

    @property
    def bias(self) -> torch.nn.Parameter | None:
        """What SigLIP adds to similarities."""
        return getattr(self.model, "logit_bias", None)


def _open_clip(folder: Path, dtype: torch.dtype) -> Towers:
    import open_clip

    source = f"local-dir:{folder}"
    try:
        model, preprocess = open_clip.create_model_from_pretrained(source)
        tokenizer = open_clip.get_tokenizer(source)
    except (OSError, RuntimeError, ValueError) as error:
        raise NotLoaded(f"open_clip cannot load {folder}: {error}") from error
    model.eval().to(dtype)
    return Towers(
        model,
        picture_inputs=lambda pictures: {"image": torch.stack([preprocess(p) for p in pictures])},
        text_inputs=lambda texts: {"text": tokenizer(list(texts))},
        encode_pictures=lambda inputs: model.encode_image(inputs["image"].to(dtype)),
        encode_texts=lambda inputs: model.encode_text(inputs["text"]),
        save_memory=lambda: model.set_grad_checkpointing(True),
    )


def _transformers(folder: Path, dtype: torch.dtype) -> Towers:
    """A CLIP-like model: CLIP, SigLIP, SigLIP 2."""
    words, images = (open_processing(folder, f"Auto{n}") for n in ("Tokenizer", "ImageProcessor"))
    model = open_model(folder, "AutoModel", dtype)
    length: int = model.config.text_config.max_position_embeddings

    def text_inputs(texts: Sequence[str]) -> Inputs:
        inputs = words(
            list(texts),
            padding="max_length",
            max_length=length,
            truncation=True,
            return_tensors="pt",
        )
        return {name: inputs[name] for name in TEXT_INPUTS if name in inputs}

    def encode_pictures(inputs: Inputs) -> Tensor:
        cast = {n: t.to(dtype) if t.is_floating_point() else t for n, t in inputs.items()}
        return _features(model.get_image_features(**cast))

    return Towers(
        model,
        picture_inputs=lambda pictures: dict(images(images=list(pictures), return_tensors="pt")),
        text_inputs=text_inputs,
        encode_pictures=encode_pictures,
        encode_texts=lambda inputs: _features(model.get_text_features(**inputs)),
        save_memory=lambda: checkpoint_activations(model),
    )


def _features(found: Any) -> Tensor:
    # Since version 5 transformers returns the projected features as a field.
    features: Tensor = found if isinstance(found, Tensor) else found.pooler_output
    return features


LIBRARIES = {"open_clip": _open_clip, "transformers": _transformers}


def open_towers(folder: Path, dtype: torch.dtype) -> Towers:
    """The embedding model in a folder; raises UnknownLayout, or NotLoaded."""
    return LIBRARIES[get_family("embedding").layout(folder).library](folder, dtype)


def encode_blank(model: Any, n: int) -> tuple[Tensor, Tensor]:
    """The features of n blank pictures and n empty texts, by a bare model of either library."""
    if hasattr(model, "visual"):
        size = model.visual.image_size
        height, width = size if isinstance(size, tuple) else (size, size)
        texts = torch.zeros(n, model.context_length, dtype=torch.long)
        return model.encode_image(torch.zeros(n, 3, height, width)), model.encode_text(texts)
    # As it is loaded: a skeleton has the plainest attention.
    model.set_attn_implementation("sdpa")
    size = model.config.vision_config.image_size
    length = model.config.text_config.max_position_embeddings
    pictures = model.get_image_features(pixel_values=torch.zeros(n, 3, size, size))
    texts = model.get_text_features(input_ids=torch.zeros(n, length, dtype=torch.long))
    return _features(pictures), _features(texts)
