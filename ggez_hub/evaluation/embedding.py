"""The embedding model under test: base + beta * Delta at any beta, without a merged model on disk.

The weights that answer are, bit for bit, those that `merge` would write: stored tensors are read
from the base's file, interpolated by the merge's own arithmetic and rounded to the stored dtype.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.extras import require
from ggez_hub.families import Family
from ggez_hub.families.loading import NotLoaded
from ggez_hub.merging.merge import require_engine
from ggez_hub.merging.recomputed import Recomputed

if TYPE_CHECKING:
    import torch

IMAGE_TOWER = "visual."
# They scale all similarities of a model alike: no rank and no choice depends on them.
TEMPERATURE = frozenset({"logit_scale", "logit_bias"})
# Small, so that a convolution's activations stay in a processor's cache.
BATCH = 32


class EmbeddingModel:
    """An open_clip model in evaluation mode, float32, on the CPU."""

    def __init__(self, base: Path, adapter: Path | None, family: Family) -> None:
        """Open the folder `base` and, for `set_beta`, the adapter on it; beta is 0.

        Reads local files only, as long as the folder has its tokenizer. Raises UsageProblem for a
        library other than open_clip, NotLoaded if it cannot load the folder or loads something
        other than what the files hold, and what opening an adapter raises.
        """
        layout = family.layout(base)
        if layout.library != "open_clip":
            raise UsageProblem(f"{base} is a model for {layout.library}, not an embedding model")
        require_engine()
        require("open_clip", "PIL")
        import open_clip
        import torch

        self._weights = Recomputed(base, adapter, family)
        source = f"local-dir:{base}"
        try:
            self._model, self._preprocess = open_clip.create_model_from_pretrained(source)
            self._tokenizer: Callable[[list[str]], torch.Tensor] = open_clip.get_tokenizer(source)
        except (OSError, RuntimeError, ValueError) as error:
            raise NotLoaded(f"open_clip cannot load {base}: {error}") from error
        # The other order of axes in memory: the same float32 arithmetic, twice as fast on a CPU.
        self._model.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self._state: dict[str, torch.Tensor] = self._model.state_dict()
        self._beta = 0.0
        self._check_loaded()

    @property
    def touched(self) -> frozenset[str]:
        """The tensors that change with beta."""
        return self._weights.touched

    @property
    def moves_pictures(self) -> bool:
        """Whether embeddings of pictures depend on beta."""
        return any(name.startswith(IMAGE_TOWER) for name in self.touched)

    @property
    def moves_texts(self) -> bool:
        """Whether embeddings of texts depend on beta."""
        return any(not name.startswith(IMAGE_TOWER) for name in self.touched - TEMPERATURE)

    @property
    def beta(self) -> float:
        """The beta at which it answers now."""
        return self._beta

    def set_beta(self, beta: float) -> None:
        """Answer as base + beta * Delta from now on.

        Raises NotFinite as the merge would, after which the model is of no use, and UsageProblem if
        beta needs an adapter and there is none.
        """
        if beta != 0 and not self._weights.adapted:
            raise UsageProblem(f"beta {beta:g} needs an adapter", "A base alone has beta 0.")
        for name in self.touched:
            self._state[name].copy_(self.tensor(name, beta))
        self._beta = beta

    def tensor(self, name: str, beta: float) -> torch.Tensor:
        """A tensor as the merge with `beta` stores it, in the base's dtype."""
        return self._weights.tensor(name, beta)

    def encode_pictures(self, pictures: Sequence[bytes]) -> NDArray[np.float32]:
        """Encoded files (PNG, WebP, JPEG) -> (n, d) float32 with rows of length 1."""
        import torch
        from PIL import Image

        def prepared(batch: Sequence[bytes]) -> torch.Tensor:
            return torch.stack([self._preprocess(Image.open(io.BytesIO(data))) for data in batch])

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

    def _check_loaded(self) -> None:
        """The library may rename or resize tensors: a beta would then not be what is measured."""
        import torch

        index = self._weights.index
        for name in index:
            loaded = self._state.get(name)
            if loaded is None and name not in self.touched:
                continue
            if loaded is None or not torch.equal(loaded, index.read(name).to(loaded.dtype)):
                raise NotLoaded(
                    f"open_clip does not compute with the tensor {name!r} of {index.folder}",
                    "Names and shapes in the file have to be those of the loaded model.",
                )
