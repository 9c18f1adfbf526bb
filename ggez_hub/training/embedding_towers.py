"""The two towers of an embedding model, whatever library it is for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ggez_hub.families import get_family
from ggez_hub.families.pretrained import NotLoaded, open_model, open_processing
from ggez_hub.training.backend import checkpoint_activations

if TYPE_CHECKING:
    from PIL.Image import Image

# What text towers take of what tokenizers return.
TEXT_INPUTS = ("input_ids", "attention_mask")


class Towers(ABC):
    """An embedding model, and what makes tensors for it.

    `scale` is the logarithm of the factor of all similarities, `bias` what SigLIP adds to them.
    """

    model: Any
    scale: nn.Parameter
    bias: nn.Parameter | None

    @abstractmethod
    def picture_inputs(self, pictures: Sequence[Image]) -> dict[str, Tensor]:
        """n pictures as inputs of `encode_pictures`."""

    @abstractmethod
    def text_inputs(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """n texts as inputs of `encode_texts`, padded and cut as the tower was trained."""

    @abstractmethod
    def encode_pictures(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The features of pictures, (n, d), not normalised."""

    @abstractmethod
    def encode_texts(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The features of texts, (n, d), not normalised."""

    @abstractmethod
    def save_memory(self) -> None:
        """Compute activations again in the backward pass."""


class OpenClipTowers(Towers):
    """A model of open_clip."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        import open_clip

        source = f"local-dir:{folder}"
        try:
            model, self._preprocess = open_clip.create_model_from_pretrained(source)
            self._tokenizer: Callable[[list[str]], Tensor] = open_clip.get_tokenizer(source)
        except (OSError, RuntimeError, ValueError) as error:
            raise NotLoaded(f"open_clip cannot load {folder}: {error}") from error
        self.model = model.eval().to(dtype)
        self.scale, self.bias = model.logit_scale, model.logit_bias

    def picture_inputs(self, pictures: Sequence[Image]) -> dict[str, Tensor]:
        return {"image": torch.stack([self._preprocess(picture) for picture in pictures])}

    def text_inputs(self, texts: Sequence[str]) -> dict[str, Tensor]:
        return {"text": self._tokenizer(list(texts))}

    def encode_pictures(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return self.model.encode_image(inputs["image"].to(self.scale.dtype))

    def encode_texts(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return self.model.encode_text(inputs["text"])

    def save_memory(self) -> None:
        self.model.set_grad_checkpointing(True)


class TransformersTowers(Towers):
    """A CLIP-like model of transformers (CLIP, SigLIP, SigLIP 2)."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self._words = open_processing(folder, "AutoTokenizer")
        self._images = open_processing(folder, "AutoImageProcessor")
        self.model = open_model(folder, "AutoModel", dtype)
        self.scale = self.model.logit_scale
        self.bias = getattr(self.model, "logit_bias", None)
        self._length: int = self.model.config.text_config.max_position_embeddings

    def picture_inputs(self, pictures: Sequence[Image]) -> dict[str, Tensor]:
        return dict(self._images(images=list(pictures), return_tensors="pt"))

    def text_inputs(self, texts: Sequence[str]) -> dict[str, Tensor]:
        inputs = self._words(
            list(texts),
            padding="max_length",
            max_length=self._length,
            truncation=True,
            return_tensors="pt",
        )
        return {name: inputs[name] for name in TEXT_INPUTS if name in inputs}

    def encode_pictures(self, inputs: Mapping[str, Tensor]) -> Tensor:
        dtype = self.scale.dtype
        cast = {n: t.to(dtype) if t.is_floating_point() else t for n, t in inputs.items()}
        return _features(self.model.get_image_features(**cast))

    def encode_texts(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return _features(self.model.get_text_features(**inputs))

    def save_memory(self) -> None:
        checkpoint_activations(self.model)


def _features(found: Any) -> Tensor:
    # Since version 5 transformers returns the projected features as a field.
    features: Tensor = found if isinstance(found, Tensor) else found.pooler_output
    return features


LIBRARIES = {"open_clip": OpenClipTowers, "transformers": TransformersTowers}


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
