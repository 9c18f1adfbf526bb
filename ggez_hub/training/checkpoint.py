"""What a resumed run goes on from: one safetensors file.

It holds the tensors that learn, the persistent buffers, AdamW's moments and the number of the step.
Order, rate and random numbers of a step follow from its number. Of a sharded model it holds complete
tensors, so that another number of processes can go on from it.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ggez_hub.atomic_files import atomic_file
from ggez_hub.errors import GgezError
from ggez_hub.training.optimiser import AdamW
from ggez_hub.training.sharding import assign, complete_tensor, is_sharded, sharded_as
from ggez_hub.training.zero_engine import ZeroEngine

WEIGHT, MOMENT = "weight:", "moment:"


@dataclass
class Progress:
    """The state of a stage.

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

    def add_step(self, loss: float) -> None:
        """Count a step."""
        self.step += 1
        self.since = [self.since[0] + loss, self.since[1] + 1]

    def record_loss(self) -> None:
        """Add an entry to `losses`."""
        self.losses.append([self.step, self.since[0] / self.since[1]])
        self.since = [0.0, 0.0]

    def record_validation(self, loss: float) -> bool:
        """Add an entry to `validations`; returns whether it is the lowest."""
        self.validations.append([self.step, loss])
        if self.best is not None and loss >= self.best:
            self.worse += 1
            return False
        self.best, self.best_step, self.worse = loss, self.step, 0
        return True


def save(
    path: Path,
    module: nn.Module,
    optimiser: AdamW | ZeroEngine | None,
    progress: Progress,
    *,
    writes: bool = True,
) -> None:
    """Write the state; the file is complete or absent.

    Every process of a sharded model calls it, of which one `writes`.
    """
    tensors = {WEIGHT + name: tensor for name, tensor in _changing(module).items()}
    if optimiser is not None:
        for number, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"{MOMENT}{key}:{number}": value for key, value in moments.items()}
    plain = {}
    for name, tensor in tensors.items():
        if writes or is_sharded(tensor):
            complete = complete_tensor(tensor)
            if writes:
                # Tensors that share memory would be refused, views carry what they are views of.
                plain[name] = complete.to("cpu", copy=True).contiguous()
    if writes:
        with atomic_file(path) as partial:
            save_file(plain, partial, {"progress": json.dumps(asdict(progress))})


def read_progress(path: Path) -> Progress:
    """The progress in a file that `save` wrote."""
    with safe_open(path, "pt") as file:
        return Progress(**json.loads(file.metadata()["progress"]))


def load(path: Path, module: nn.Module, optimiser: AdamW | ZeroEngine | None) -> Progress:
    """Bring module and optimiser into the state of the file."""
    with safe_open(path, "pt") as file:
        for name, tensor in _changing(module).items():
            assign(tensor, file.get_tensor(WEIGHT + name))
        if optimiser is not None:
            state: dict[str, Any] = optimiser.state_dict()
            for name in file.keys():  # noqa: SIM118 - it is not a mapping
                if name.startswith(MOMENT):
                    key, _, number = name.removeprefix(MOMENT).partition(":")
                    value = file.get_tensor(name)
                    if value.ndim:
                        value = sharded_as(optimiser.learning[int(number)], value)
                    state["state"].setdefault(int(number), {})[key] = value
            # It puts the moments on the devices of their parameters.
            optimiser.load_state_dict(state)
    return read_progress(path)


def _changing(module: nn.Module) -> dict[str, Tensor]:
    """What changes in training: parameters that learn, and persistent buffers."""
    names = {name for name, p in module.named_parameters() if p.requires_grad}
    names |= {name for name, _ in module.named_buffers()}
    return {n: tensor for n, tensor in module.state_dict(keep_vars=True).items() if n in names}


SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(GgezError):
    """A run was stopped from outside; what is done is kept."""


@contextmanager
def catch_stop_signals(*, announce: bool) -> Iterator[Callable[[], bool]]:
    """Yields a function that returns whether a stop was requested.

    A second signal raises KeyboardInterrupt. With `announce` a terminal is told what it waits for.
    Signals reach the main thread alone: in another one nothing is requested. A signal that is
    ignored, as under nohup, stays ignored.
    """
    requested = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        if requested:
            raise KeyboardInterrupt
        requested = True
        if announce and sys.stderr.isatty():
            print("stopping after this step; once more stops at once", file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = [(number, signal.signal(number, note)) for number in heard]
    try:
        yield lambda: requested
    finally:
        for number, handler in before:
            signal.signal(number, handler)
