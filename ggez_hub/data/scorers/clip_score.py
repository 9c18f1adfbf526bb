"""CLIP-like models of open_clip and transformers, and CLIPScore (Hessel et al., EMNLP 2021)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ggez_hub.data.model_folders import Library, model_folder
from ggez_hub.data.pictures import with_pictures
from ggez_hub.data.rows import Row
from ggez_hub.data.scorers.scorer import Scorer
from ggez_hub.errors import GgezError
from ggez_hub.extras import require
from ggez_hub.families.pretrained import open_model, open_processing

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from ggez_hub.data.scorers.spec import ClipScorer

Vectors: TypeAlias = NDArray[np.float32]
# The paper's w, which spreads the usual cosines over 0 to 1.
WEIGHT = 2.5


@dataclass(frozen=True)
class Clip:
    """A model whose vectors have length 1: (N, D) float32 of N pictures or texts.

    No more than a batch is taken at once, and texts are cut where the model ends. `scale` is what
    the model multiplies cosines by before it takes a softmax of them.
    """

    pictures: Callable[[Iterable[Image]], Vectors]
    texts: Callable[[Iterable[str]], Vectors]
    scale: float


def _vectors(
    embed: Callable[[list[Any]], torch.Tensor], batch: int, items: Iterable[Any]
) -> Vectors:
    import torch

    found = []
    source = iter(items)
    with torch.inference_mode():
        while taken := list(islice(source, batch)):
            vectors = embed(taken).float()
            found.append((vectors / vectors.norm(dim=-1, keepdim=True)).cpu().numpy())
    return np.concatenate(found) if found else np.zeros((0, 1), np.float32)


def open_clip_like(folder: Path, library: Library, device: str, batch: int) -> Clip:
    """Open a folder of either library; raises GgezError if it cannot be loaded."""
    require("merge", "torch", library)
    try:
        return LIBRARIES[library](folder, device, batch)
    except (OSError, RuntimeError, ValueError, KeyError, AttributeError) as error:
        raise GgezError(f"{library} cannot load {folder} as a CLIP model: {error}") from error


def _open_clip(folder: Path, device: str, batch: int) -> Clip:
    import open_clip
    import torch

    source = f"local-dir:{folder}"
    model, preprocess = open_clip.create_model_from_pretrained(source, device=device)
    tokenizer = open_clip.get_tokenizer(source)
    model.eval().requires_grad_(False)
    return _clip(
        lambda taken: model.encode_image(torch.stack([preprocess(p) for p in taken]).to(device)),
        lambda taken: model.encode_text(tokenizer(taken).to(device)),
        batch,
        model,
    )


def _transformers(folder: Path, device: str, batch: int) -> Clip:
    model = open_model(folder, "AutoModel", "auto")
    processor = open_processing(folder, "AutoProcessor")
    model.to(device).requires_grad_(False)
    # SigLIP was trained on texts that are padded to its full length.
    padding = "max_length" if model.config.model_type.startswith("siglip") else True
    text = {"padding": padding, "truncation": True, "return_tensors": "pt"}

    def pictures(batch: list[Image]) -> torch.Tensor:
        inputs = processor(images=batch, return_tensors="pt").to(device)
        return _pooled(model.get_image_features(**inputs))

    def texts(batch: list[str]) -> torch.Tensor:
        return _pooled(model.get_text_features(**processor(text=batch, **text).to(device)))

    return _clip(pictures, texts, batch, model)


def _clip(pictures: Any, texts: Any, batch: int, model: Any) -> Clip:
    scale = model.logit_scale.exp().item()
    return Clip(partial(_vectors, pictures, batch), partial(_vectors, texts, batch), scale)


def _pooled(features: Any) -> torch.Tensor:
    """The vectors themselves, which newer versions of transformers wrap."""
    vectors: torch.Tensor = getattr(features, "pooler_output", features)
    return vectors


LIBRARIES: dict[str, Callable[[Path, str, int], Clip]] = {
    "open_clip": _open_clip,
    "transformers": _transformers,
}


@dataclass(frozen=True)
class ClipScore(Scorer):
    """2.5 * max(cos, 0) of a picture and its text; None for a row without a picture."""

    clip: Clip

    @classmethod
    def of(cls, spec: ClipScorer, base: Path) -> ClipScore:
        found = model_folder(spec.model, spec.revision, base, spec.library)
        clip = open_clip_like(found.path, spec.library, spec.device, spec.batch)
        return cls(f"CLIPScore {found.name}", frozenset(spec.languages), clip)

    def score(self, rows: Sequence[Row]) -> list[float | None]:
        scores: list[float | None] = [None] * len(rows)
        places, pictures = with_pictures(rows)
        if places:
            seen = self.clip.pictures(pictures)
            said = self.clip.texts([rows[place].text for place in places])
            cosines = np.einsum("nd,nd->n", seen, said)
            for place, cosine in zip(places, cosines.tolist(), strict=True):
                scores[place] = WEIGHT * max(cosine, 0.0)
        return scores
