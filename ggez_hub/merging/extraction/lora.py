"""A PEFT LoRA from a full fine-tune: Delta by truncated singular values, module by module."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.atomic_files import atomic_folder
from ggez_hub.errors import GgezError
from ggez_hub.families import Family
from ggez_hub.merging.adapters.finetune import Finetune, open_finetune
from ggez_hub.merging.adapters.peft_folder import PREFIX, WEIGHTS
from ggez_hub.merging.deltas import BadAdapter, WeightIndex
from ggez_hub.merging.extraction.factors import Factors, factorise
from ggez_hub.merging.extraction.placement import Kind, Places, find_places
from ggez_hub.merging.merge import require_engine
from ggez_hub.output_lock import lock_output

if TYPE_CHECKING:
    import torch

# Elements of a matrix that is factorised beside others: 128 MB in float64.
SMALL = 1 << 24


@dataclass(frozen=True)
class Extracted:
    """One tensor of the base as the adapter has it; `rank` is 0 where it is held whole.

    `norm` is ||Delta||, `error` is ||Delta - what the adapter adds||, both Frobenius.
    """

    tensor: str
    rank: int
    norm: float
    error: float

    @property
    def relative(self) -> float:
        return self.error / self.norm if self.norm else 0.0


@dataclass(frozen=True)
class LeftOut:
    """A tensor that the fine-tune changed and the adapter does not hold, and why."""

    tensor: str
    norm: float
    reason: str


@dataclass(frozen=True)
class Extraction:
    """All changed tensors: those taken over, and those left out."""

    extracted: tuple[Extracted, ...]
    left_out: tuple[LeftOut, ...]
    nbytes: int

    @property
    def relative(self) -> float:
        """The relative error over all changed tensors; one left out is all error."""
        norm = sum(e.norm**2 for e in self.extracted) + sum(x.norm**2 for x in self.left_out)
        error = sum(e.error**2 for e in self.extracted) + sum(x.norm**2 for x in self.left_out)
        return math.sqrt(error / norm) if norm else 0.0


def extract_lora(
    base: Path,
    finetuned: Path,
    out: Path,
    family: Family,
    rank: int | None,
    energy: float = 0.99,
    did: Callable[[int, int], None] | None = None,
) -> Extraction:
    """Write a LoRA of `rank` for what `finetuned` changes in `base` as the new PEFT folder `out`.

    Without a rank each module gets as many directions as keep `energy` of its squared Delta. `did`
    is called with how many of the tensors that are taken over are done, and how many there are.
    Raises GgezError and leaves nothing behind then.
    """
    require_engine()
    index = WeightIndex(base, family.layout(base).weights)
    tuned = open_finetune(finetuned, family, index)
    modules = family.module_tree(base)
    places = find_places(tuned.touched, modules, family.key_map(base, index), index)
    if not places.lora:
        raise GgezError(
            f"{finetuned} changes no matrix that a LoRA can hold",
            "Take the whole difference: --task-vector." if tuned.touched else "It is the base.",
        )
    with lock_output(out), atomic_folder(out) as folder:
        left_out = tuple(
            LeftOut(name, _norm(tuned, name), reason) for name, reason in places.left_out.items()
        )
        tensors: dict[str, torch.Tensor] = {}
        extracted: list[Extracted] = []
        for done in _extract(tuned, places, rank, energy, tensors):
            extracted.append(done)
            if did is not None:
                did(len(extracted), len(tuned.touched) - len(left_out))
        ranks = {places.lora[done.tensor][0]: done.rank for done in extracted if done.rank}
        _write(folder, tensors, places, ranks, modules, str(base))
        nbytes = (folder / WEIGHTS).stat().st_size
    return Extraction(tuple(extracted), left_out, nbytes)


def _extract(
    tuned: Finetune,
    places: Places,
    rank: int | None,
    energy: float,
    tensors: dict[str, torch.Tensor],
) -> Iterator[Extracted]:
    """Put the adapter's tensors into `tensors`, one changed tensor of the base after another."""

    def factors_of(name: str) -> Factors:
        delta = _finite(tuned, name)
        # As PEFT multiplies it: outputs in rows.
        turned = places.lora[name][1] in {"transposed", "embedding"}
        return factorise(delta.T if turned else delta.flatten(1), rank, energy)

    for name, factors in _side_by_side(factors_of, places.lora, tuned.base):
        path, kind = places.lora[name]
        tensors |= _lora_tensors(path, kind, factors, tuned.base[name].shape)
        yield Extracted(name, factors.rank, factors.norm, factors.error)
    for name, path in (places.biases | places.saved).items():
        tensors[f"{PREFIX}{path}"] = tuned.stored(name).clone()
        if name in tuned.touched:
            yield Extracted(name, 0, _norm(tuned, name), 0.0)


def _side_by_side(
    factors_of: Callable[[str], Factors], names: Collection[str], base: WeightIndex
) -> Iterator[tuple[str, Factors]]:
    """The factors of each tensor: of small ones in as many threads as torch has, of others one by one.

    torch's own threads gain little on a small matrix, and on a busy machine they wait for each other.
    """
    from ggez_hub.merging.kernels import Workers

    small = [name for name in names if math.prod(base[name].shape) <= SMALL]
    for name in names:
        if math.prod(base[name].shape) > SMALL:
            yield name, factors_of(name)
    with Workers(0) as workers:
        yield from zip(small, workers.map(factors_of, small), strict=True)


def _lora_tensors(
    path: str, kind: Kind, factors: Factors, shape: tuple[int, ...]
) -> dict[str, torch.Tensor]:
    a, b = factors.a, factors.b
    if kind == "embedding":
        # PEFT holds these two as bare parameters, without `.weight`.
        return {f"{PREFIX}{path}.lora_embedding_A": a, f"{PREFIX}{path}.lora_embedding_B": b}
    if kind == "convolution":
        a = a.reshape(-1, *shape[1:])
        b = b.reshape(*b.shape, *(1 for _ in shape[2:]))
    return {f"{PREFIX}{path}.lora_A.weight": a, f"{PREFIX}{path}.lora_B.weight": b}


def _write(
    folder: Path,
    tensors: Mapping[str, torch.Tensor],
    places: Places,
    ranks: Mapping[str, int],
    modules: Collection[str],
    base: str,
) -> None:
    import peft
    from safetensors.torch import save_file

    largest = max(ranks.values())
    # The scale alpha / rank is 1 everywhere. With ^ a pattern is a full path.
    pattern = {f"^{re.escape(path)}": r for path, r in ranks.items() if r != largest}
    # The bias of a layer with a LoRA is inside PEFT's wrapper.
    inside = {
        f"{PREFIX}{path}.bias": f"{PREFIX}{path}.base_layer.bias"
        for path in ranks
        if f"{path}.bias" in places.biases.values()
    }
    peft.LoraConfig(
        r=largest,
        lora_alpha=largest,
        rank_pattern=pattern,
        alpha_pattern=pattern,
        target_modules=_targets(ranks, modules),
        modules_to_save=sorted(places.modules) or None,
        bias="all" if places.biases else "none",
        fan_in_fan_out=any(kind == "transposed" for _, kind in places.lora.values()),
        base_model_name_or_path=base,
        inference_mode=True,
    ).save_pretrained(str(folder))
    renamed = {inside.get(key, key): tensor for key, tensor in tensors.items()}
    save_file(renamed, folder / WEIGHTS, metadata={"format": "pt"})


def _targets(ranks: Collection[str], modules: Collection[str]) -> list[str] | str:
    """The modules for PEFT: paths, or a pattern where a path is the end of another."""
    for module in modules:
        if module not in ranks and any(module.endswith(f".{path}") for path in ranks):
            return "|".join(re.escape(path) for path in sorted(ranks))
    return sorted(ranks)


def _finite(tuned: Finetune, name: str) -> torch.Tensor:
    import torch

    delta = tuned.tensor(name)
    if not torch.isfinite(delta).all():
        raise BadAdapter(f"{tuned.name}: {name!r} is not finite: it holds NaN or Inf")
    return delta


def _norm(tuned: Finetune, name: str) -> float:
    return float(_finite(tuned, name).norm())
