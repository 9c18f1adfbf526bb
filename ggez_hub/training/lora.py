"""Which modules get factors, and the adapter that PEFT puts on them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection
from typing import Any

import torch
from torch import nn

from ggez_hub.recipe_file import BadRecipe
from ggez_hub.training.backend import ModuleTree, TrainingBackend
from ggez_hub.training.recipe import TrainRecipe

# What PEFT puts factors on.
FACTORED = (nn.Linear, nn.Conv2d, nn.Embedding)


def targets_of(way: TrainingBackend, recipe: TrainRecipe, tree: ModuleTree) -> list[str]:
    """The paths of the modules that get factors; raises BadRecipe if there are none.

    Every entry of `target_modules` has to match something in the part that is trained.
    """
    asked = recipe.adapter.target_modules
    if asked is None:
        found = sorted(way.targets(recipe, tree))
    else:
        found = _matched(asked, way, recipe, tree)
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


def learning_parameters(way: TrainingBackend, recipe: TrainRecipe, tree: ModuleTree) -> list[str]:
    """The parameters that `method: full` trains; raises BadRecipe if there are none."""
    learns = way.learns(recipe, tree)
    found = [name for name, _ in tree[""].named_parameters() if learns(name)]
    if not found:
        raise BadRecipe("method: full trains nothing of this model")
    return found


def put_on(model: Any, recipe: TrainRecipe, targets: Collection[str]) -> Any:
    """The model wrapped by PEFT, with fresh factors in float32; only they learn."""
    import peft

    asked = recipe.adapter
    config = peft.LoraConfig(
        r=asked.r,
        lora_alpha=asked.alpha,
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
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _matched(
    asked: str | list[str], way: TrainingBackend, recipe: TrainRecipe, tree: ModuleTree
) -> list[str]:
    learns = way.learns(recipe, tree)
    able = [path for path, module in tree.items() if isinstance(module, FACTORED) and learns(path)]
    if isinstance(asked, str):
        try:
            pattern = re.compile(asked)
        except re.error as error:
            raise BadRecipe(f"lora.target_modules: is no regular expression: {error}") from error
        found = [path for path in able if pattern.fullmatch(path)]
        if not found:
            raise BadRecipe(f"lora.target_modules: {asked!r} matches no module", _example(able))
        return found
    found = []
    for entry in asked:
        own = [path for path in able if path == entry or path.endswith(f".{entry}")]
        if not own:
            raise BadRecipe(f"lora.target_modules: {entry!r} matches no module", _example(able))
        found += own
    return sorted(set(found))


def _example(able: Collection[str]) -> str:
    ends = sorted({path.rpartition(".")[2] for path in able})
    return f"Modules that are trained end in {', '.join(ends[:12])}."


def at_dtype(precision: str, method: str) -> torch.dtype:
    """The dtype in which the base's weights are held.

    Weights that learn are held in float32, whatever the arithmetic: in bfloat16 a step at a small
    rate would change nothing.
    """
    return torch.bfloat16 if precision == "bf16" and method == "lora" else torch.float32
