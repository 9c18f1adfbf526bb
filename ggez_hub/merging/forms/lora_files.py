"""LoRA files for pipelines with beta folded in: in the names of kohya, or of diffusers.

kohya-ss/sd-scripts, networks/lora.py: `lora_unet_...`, `lora_te_...`, each module with its own alpha.
What is written means the same to diffusers' `load_lora_weights`, which does not read all of such
files right, and to programs that take each module's alpha / rank for what it is. diffusers'
`save_lora_weights`: the scales are in the metadata, from which `load_lora_weights` makes the
LoraConfig of each component (loaders/lora_base.py). Programs that do not read it take every scale
for 1.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ggez_hub.merging.adapters.lora_file import DEFAULT_NAME, LoraFile, LoraModule
from ggez_hub.merging.adapters.lora_scales import METADATA_KEY
from ggez_hub.merging.deltas import BadAdapter
from ggez_hub.merging.forms.base import FormBetas, KohyaPart, Pipeline
from ggez_hub.merging.forms.pairs import (
    ScaledPair,
    config_of,
    lora_tensors,
    matrices,
    scaled_by,
    without_zeros,
)
from ggez_hub.merging.forms.tensors import Tensor, float32, padded, write_tensors

NAME = "lora.safetensors"
# How much larger a file may become to have one alpha.
PADDED = 4
ATTENTION = ("_to_q", "_to_k", "_to_v", "_to_out_0")
OTHER_WAYS = "Take --as diffusers, or the merged form."


@dataclass(frozen=True)
class Named:
    """A pair by its name in the file, and the component that it belongs to."""

    name: str
    part: KohyaPart
    pair: ScaledPair
    foreign: bool = False


def write_kohya(pairs: Sequence[ScaledPair], pipeline: Pipeline, out: Path) -> None:
    """Write the pairs for `pipeline` into the folder `out`; raises BadAdapter.

    Matrices are copied, or padded with zeros where alphas would differ.
    """
    named = []
    for pair in pairs:
        part = pipeline.loader.kohya.get(pair.component)
        if part is None or not part.paths.fullmatch(pair.inner):
            raise BadAdapter(
                f"diffusers finds {pair.path!r} of a {pipeline.name} under none of kohya's names",
                OTHER_WAYS,
            )
        inner = pair.inner_in_files.replace(".", "_")
        named.append(Named(f"{part.prefix}_{inner}", part, pair))
    _write(named, out)


def rescale_kohya(lora: LoraFile, betas: FormBetas, pipeline: Pipeline, out: Path) -> None:
    """Write a file of plain pairs with the betas in its alphas; the names stay. Raises BadAdapter."""
    named = [_named(lora, module, pipeline) for module in lora.modules]
    if len({one.foreign for one in named if one.pair.component == pipeline.denoiser}) > 1:
        raise BadAdapter(
            f"{lora.file.path} mixes names of two tools for the {pipeline.denoiser}: diffusers reads one of "
            "them and silently ignores the rest",
            OTHER_WAYS,
        )
    own = [betas.of_named(one.name, pipeline)[0] for one in named]
    scaled = [
        replace(one, pair=pair)
        for one, pair in zip(named, scaled_by([one.pair for one in named], own), strict=True)
    ]
    if not betas.are_one:
        kept = {pair.path for pair in without_zeros([one.pair for one in scaled])}
        scaled = [one for one in scaled if one.pair.path in kept]
    _write(scaled, out)


def _named(lora: LoraFile, module: LoraModule, pipeline: Pipeline) -> Named:
    a, b = matrices(lora, module)
    scale = 1.0 if module.alpha is None else module.alpha / a.shape[0]
    for component, part in pipeline.loader.kohya.items():
        if part.names.fullmatch(module.name):
            return Named(module.name, part, ScaledPair(f"{component}.{module.name}", a, b, scale))
    foreign = pipeline.loader.foreign
    if foreign is not None and foreign.fullmatch(module.name):
        part = pipeline.loader.kohya[pipeline.denoiser]
        pair = ScaledPair(f"{pipeline.denoiser}.{module.name}", a, b, scale)
        return Named(module.name, part, pair, foreign=True)
    raise BadAdapter(
        f"{lora.file.path}: diffusers does not read {module.name!r} right in a {pipeline.name}",
        OTHER_WAYS,
    )


def _write(named: Sequence[Named], out: Path) -> None:
    tensors: dict[str, Tensor] = {}
    for component in sorted({one.pair.component for one in named}):
        own = [one for one in named if one.pair.component == component]
        if component.startswith("text_encoder"):
            _require_known_style(component, own, named)
        for one in _read_alike(own):
            tensors[f"{one.name}.lora_down.weight"] = one.pair.a
            tensors[f"{one.name}.lora_up.weight"] = one.pair.b
            tensors[f"{one.name}.alpha"] = float32(one.pair.alpha)
    write_tensors(out / NAME, tensors, {})


def _require_known_style(component: str, own: Sequence[Named], named: Sequence[Named]) -> None:
    """Raise BadAdapter for a text encoder of which diffusers would silently lose modules.

    It finds the style of a text encoder's keys by some of them (utils/state_dict_utils.py): by the
    output projections of attention, or, beside OneTrainer's names, by any of the projections.
    """
    projections = {one.name.rpartition("_attn_")[2] for one in own if "_attn_" in one.name}
    renamed = any(one.name.startswith("lora_transformer_") for one in named)
    if not (projections if renamed else "out_proj" in projections or not projections):
        changed = ", ".join(sorted(projections)) or "no attention module"
        raise BadAdapter(
            f"the adapter changes {changed} of the {component}: without the output projections "
            "diffusers does not know the style of a kohya file"
            if projections
            else f"the adapter changes {changed} of the {component}: diffusers does not know the "
            "style of such a kohya file",
            OTHER_WAYS,
        )


def _read_alike(named: Sequence[Named]) -> Sequence[Named]:
    """The modules of one component, such that diffusers gives each its own scale.

    Measured with diffusers 0.42.1: of alphas that differ it takes the commonest for the attention
    modules of a UNet, and for all modules of a text encoder.
    """
    alphas = Counter(one.pair.alpha for one in named)
    if len(alphas) == 1 or named[0].part.scaled:
        return named
    (commonest, count), (_, second) = alphas.most_common(2)
    trapped = {one.pair.alpha for one in named if _trapped(one)}
    if count > second and trapped <= {commonest}:
        return named
    return _one_alpha(named)


def _trapped(one: Named) -> bool:
    return one.pair.component != "unet" or one.name.endswith(ATTENTION)


def _one_alpha(named: Sequence[Named]) -> list[Named]:
    """The same products with one alpha: scale = alpha / rank, and rank can grow by zeros."""
    ranks = [one.pair.rank for one in named]
    largest = max(one.pair.alpha for one in named)
    if min(one.pair.alpha for one in named) > 0:
        for alpha in (largest * times for times in range(1, PADDED + 1)):
            wanted = [alpha / one.pair.scale for one in named]
            grown = [round(rank) for rank in wanted]
            exact = all(abs(w - g) < 1e-6 for w, g in zip(wanted, grown, strict=True))
            if exact and sum(grown) <= PADDED * sum(ranks):
                return [_padded(one, rank) for one, rank in zip(named, grown, strict=True)]
    raise BadAdapter(
        f"the modules of the {named[0].pair.component} have "
        f"{len({one.pair.alpha for one in named})} different alphas, of which diffusers would take "
        "the commonest for all attention modules",
        OTHER_WAYS,
    )


def _padded(one: Named, rank: int) -> Named:
    pair = one.pair
    if rank == pair.rank:
        return one
    return replace(one, pair=replace(pair, a=padded(pair.a, 0, rank), b=padded(pair.b, 1, rank)))


ENCODER_ATTENTION = (".q_proj", ".k_proj", ".v_proj", ".out_proj")


def write_diffusers(pairs: Sequence[ScaledPair], pipeline: Pipeline, out: Path) -> None:
    """Write the pairs for `pipeline` into the folder `out`; raises BadAdapter.

    Matrices are copied; refused is what diffusers' loader would lose.
    """
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, Any] = {}
    for component in sorted({pair.component for pair in pairs}):
        own = [pair for pair in pairs if pair.component == component]
        _require_loadable(component, own, pipeline)
        metadata |= {f"{component}.{option}": v for option, v in config_of(own).items()}
        tensors |= lora_tensors((f"{component}.{pair.inner_in_files}", pair) for pair in own)
    text = json.dumps(metadata, indent=2, sort_keys=True, ensure_ascii=False)
    write_tensors(out / DEFAULT_NAME, tensors, {METADATA_KEY: text})


def _require_loadable(component: str, pairs: Sequence[ScaledPair], pipeline: Pipeline) -> None:
    if component not in pipeline.loader.components:
        raise BadAdapter(
            f"the adapter changes the {component}, into which diffusers loads no LoRA of a "
            f"{pipeline.name}",
            "Take the merged form: leave out --as.",
        )
    # Measured with diffusers 0.42.1: it finds the style of a text encoder's keys by these alone.
    if component.startswith("text_encoder") and not any(
        p.path.endswith(ENCODER_ATTENTION) for p in pairs
    ):
        raise BadAdapter(
            f"the adapter changes no attention module of the {component}: diffusers cannot load "
            "such a LoRA file",
            "Take the merged form: leave out --as.",
        )
