"""What a killed run goes on from: one safetensors file, written whole or not at all.

It holds the tensors that learn and the persistent buffers, AdamW's moments, and the number of the
step. Nothing else is needed: order, rate and random numbers of a step follow from its number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ggez_hub.atomic_files import atomic_file

WEIGHT, MOMENT = "weight:", "moment:"


@dataclass
class Progress:
    """How far a run is.

    step      steps that are done
    losses    [step, mean training loss since the last entry]; validations the same of held-out rows
    best      the lowest validation loss, at which step; worse: validations since
    since     sum and number of the losses since the last entry
    """

    step: int = 0
    losses: list[list[float]] = field(default_factory=list)
    validations: list[list[float]] = field(default_factory=list)
    best: float | None = None
    best_step: int = 0
    worse: int = 0
    since: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def text(self) -> str:
        """It as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> Progress:
        """The progress that JSON says."""
        return cls(**json.loads(text))


def kept(learner: nn.Module) -> dict[str, Tensor]:
    """What of a learner changes in training: parameters that learn, and persistent buffers."""
    learning = {name for name, p in learner.named_parameters() if p.requires_grad}
    buffers = {name for name, _ in learner.named_buffers()}
    state = learner.state_dict(keep_vars=True)
    return {name: state[name] for name in state if name in learning | buffers}


def save(
    path: Path, learner: nn.Module, optimiser: torch.optim.Optimizer | None, progress: Progress
) -> None:
    """Write the state; the file has its name when it is whole and on the disk."""
    tensors = {WEIGHT + name: tensor for name, tensor in kept(learner).items()}
    if optimiser is not None:
        for name, parameter in _learning(learner).items():
            for key, value in optimiser.state[parameter].items():
                tensors[f"{MOMENT}{key}:{name}"] = value
    # Tensors that share memory would be refused, views carry what they are views of.
    plain = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}
    with atomic_file(path) as partial:
        save_file(plain, partial, {"progress": progress.text()})


def progress_of(path: Path) -> Progress:
    """How far the state in a file is."""
    with safe_open(path, "pt") as file:
        return Progress.of_text(file.metadata()["progress"])


def load(path: Path, learner: nn.Module, optimiser: torch.optim.Optimizer | None) -> Progress:
    """Bring learner and optimiser into the state of the file."""
    with safe_open(path, "pt") as file:
        progress = Progress.of_text(file.metadata()["progress"])
        with torch.no_grad():
            for name, tensor in kept(learner).items():
                tensor.copy_(file.get_tensor(WEIGHT + name))
        if optimiser is not None:
            moments: dict[str, dict[str, Tensor]] = {}
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                if name.startswith(MOMENT):
                    key, _, parameter = name.removeprefix(MOMENT).partition(":")
                    moments.setdefault(parameter, {})[key] = file.get_tensor(name)
            _restore(learner, optimiser, moments)
    return progress


def _restore(
    learner: nn.Module,
    optimiser: torch.optim.Optimizer,
    moments: Mapping[str, Mapping[str, Tensor]],
) -> None:
    """Through the optimiser's own state: it knows which moments lie on which device."""
    state: dict[str, Any] = optimiser.state_dict()
    order = [p for group in optimiser.param_groups for p in group["params"]]
    number = {id(parameter): place for place, parameter in enumerate(order)}
    learning = _learning(learner)
    state["state"] = {number[id(learning[name])]: dict(own) for name, own in moments.items()}
    optimiser.load_state_dict(state)


def _learning(learner: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in learner.named_parameters() if p.requires_grad}
