"""Which modules get LoRA factors, and the adapter that PEFT puts on them."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import torch
from torch import nn

from ggez_hub.linear_patterns import BadPattern, compile_pattern
from ggez_hub.recipe_file import BadRecipe
from ggez_hub.training.backend import ModuleTree, TrainingBackend
from ggez_hub.training.recipe import TrainRecipe
from ggez_hub.training.sharding import shape_of

# What PEFT puts factors on.
FACTORED = (nn.Linear, nn.Conv2d, nn.Embedding)


def lora_targets(backend: TrainingBackend, recipe: TrainRecipe, tree: ModuleTree) -> list[str]:
    """The paths of the modules that get factors; raises BadRecipe if there are none.

    Every entry of `target_modules` has to match something in the part that is trained.
    """
    asked = recipe.adapter.target_modules
    if asked is None:
        found = sorted(backend.targets(recipe, tree))
    else:
        learns = backend.learns(recipe, tree)
        found = _matching(
            asked, [path for path, m in tree.items() if isinstance(m, FACTORED) and learns(path)]
        )
    if not found:
        raise BadRecipe("lora.target_modules: the model has no modules to put factors on")
    return found


def linear_modules(tree: ModuleTree) -> list[str]:
    """The paths of linear layers that are called: those of torch's attention are only read."""
    read = tuple(f"{path}." for path, m in tree.items() if isinstance(m, nn.MultiheadAttention))
    return [
        path
        for path, module in tree.items()
        if isinstance(module, nn.Linear) and not path.startswith(read)
    ]


def full_parameters(backend: TrainingBackend, recipe: TrainRecipe, tree: ModuleTree) -> list[str]:
    """The parameters that `method: full` trains; raises BadRecipe if there are none."""
    learns = backend.learns(recipe, tree)
    found = [name for name, _ in tree[""].named_parameters() if learns(name)]
    if not found:
        raise BadRecipe("method: full trains nothing of this model")
    return found


def add_lora(model: Any, recipe: TrainRecipe, targets: Collection[str]) -> Any:
    """The model wrapped by PEFT, with fresh factors in float32; only they learn."""
    import peft

    asked = recipe.adapter
    config = peft.LoraConfig(
        r=asked.r,
        lora_alpha=asked.alpha,  # type: ignore[arg-type]
        lora_dropout=asked.dropout,
        use_rslora=asked.rslora,
        target_modules=sorted(targets),
        bias="none",
    )
    with warnings.catch_warnings():
        # PEFT's use of names that transformers is about to change.
        warnings.simplefilter("ignore", FutureWarning)
        return peft.get_peft_model(model, config, autocast_adapter_dtype=True)


def trained_parameters(model: nn.Module) -> int:
    """How many numbers learn."""
    return sum(shape_of(p).numel() for p in model.parameters() if p.requires_grad)


def base_dtype(recipe: TrainRecipe) -> torch.dtype:
    """The dtype of the base's weights in memory.

    Weights that learn are float32, whatever the arithmetic: in bfloat16 a step at a small rate would
    change nothing.
    """
    frozen = recipe.precision == "bf16" and recipe.method == "lora"
    return torch.bfloat16 if frozen else torch.float32


def _matching(asked: str | list[str], paths: list[str]) -> list[str]:
    """The paths that match a regular expression, or end in one of the names."""
    if isinstance(asked, str):
        try:
            pattern = compile_pattern(asked)
        except BadPattern as error:
            raise BadRecipe(f"lora.target_modules: {error}") from error
        matches = {asked: [path for path in paths if pattern.fullmatch(path)]}
    else:
        matches = {
            entry: [path for path in paths if path == entry or path.endswith(f".{entry}")]
            for entry in asked
        }
    for entry, found in matches.items():
        if not found:
            ends = sorted({path.rpartition(".")[2] for path in paths})
            raise BadRecipe(
                f"lora.target_modules: {entry!r} matches no module",
                f"Modules that are trained end in {', '.join(ends[:12])}.",
            )
    return sorted({path for found in matches.values() for path in found})
