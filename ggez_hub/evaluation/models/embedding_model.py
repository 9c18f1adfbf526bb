"""Embedding models of any library that a family knows, as they lie in a folder.

`EmbeddingModel` answers at any beta and is open_clip's; here a model is asked as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

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


# Small, so that a convolution's activations stay in a processor's cache.
BATCH = 32


class EmbeddingModel:
    """An open_clip model in evaluation mode, float32, on the CPU."""

    # The names in memory of the tensors that only pictures, and only texts, go through.
    picture_tower = ("visual.",)
    text_tower = (
        "transformer.",
        "token_embedding.",
        "positional_embedding",
        "ln_final.",
        "text_projection",
        "text.",
    )

    def __init__(self, folder: Path, family: Family) -> None:
        """Open the folder.

        Reads local files only, as long as the folder has its tokenizer. Raises UsageProblem for a
        library other than open_clip, NotLoaded if it cannot load the folder or loads something
        other than what the files hold.
        """
        layout = family.layout(folder)
        if layout.library != "open_clip":
            raise UsageProblem(f"{folder} is a model for {layout.library}, not an embedding model")
        require_engine()
        require("eval", "open_clip", "PIL")
        import open_clip
        import torch

        source = f"local-dir:{folder}"
        try:
            self._model, self._preprocess = open_clip.create_model_from_pretrained(source)
            self._tokenizer: Callable[[list[str]], torch.Tensor] = open_clip.get_tokenizer(source)
        except (OSError, RuntimeError, ValueError) as error:
            raise NotLoaded(f"open_clip cannot load {folder}: {error}") from error
        # The other order of axes in memory: the same float32 arithmetic, twice as fast on a CPU.
        self._model.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.state: Mapping[str, torch.Tensor] = self._model.state_dict()
        self._check_loaded(WeightIndex(folder, layout.weights))

    def encode_pictures(self, pictures: Sequence[bytes]) -> NDArray[np.float32]:
        """Encoded files (PNG, WebP, JPEG) -> (n, d) float32 with rows of length 1."""
        import torch

        def prepared(batch: Sequence[bytes]) -> torch.Tensor:
            return torch.stack([self._preprocess(to_rgb(data)) for data in batch])

        return self._encode(pictures, prepared, self._model.encode_image)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts -> (n, d) float32 with rows of length 1."""
        return self._encode(texts, lambda t: self._tokenizer(list(t)), self._model.encode_text)

    def _encode(
        self,
        inputs: Sequence[Any],
        prepared: Callable[[Sequence[Any]], torch.Tensor],
        encode: Callable[..., torch.Tensor],
    ) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            rows = [
                encode(prepared(inputs[start : start + BATCH]), normalize=True).float().numpy()
                for start in range(0, len(inputs), BATCH)
            ]
        return np.concatenate(rows)

    def _check_loaded(self, index: WeightIndex) -> None:
        """The library may resize tensors: what is measured would not be what the folder holds."""
        import torch

        for name in index:
            loaded = self.state.get(name)
            if loaded is not None and not torch.equal(loaded, index.read(name).to(loaded.dtype)):
                raise NotLoaded(
                    f"open_clip does not compute with the tensor {name!r} of {index.folder}",
                    "Names and shapes in the file have to be those of the loaded model.",
                )


# What text towers take of what tokenizers give.
TEXT_INPUTS = ("input_ids", "attention_mask")


class Embedder(Protocol):
    """A model that puts pictures and texts into one space."""

    @property
    def state(self) -> Mapping[str, torch.Tensor]:
        """Its tensors in memory."""

    @property
    def picture_tower(self) -> tuple[str, ...]:
        """How the names of the tensors begin that only pictures go through."""

    @property
    def text_tower(self) -> tuple[str, ...]:
        """How the names of the tensors begin that only texts go through."""

    def encode_pictures(self, pictures: Sequence[bytes]) -> NDArray[np.float32]:
        """Encoded files (PNG, WebP, JPEG) -> (n, d) float32 with rows of length 1."""

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts -> (n, d) float32 with rows of length 1."""


class TransformersEmbedder:
    """A CLIP-like model of transformers (CLIP, SigLIP, ...), in float32, on the CPU.

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

        family.layout(folder)
        self._words = open_processing(folder, "AutoTokenizer")
        self._images = open_processing(folder, "AutoImageProcessor")
        state = late_weights(folder, family, adapted) if adapted else None
        self._model = open_model(folder, "AutoModel", torch.float32, state)
        self._model.requires_grad_(False)
        self.state: Mapping[str, torch.Tensor] = self._model.state_dict()
        self._length: int = self._model.config.text_config.max_position_embeddings

    def encode_pictures(self, pictures: Sequence[bytes]) -> NDArray[np.float32]:
        """Encoded files (PNG, WebP, JPEG) -> (n, d) float32 with rows of length 1."""

        def encode(batch: Sequence[bytes]) -> Any:
            images = [to_rgb(data) for data in batch]
            inputs = self._images(images=images, return_tensors="pt")
            return self._model.get_image_features(**inputs)

        return _encoded(pictures, encode)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts -> (n, d) float32 with rows of length 1."""

        def encode(batch: Sequence[str]) -> Any:
            inputs = self._words(
                list(batch),
                padding="max_length",
                max_length=self._length,
                truncation=True,
                return_tensors="pt",
            )
            return self._model.get_text_features(
                **{name: inputs[name] for name in TEXT_INPUTS if name in inputs}
            )

        return _encoded(texts, encode)


def open_embedder(folder: Path, family: Family, adapted: Adapted | None = None) -> Embedder:
    """The embedding model in a folder, with an adapter on it if there is one.

    Raises UsageProblem for another kind, NotLoaded, and what opening the adapter raises.
    """
    library = family.layout(folder).library
    if family.name != "embedding" or library not in OPENERS:
        raise UsageProblem(
            f"{folder} holds no embedding model but one of the family {family.name!r}",
            "Only embedding models can be asked: open_clip folders, CLIP or SigLIP of transformers.",
        )
    return OPENERS[library](folder, family, adapted)


def _open_clip(folder: Path, family: Family, adapted: Adapted | None) -> Embedder:
    model = EmbeddingModel(folder, family)
    if adapted is not None:
        put_on(folder, family, adapted, model.state)
    return model


def _encoded(inputs: Sequence[Any], encode: Callable[[Sequence[Any]], Any]) -> NDArray[np.float32]:
    import torch
    from torch.nn.functional import normalize

    def features(batch: Sequence[Any]) -> torch.Tensor:
        found = encode(batch)
        # Since version 5 transformers gives the projected features as a field.
        rows: torch.Tensor = found if isinstance(found, torch.Tensor) else found.pooler_output
        return normalize(rows.float(), dim=-1)

    with torch.inference_mode():
        return np.concatenate(
            [
                features(inputs[start : start + BATCH]).numpy()
                for start in range(0, len(inputs), BATCH)
            ]
        )


OPENERS: Mapping[str, Callable[[Path, Family, Adapted | None], Embedder]] = {
    "open_clip": _open_clip,
    "transformers": TransformersEmbedder,
}
