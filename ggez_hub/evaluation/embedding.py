"""The embedding model of open_clip under test, as it lies in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ggez_hub.errors import UsageProblem
from ggez_hub.extras import require
from ggez_hub.families import Family
from ggez_hub.families.loading import NotLoaded
from ggez_hub.merging.deltas import WeightIndex
from ggez_hub.merging.merge import require_engine
from ggez_hub.pictures import seen

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
            return torch.stack([self._preprocess(seen(data)) for data in batch])

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
