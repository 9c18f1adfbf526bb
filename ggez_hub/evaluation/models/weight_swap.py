"""The weights of a model in memory at base + sum(beta * Delta), for one beta after the other.

The tensors that the adapters touch are computed by the merge's own arithmetic, rounded to the stored
dtype as a merge stores them, and converted to the dtype that the model computes in, as loading a
merged model does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from ggez_hub.evaluation.models.model_under_test import StoredModel
from ggez_hub.families import Family, KeyMap, NotOneToOne, TiedWeight
from ggez_hub.families.embedding import OtherFormat
from ggez_hub.families.pretrained import NotLoaded
from ggez_hub.merging.betas_by_part import BetasByPart
from ggez_hub.merging.merge import MergedTensors

if TYPE_CHECKING:
    import torch


class Adapted(NamedTuple):
    """An adapter, a folder or a file, and the weight that it gets, of some tensors by `parts`."""

    adapter: Path
    beta: float
    parts: BetasByPart | None = None


def late_weights(folder: Path, family: Family, adapted: Adapted) -> dict[str, Late]:
    """The weights of base and adapter by their stored names; none is in memory until it is read.

    Raises what opening the adapter raises.
    """
    weights, lock = MergedTensors(folder, [adapted.adapter], family, adapted.parts), Lock()
    return {name: Late(weights, name, adapted.beta, lock) for name in weights.index}


class Late:
    """A tensor that is computed when it is read, in the way that transformers reads a file's."""

    def __init__(self, weights: MergedTensors, name: str, beta: float, lock: Lock) -> None:
        self._weights, self._name, self._beta, self._lock = weights, name, beta, lock

    def __getitem__(self, place: Any) -> torch.Tensor:
        # transformers reads in several threads, Deltas are made for one.
        with self._lock:
            return self._weights.tensor(self._name, [self._beta])[place]


class LiveWeights:
    """The tensors of a loaded model that its adapters change; the betas are all 0 at first."""

    def __init__(self, model: StoredModel, state: Mapping[str, torch.Tensor]) -> None:
        """`state` are the tensors in memory by the names that the library gives them.

        Raises what opening an adapter raises, and NotLoaded for a tensor that is changed but that
        the library does not compute with as it is stored.
        """
        self.weights = MergedTensors(model.base, model.adapters, model.family, model.parts)
        index = self.weights.index
        names = _names(state, model.family.key_map(model.base, list(index)), index)
        # Stored name -> the name in memory, and the tensor there.
        self._live: dict[str, tuple[str, torch.Tensor]] = {}
        for name in sorted(self.weights.touched):
            live = state[names[name]] if name in names else None
            if live is None or not _same(live, index.read(name)):
                raise NotLoaded(
                    f"the library does not compute with the tensor {name!r} of {model.base} as it "
                    "is stored",
                    "Merge with each beta, and measure the results with `ggez-hub eval`.",
                )
            self._live[name] = names[name], live
        self._betas = [0.0] * len(model.adapters)

    @property
    def touched(self) -> frozenset[str]:
        """The names in memory of the tensors that change with the betas."""
        return frozenset(name for name, _ in self._live.values())

    def set_betas(self, betas: Sequence[float]) -> None:
        """Compute with one beta for each adapter from now on.

        Raises GgezError as the merge would, after which the model is of no use, and UsageProblem
        for another number of betas.
        """
        if list(betas) == self._betas:
            return
        from ggez_hub.merging.kernels import Workers

        index = self.weights.index
        with Workers(max((index[name].nbytes for name in self._live), default=0)) as workers:
            for name, (_, live) in self._live.items():
                merged = self.weights.tensor(name, betas, workers)
                live.copy_(merged)
                workers.slots.give_back(merged)
        self._betas = list(betas)


def put_on(
    folder: Path, family: Family, adapted: Adapted, state: Mapping[str, torch.Tensor]
) -> None:
    """Put an adapter on a model in memory; raises as LiveWeights does."""
    model = StoredModel(folder, (adapted.adapter,), family, adapted.parts)
    LiveWeights(model, state).set_betas([adapted.beta])


def _names(
    state: Mapping[str, torch.Tensor], key_map: KeyMap, stored: Collection[str]
) -> dict[str, str]:
    """Stored name -> name in memory, of the tensors that are loaded one to one."""
    found: dict[str, str] = {}
    for name in state:
        try:
            tensor = key_map(name)
        except TiedWeight as tied:
            tensor = tied.tensor
        except NotOneToOne:
            continue
        except OtherFormat:
            # A parameter that is not a module's weight, beside a second format.
            tensor = None
        if tensor is None and name in stored:
            tensor = name
        if tensor is not None:
            found.setdefault(tensor, name)
    return found


def _same(live: torch.Tensor, stored: torch.Tensor) -> bool:
    import torch

    return live.shape == stored.shape and torch.equal(live.cpu(), stored.to(live.dtype))
