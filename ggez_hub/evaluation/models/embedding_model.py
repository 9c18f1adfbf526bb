"""Embedding models of open_clip and transformers under test, opened from a folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.models.weight_swap import Adapted, late_weights, put_on
from ggez_hub.extras import require
from ggez_hub.families import Family
from ggez_hub.families.pretrained import NotLoaded, open_model, open_processing
from ggez_hub.images import to_rgb
from ggez_hub.merging.deltas import WeightIndex
from ggez_hub.merging.merge import require_engine

if TYPE_CHECKING:
    import torch
    from PIL import Image


Inputs: TypeAlias = "Mapping[str, torch.Tensor]"

# Small, so that a convolution's activations stay in a processor's cache.
BATCH = 32
# The inputs of text towers among those that tokenizers give.
TEXT_INPUTS = ("input_ids", "attention_mask")


class Embedder(ABC):
    """A model that puts pictures and texts into one space, in float32, on the CPU.

    model  of its library; state: its tensors in memory
    picture_tower, text_tower  how the names of the tensors begin that only one of the two goes through
    """

    model: Any
    state: Mapping[str, torch.Tensor]
    picture_tower: tuple[str, ...]
    text_tower: tuple[str, ...]

    def encode_pictures(self, pictures: Sequence[bytes]) -> NDArray[np.float32]:
        """Encoded files (PNG, WebP, JPEG) -> (n, d) float32 with rows of length 1."""

        def features(batch: Sequence[bytes]) -> torch.Tensor:
            return self.picture_features(self.picture_inputs([*map(to_rgb, batch)]))

        return _encode(pictures, features)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts -> (n, d) float32 with rows of length 1."""
        return _encode(texts, lambda batch: self.text_features(self.text_inputs(list(batch))))

    @abstractmethod
    def picture_inputs(self, pictures: list[Image.Image]) -> Inputs:
        """n pictures as inputs of `picture_features`."""

    @abstractmethod
    def text_inputs(self, texts: list[str]) -> Inputs:
        """n texts as inputs of `text_features`."""

    @abstractmethod
    def picture_features(self, inputs: Inputs) -> torch.Tensor:
        """The features of pictures, (n, d), not normalised."""

    @abstractmethod
    def text_features(self, inputs: Inputs) -> torch.Tensor:
        """The features of texts, (n, d), not normalised."""


def _encode(
    inputs: Sequence[Any], features: Callable[[Sequence[Any]], torch.Tensor]
) -> NDArray[np.float32]:
    import torch
    from torch.nn.functional import normalize

    with torch.inference_mode():
        rows = [
            normalize(features(inputs[start : start + BATCH]).float(), dim=-1).numpy()
            for start in range(0, len(inputs), BATCH)
        ]
    return np.concatenate(rows)


class OpenClipEmbedder(Embedder):
    """An open_clip model in evaluation mode."""

    picture_tower = ("visual.",)
    text_tower = (
        "transformer.",
        "token_embedding.",
        "positional_embedding",
        "ln_final.",
        "text_projection",
        "text.",
    )

    def __init__(self, folder: Path, family: Family, adapted: Adapted | None = None) -> None:
        """Open a folder; reads local files only, as long as the folder has its tokenizer.

        Raises NotLoaded if open_clip cannot load the folder or loads something other than what the
        files hold, and what opening the adapter raises.
        """
        require_engine()
        require("eval", "open_clip", "PIL")
        import open_clip
        import torch

        source = f"local-dir:{folder}"
        try:
            self.model, self._preprocess = open_clip.create_model_from_pretrained(source)
            self._tokenizer: Callable[[list[str]], torch.Tensor] = open_clip.get_tokenizer(source)
        except (OSError, RuntimeError, ValueError) as error:
            raise NotLoaded(f"open_clip cannot load {folder}: {error}") from error
        # The other order of axes in memory: the same float32 arithmetic, twice as fast on a CPU.
        self.model.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.state = self.model.state_dict()
        # The library may resize tensors: what is measured would not be what the folder holds.
        index = WeightIndex(folder, family.layout(folder).weights)
        for name in index:
            loaded = self.state.get(name)
            if loaded is not None and not torch.equal(loaded, index.read(name).to(loaded.dtype)):
                raise NotLoaded(
                    f"open_clip does not compute with the tensor {name!r} of {folder}",
                    "Names and shapes in the file have to be those of the loaded model.",
                )
        if adapted is not None:
            put_on(folder, family, adapted, self.state)

    def picture_inputs(self, pictures: list[Image.Image]) -> Inputs:
        import torch

        return {"image": torch.stack([self._preprocess(picture) for picture in pictures])}

    def text_inputs(self, texts: list[str]) -> Inputs:
        return {"text": self._tokenizer(texts)}

    def picture_features(self, inputs: Inputs) -> torch.Tensor:
        return self.model.encode_image(inputs["image"])

    def text_features(self, inputs: Inputs) -> torch.Tensor:
        return self.model.encode_text(inputs["text"])


class TransformersEmbedder(Embedder):
    """A CLIP-like model of transformers (CLIP, SigLIP, ...).

    Texts are padded and cut to the length of the text tower, as SigLIP was trained; a CLIP masks
    what is padded.
    """

    picture_tower = ("vision_model.", "visual_projection.")
    text_tower = ("text_model.", "text_projection.")

    def __init__(self, folder: Path, family: Family, adapted: Adapted | None = None) -> None:
        """Open local files only: no code of the repository, no pickle.

        Raises NotLoaded where transformers cannot load the folder, or would make weights up, and
        what opening the adapter raises.
        """
        require_engine()
        require("eval", "transformers", "PIL")
        import torch

        self._words = open_processing(folder, "AutoTokenizer")
        self._images = open_processing(folder, "AutoImageProcessor")
        state = late_weights(folder, family, adapted) if adapted else None
        self.model = open_model(folder, "AutoModel", torch.float32, state)
        self.model.requires_grad_(False)
        self.state = self.model.state_dict()
        self._length: int = self.model.config.text_config.max_position_embeddings

    def picture_inputs(self, pictures: list[Image.Image]) -> Inputs:
        return dict(self._images(images=pictures, return_tensors="pt"))

    def text_inputs(self, texts: list[str]) -> Inputs:
        inputs = self._words(
            texts,
            padding="max_length",
            max_length=self._length,
            truncation=True,
            return_tensors="pt",
        )
        return {name: inputs[name] for name in TEXT_INPUTS if name in inputs}

    def picture_features(self, inputs: Inputs) -> torch.Tensor:
        return projected_features(self.model.get_image_features(**inputs))

    def text_features(self, inputs: Inputs) -> torch.Tensor:
        return projected_features(self.model.get_text_features(**inputs))


def projected_features(found: Any) -> torch.Tensor:
    """The features; since version 5 transformers gives them as a field."""
    import torch

    features: torch.Tensor = found if isinstance(found, torch.Tensor) else found.pooler_output
    return features


OPENERS: Mapping[str, Callable[[Path, Family, Adapted | None], Embedder]] = {
    "open_clip": OpenClipEmbedder,
    "transformers": TransformersEmbedder,
}


def open_embedder(folder: Path, family: Family, adapted: Adapted | None = None) -> Embedder:
    """The embedding model in a folder, with an adapter on it if there is one.

    Raises UsageProblem for another kind, NotLoaded, and what opening the adapter raises.
    """
    library = family.layout(folder).library
    if family.generates != "embeddings" or library not in OPENERS:
        raise UsageProblem(
            f"{folder} holds a model of the family {family.name!r}, not an embedding model",
            "Only embedding models can be asked: open_clip folders, CLIP or SigLIP of transformers.",
        )
    return OPENERS[library](folder, family, adapted)
