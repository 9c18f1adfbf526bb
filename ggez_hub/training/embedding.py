"""Vision-language embedding models: contrastive training on pictures and their captions.

The loss is that of the base: CLIP's softmax over the batch (arXiv 2103.00020), or SigLIP's sigmoid
for each pair (2303.15343), by open_clip. A batch may be larger than what fits at once: gradient
caching (2101.06983) computes the features of all pairs without activations, then the loss and its
gradients at the features, then the features again, some at a time, each with its part of the
gradient. The result is that of the full batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from ggez_hub.evaluation.models.embedding_model import (
    Embedder,
    open_embedder,
    projected_features,
)
from ggez_hub.families import get_family
from ggez_hub.images import to_rgb
from ggez_hub.training.backend import Loss, ModuleTree, StepContext, TrainingBackend, TrainingModule
from ggez_hub.training.examples import caption_problem
from ggez_hub.training.lora import linear_modules
from ggez_hub.training.recipe import TrainRecipe
from ggez_hub.training.sharding import assign, computable

# CLIP's largest factor of similarities, as its logarithm.
LARGEST_SCALE = math.log(100)
VISION = ("visual", "vision_model", "vision_tower")
SCALES = ("logit_scale", "logit_bias")


class EmbeddingRecipe(TrainRecipe):
    """`towers` are those that learn; `loss` is by default the base's own."""

    DEFAULTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "lora": {"optimiser": {"learning_rate": 1e-4}, "batch_size": 128, "micro_batch": 32},
        # The paper's SigLIP2 (arXiv 2604.11490).
        "full": {
            "optimiser": {"learning_rate": 5e-6, "weight_decay": 0.001},
            "batch_size": 128,
            "micro_batch": 32,
            "epochs": 2.0,
        },
    }

    towers: Literal["both", "text", "pictures"] = "both"
    loss: Literal["clip", "siglip"] | None = None
    # A pair is told apart from the others of its batch.
    batch_size: Annotated[int, Field(ge=2)]


class Features(NamedTuple):
    """Features of n pairs, (n, d) each with rows of length 1, and what scales their similarities."""

    pictures: Tensor
    texts: Tensor
    scale: Tensor
    bias: Tensor | None


class EmbeddingModule(TrainingModule):
    """Two towers; `forward` returns the Features of a batch, of which the loss is computed at once."""

    def __init__(self, embedder: Embedder, loss: str | None) -> None:
        super().__init__()
        self.model = embedder.model
        self.embedder = embedder
        self.kind = loss or ("clip" if self._bias is None else "siglip")

    def batch(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        pictures = [to_rgb(row["image"]["bytes"]) for row in rows]
        return {
            "pictures": self.embedder.picture_inputs(pictures),
            "texts": self.embedder.text_inputs([row["text"] for row in rows]),
        }

    def forward(self, **batch: Any) -> Features:
        scale, bias = self._scale, self._bias
        pictures = {
            n: t.to(scale.dtype) if t.is_floating_point() else t
            for n, t in batch["pictures"].items()
        }
        return Features(
            normalize(_at_least_float32(self.embedder.picture_features(pictures)), dim=-1),
            normalize(_at_least_float32(self.embedder.text_features(batch["texts"])), dim=-1),
            _at_least_float32(scale),
            None if bias is None else _at_least_float32(bias),
        )

    @property
    def _scale(self) -> torch.nn.Parameter:
        """The logarithm of the factor of all similarities."""
        return self.embedder.model.logit_scale

    @property
    def _bias(self) -> torch.nn.Parameter | None:
        """What SigLIP adds to similarities."""
        return getattr(self.embedder.model, "logit_bias", None)

    def loss(self, context: StepContext, batches: Sequence[Mapping[str, Any]]) -> Loss:
        return self._loss(_joined([context.call(**batch) for batch in batches]), context)[0]

    def backward(self, context: StepContext, batches: Sequence[Mapping[str, Any]]) -> Loss:
        if len(batches) == 1:
            loss, total = self._loss(context.call(**batches[0]), context)
            context.backward(total)
            return loss
        # What is random in a forward pass (dropout) has to be the same in the second one.
        seeds = torch.randint(2**62, (len(batches),)).tolist()
        found = []
        with torch.no_grad():
            for batch, seed in zip(batches, seeds, strict=True):
                torch.manual_seed(seed)
                found.append(context.call(**batch))
        cached = Features(
            *(None if t is None else t.detach().requires_grad_() for t in _joined(found))  # type: ignore[arg-type]
        )
        loss, total = self._loss(cached, context)
        torch.autograd.backward(total)
        start = 0
        for number, (batch, seed) in enumerate(zip(batches, seeds, strict=True), 1):
            torch.manual_seed(seed)
            last = number == len(batches)
            with nullcontext() if last else context.no_sync():
                again: Features = context.call(**batch)
                stop = start + len(again.pictures)
                context.backward(_with_gradients(again, cached, slice(start, stop), scales=last))
                start = stop
        return loss

    def derived_settings(self) -> dict[str, Any]:
        return {"loss": self.kind}

    def after_step(self) -> None:
        if self.kind == "clip" and self._scale.requires_grad:
            assign(self._scale, computable(self._scale).clamp(0, LARGEST_SCALE))

    def save_memory(self) -> None:
        if hasattr(self.model, "set_grad_checkpointing"):
            self.model.set_grad_checkpointing(True)
        else:
            super().save_memory()

    def _loss(self, found: Features, context: StepContext) -> tuple[Loss, Tensor]:
        """This process's part of the loss, and the scalar whose gradients are taken.

        Each process computes the loss of all processes' pairs, in which the features of the others
        are constants.
        """
        from open_clip.loss import ClipLoss, SigLipLoss

        own, processes = len(found.pictures), context.processes
        pictures, texts = (_gather(t, context) for t in (found.pictures, found.texts))
        # Every process has the gradient of these in full, and they are summed over all.
        scale, bias = (
            t if t is None or processes == 1 else t / processes + (1 - 1 / processes) * t.detach()
            for t in (found.scale, found.bias)
        )
        assert scale is not None  # noqa: S101 - every model has one
        loss = ClipLoss() if self.kind == "clip" else SigLipLoss()
        mean = loss(pictures, texts, scale.exp(), bias)
        items = torch.tensor(own, device=mean.device)
        return Loss(mean.detach() * own, items), mean * len(pictures)


def _with_gradients(again: Features, cached: Features, part: slice, *, scales: bool) -> Tensor:
    """The scalar whose gradient is the part of the loss's that goes through these features."""
    # The scales of similarities are the same in every batch: their gradient is added once.
    count = 4 if scales else 2
    return torch.stack(
        [
            (new * (old.grad if new.ndim < 2 else old.grad[part])).sum()
            for new, old in zip(again[:count], cached[:count], strict=True)
            if new is not None and old is not None and old.grad is not None
        ]
    ).sum()


def _joined(found: Sequence[Features]) -> Features:
    return Features(
        torch.cat([features.pictures for features in found]),
        torch.cat([features.texts for features in found]),
        found[0].scale,
        found[0].bias,
    )


def _gather(own: Tensor, context: StepContext) -> Tensor:
    """The features of all processes in order; those of this one with their gradients."""
    if context.processes == 1:
        return own
    everyone = [torch.empty_like(own) for _ in range(context.processes)]
    torch.distributed.all_gather(everyone, own.detach().contiguous())
    everyone[context.rank] = own
    return torch.cat(everyone)


def _at_least_float32(features: Tensor) -> Tensor:
    """A softmax over a batch needs more than half precision."""
    return features if features.dtype == torch.float64 else features.float()


def _learns(recipe: EmbeddingRecipe, tree: ModuleTree) -> Callable[[str], bool]:
    def learns(path: str) -> bool:
        if path in SCALES:
            return recipe.method == "full"
        is_vision = path.startswith((*VISION, "visual_projection"))
        return recipe.towers == "both" or is_vision == (recipe.towers == "pictures")

    return learns


def _targets(recipe: EmbeddingRecipe, tree: ModuleTree) -> list[str]:
    learns = _learns(recipe, tree)
    return [path for path in linear_modules(tree) if learns(path)]


def _open(folder: Path, recipe: EmbeddingRecipe, dtype: torch.dtype) -> EmbeddingModule:
    embedder = open_embedder(folder, get_family(recipe.family))
    # Its tensors before they have another dtype.
    embedder.state = {}
    embedder.model.to(dtype)
    return EmbeddingModule(embedder, recipe.loss)


def _trace(recipe: EmbeddingRecipe, tree: ModuleTree, n: int) -> object:
    """The features of n blank pictures and n empty texts, by a model of either library."""
    model: Any = tree[""]
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
    return projected_features(pictures), projected_features(texts)


BACKEND = TrainingBackend(
    recipe=EmbeddingRecipe,
    learns=_learns,
    targets=_targets,
    open=_open,
    row_problem=caption_problem,
    trace=_trace,
    contrastive=True,
)
