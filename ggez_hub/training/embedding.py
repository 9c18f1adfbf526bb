"""Vision-language embedding models: pictures and their captions, told apart from all others.

The loss is that of the base: CLIP's softmax over the batch (arXiv 2103.00020), or SigLIP's sigmoid
for each pair (2303.15343), by open_clip. A batch may be larger than what fits at once: by gradient
caching (2101.06983) the features of all pairs are computed first, without activations, then the
loss and its gradients at the features, then the features again, some at a time, each with its part
of the gradient. The result is that of the whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import field_validator
from torch import Tensor
from torch.nn.functional import normalize

from ggez_hub.images import to_rgb
from ggez_hub.training.backend import Loss, ModuleTree, StepContext, TrainingBackend, TrainingModule
from ggez_hub.training.embedding_towers import Towers, encoded_blank, open_towers
from ggez_hub.training.examples import caption_problem
from ggez_hub.training.lora import linear_modules
from ggez_hub.training.recipe import TrainRecipe

# The logarithm of the largest factor of similarities that CLIP was trained with.
LARGEST_SCALE = math.log(100)
# CLIP's loss of one pair is zero whatever the model says, and SigLIP's has nothing to tell it from.
FEWEST = 2
SEES = ("visual", "vision_model", "vision_tower")
SCALES = ("logit_scale", "logit_bias")


class EmbeddingRecipe(TrainRecipe):
    """`towers` says which tower learns; `loss` is the base's own if it is left out."""

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

    family: Literal["embedding"]
    towers: Literal["both", "text", "pictures"] = "both"
    loss: Literal["clip", "siglip"] | None = None

    @field_validator("batch_size")
    @classmethod
    def _pairs(cls, asked: int) -> int:
        if asked < FEWEST:
            raise ValueError(f"a pair is told apart from others: a batch has at least {FEWEST}")
        return asked


class Features(NamedTuple):
    """Features of n pairs, (n, d) each with rows of length 1, and what similarities become."""

    pictures: Tensor
    texts: Tensor
    scale: Tensor
    bias: Tensor | None


class EmbeddingLearner(TrainingModule):
    """Two towers; `forward` gives the Features of a batch, of which the loss is made at once."""

    def __init__(self, towers: Towers, loss: str | None) -> None:
        super().__init__()
        self.model = towers.model
        self.kind = loss or ("clip" if towers.bias is None else "siglip")
        # Their parameters are the model's: they are not registered twice.
        object.__setattr__(self, "towers", towers)
        self.towers: Towers

    def batch(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        pictures = [to_rgb(row["image"]["bytes"]) for row in rows]
        return {
            "pictures": self.towers.read_pictures(pictures),
            "texts": self.towers.read_texts([row["text"] for row in rows]),
        }

    def forward(self, **batch: Any) -> Features:
        return Features(
            normalize(_wide(self.towers.see(batch["pictures"])), dim=-1),
            normalize(_wide(self.towers.understand(batch["texts"])), dim=-1),
            _wide(self.towers.scale),
            None if self.towers.bias is None else _wide(self.towers.bias),
        )

    def loss(self, run: StepContext, batches: Sequence[Mapping[str, Any]]) -> Loss:
        return self._loss(_joined([run.call(**batch) for batch in batches]), run)[0]

    def backward(self, run: StepContext, batches: Sequence[Mapping[str, Any]]) -> Loss:
        if len(batches) == 1:
            loss, total = self._loss(run.call(**batches[0]), run)
            run.backward(total)
            return loss
        # What is random in a forward pass (dropout) has to be the same in the second one.
        states, found = [], []
        with torch.no_grad():
            for batch in batches:
                states.append(_random_state())
                found.append(run.call(**batch))
        cached = Features(
            *(None if t is None else t.detach().requires_grad_() for t in _joined(found))  # type: ignore[arg-type]
        )
        loss, total = self._loss(cached, run)
        torch.autograd.backward(total)
        last = len(batches) - 1
        start = 0
        for number, (batch, state) in enumerate(zip(batches, states, strict=True)):
            _set_random_state(state)
            if number == last:
                self._again(run, batch, cached, start, scales=True)
                break
            with run.alone():
                start = self._again(run, batch, cached, start, scales=False)
        return loss

    def follows(self) -> dict[str, Any]:
        return {"loss": self.kind}

    def stepped(self) -> None:
        if self.kind == "clip" and self.towers.scale.requires_grad:
            with torch.no_grad():
                self.towers.scale.clamp_(0, LARGEST_SCALE)

    def save_memory(self) -> None:
        self.towers.save_memory()

    def _loss(self, found: Features, run: StepContext) -> tuple[Loss, Tensor]:
        """This process's part of the loss, and what its gradients are taken of.

        Each process has the whole batch's loss, in which the features of the others are constants.
        """
        from open_clip.loss import ClipLoss, SigLipLoss

        own = len(found.pictures)
        pictures, texts = (_gathered(t, run) for t in (found.pictures, found.texts))
        # Every process has the gradient of these in full, and they are summed over all.
        scale, bias = (
            t
            if t is None or run.processes == 1
            else t / run.processes + (1 - 1 / run.processes) * t.detach()
            for t in (found.scale, found.bias)
        )
        assert scale is not None  # noqa: S101 - every model has one
        loss = ClipLoss() if self.kind == "clip" else SigLipLoss()
        mean = loss(pictures, texts, scale.exp(), bias)
        items = torch.tensor(own, device=mean.device)
        return Loss(mean.detach() * own, items), mean * len(pictures)

    def _again(
        self,
        run: StepContext,
        batch: Mapping[str, Any],
        cached: Features,
        start: int,
        *,
        scales: bool,
    ) -> int:
        """Features once more, with their part of the gradient; returns where the next batch starts."""
        found: Features = run.call(**batch)
        stop = start + len(found.pictures)
        pulled = [
            (new * old.grad[start:stop]).sum()
            for new, old in ((found.pictures, cached.pictures), (found.texts, cached.texts))
            if old.grad is not None
        ]
        if scales:
            pulled += [
                (new * old.grad).sum()
                for new, old in ((found.scale, cached.scale), (found.bias, cached.bias))
                if new is not None and old is not None and old.grad is not None
            ]
        run.backward(torch.stack(pulled).sum())
        return stop


def _joined(found: Sequence[Features]) -> Features:
    return Features(
        torch.cat([features.pictures for features in found]),
        torch.cat([features.texts for features in found]),
        found[0].scale,
        found[0].bias,
    )


def _gathered(own: Tensor, run: StepContext) -> Tensor:
    """The features of all processes in order; those of this one with their gradients."""
    if run.processes == 1:
        return own
    everyone = [torch.empty_like(own) for _ in range(run.processes)]
    torch.distributed.all_gather(everyone, own.detach().contiguous())
    everyone[run.rank] = own
    return torch.cat(everyone)


def _wide(features: Tensor) -> Tensor:
    """At least float32: a softmax over a batch is not for half of that."""
    return features if features.dtype == torch.float64 else features.float()


def _random_state() -> tuple[Tensor, list[Tensor]]:
    return (
        torch.get_rng_state(),
        torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    )


def _set_random_state(state: tuple[Tensor, list[Tensor]]) -> None:
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])


def _learns(recipe: EmbeddingRecipe, tree: ModuleTree) -> Callable[[str], bool]:
    def learns(path: str) -> bool:
        if path in SCALES:
            return recipe.method == "full"
        seeing = path.startswith((*SEES, "visual_projection"))
        return recipe.towers == "both" or seeing == (recipe.towers == "pictures")

    return learns


def _targets(recipe: EmbeddingRecipe, tree: ModuleTree) -> list[str]:
    learns = _learns(recipe, tree)
    return [path for path in linear_modules(tree) if learns(path)]


def _open(folder: Path, recipe: EmbeddingRecipe, dtype: torch.dtype) -> EmbeddingLearner:
    return EmbeddingLearner(open_towers(folder, dtype), recipe.loss)


def _trace(recipe: EmbeddingRecipe, tree: ModuleTree, n: int) -> object:
    return encoded_blank(tree[""], n)


WAY = TrainingBackend(
    recipe=EmbeddingRecipe,
    learns=_learns,
    targets=_targets,
    open=_open,
    unused=lambda recipe, row: caption_problem(row),
    trace=_trace,
    apart=True,
)
