"""What adapter forms have in common: scale * B @ A, module by module."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ggez_hub.families import Family
from ggez_hub.merging.adapters.lora_file import LoraFile, LoraModule, read_lora
from ggez_hub.merging.adapters.lora_scales import Scales
from ggez_hub.merging.adapters.module_delta import FLOATING
from ggez_hub.merging.adapters.peft_config import alpha_of, is_off, scale_of
from ggez_hub.merging.adapters.peft_folder import read_scaling_peft
from ggez_hub.merging.deltas import BadAdapter
from ggez_hub.merging.forms.base import OLD_ROOT, Pipeline
from ggez_hub.merging.forms.module_places import find_places
from ggez_hub.merging.forms.tensors import Tensor, selected_rows, stored


@dataclass(frozen=True)
class ScaledPair:
    """scale * B @ A on the module at `path`.

    `path` is PEFT's, in a pipeline with the component first (`unet.down_blocks...`). A is
    (rank, in, *kernel), B is (out, rank, 1...), both in a floating dtype.
    """

    path: str
    a: Tensor
    b: Tensor
    scale: float

    @property
    def rank(self) -> int:
        return self.a.shape[0]

    @property
    def alpha(self) -> float:
        """What loaders divide by the rank: twelve digits, so that equal ones look equal."""
        return float(f"{self.scale * self.rank:.12g}")

    @property
    def component(self) -> str:
        return self.path.partition(".")[0]

    @property
    def inner(self) -> str:
        return self.path.partition(".")[2]

    @property
    def is_of_text_encoder(self) -> bool:
        return self.component.startswith("text_encoder")

    @property
    def inner_in_files(self) -> str:
        """The same as files spell it: with the root that CLIP's modules had until transformers 5."""
        inner = self.inner
        return OLD_ROOT + inner.removeprefix(OLD_ROOT) if self.is_of_text_encoder else inner


def scaled_by(pairs: Sequence[ScaledPair], betas: Sequence[float]) -> list[ScaledPair]:
    """The same adapter with the beta of each pair in its scale; raises BadAdapter for a broken pair."""
    for pair in pairs:
        a, b = pair.a.shape, pair.b.shape
        if len(a) < 2 or len(b) < 2 or a[0] != b[1] or a[0] == 0 or set(b[2:]) - {1}:
            raise BadAdapter(f"{pair.path!r}: B {b} does not multiply A {a}")
        for tensor in (pair.a, pair.b):
            if tensor.dtype not in FLOATING:
                raise BadAdapter(
                    f"{pair.path!r} holds {tensor.dtype}, not a floating-point tensor",
                    "Convert the adapter to float16, bfloat16 or float32 first.",
                )
    paths = [pair.path for pair in pairs]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise BadAdapter(f"two modules of the adapter change {twice!r}")
    return [replace(pair, scale=pair.scale * beta) for pair, beta in zip(pairs, betas, strict=True)]


def lora_tensors(named: Iterable[tuple[str, ScaledPair]]) -> dict[str, Tensor]:
    """The matrices of pairs under PEFT's keys, by what these begin with."""
    return {
        f"{name}.{key}.weight": tensor
        for name, pair in named
        for key, tensor in (("lora_A", pair.a), ("lora_B", pair.b))
    }


def without_zeros(pairs: Sequence[ScaledPair]) -> list[ScaledPair]:
    """The pairs whose scale is not 0: the others add nothing. Raises BadAdapter if none is left."""
    kept = [pair for pair in pairs if pair.scale != 0]
    if not kept:
        raise BadAdapter(
            "every module of the adapter has the beta 0: nothing is left of it",
            "The result is the base itself.",
        )
    return kept


def scaled_config(config: Mapping[str, Any], beta: float) -> dict[str, Any]:
    """A LoraConfig, LoHaConfig or LoKrConfig with every alpha multiplied by beta."""
    name = "lora_alpha" if config["peft_type"] == "LORA" else "alpha"
    # Where patterns give each module its own, there need not be one for all.
    common = config.get(name)
    return {
        **config,
        name: None if common is None else common * beta,
        "alpha_pattern": {k: v * beta for k, v in (config.get("alpha_pattern") or {}).items()},
        "inference_mode": True,
        # It names code to import.
        "auto_mapping": None,
    }


def scaled_by_module(
    config: Mapping[str, Any], betas: Mapping[str, float], folder: Path
) -> dict[str, Any]:
    """The same config with the alpha of each module multiplied by its own beta.

    `folder` is named in messages. The commonest alpha is that of the config, the others are in its
    `alpha_pattern`, one exact path each.
    """
    name = "lora_alpha" if config["peft_type"] == "LORA" else "alpha"
    alphas = {module: alpha_of(config, module, folder) * beta for module, beta in betas.items()}
    ((common, _),) = Counter(alphas.values()).most_common(1) or ((config.get(name), 0),)
    own = {f"^{re.escape(m)}": alpha for m, alpha in alphas.items() if alpha != common}
    return {**scaled_config(config, 1.0), name: common, "alpha_pattern": own}


def config_of(pairs: Sequence[ScaledPair]) -> dict[str, Any]:
    """A LoraConfig that gives each of the pairs, all of one component, its scale.

    Only the options that are not at PEFT's default. Modules of a text encoder are named without
    `text_model`, where CLIP's lay until transformers 5: PEFT compares the ends of paths.
    """
    rank = Counter(pair.rank for pair in pairs).most_common(1)[0][0]
    alpha = Counter(pair.alpha for pair in pairs).most_common(1)[0][0]
    return {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {_pattern(p): p.rank for p in pairs if p.rank != rank},
        "alpha_pattern": {_pattern(p): p.alpha for p in pairs if p.alpha != alpha},
        "target_modules": sorted(_end_of_path(pair) for pair in pairs),
        "inference_mode": True,
    }


def _end_of_path(pair: ScaledPair) -> str:
    return pair.inner.removeprefix(OLD_ROOT) if pair.is_of_text_encoder else pair.inner


def _pattern(pair: ScaledPair) -> str:
    """PEFT takes it for a regular expression for the end of a path, or with ^ for all of it."""
    end = re.escape(_end_of_path(pair))
    return end if pair.is_of_text_encoder else f"^{end}"


def pairs_of_peft(folder: Path, pipeline: Pipeline) -> list[ScaledPair]:
    """The pairs of a PEFT folder for the denoiser of `pipeline`.

    Raises BadAdapter for what is not a plain LoRA, and what reading the folder raises.
    """
    peft = read_scaling_peft(folder, ("LORA",))
    file, config, keys = peft.file, peft.config, peft.keys
    for option in ("use_dora", "fan_in_fan_out", "lora_bias", "target_parameters"):
        if not is_off(config.get(option)):
            raise _only_peft(folder, option)
    if keys.saved:
        raise _only_peft(folder, f"the whole parameter {next(iter(keys.saved))!r}")
    pairs = []
    for module, parts in sorted(keys.parts.items()):
        if set(parts) != {"lora_A", "lora_B"}:
            raise _only_peft(folder, f"{', '.join(sorted(parts))} on {module!r}")
        a, b = stored(file, parts["lora_A"]), stored(file, parts["lora_B"])
        scale = scale_of(config, module, (a.shape or (0,))[0], file.path)
        pairs.append(ScaledPair(f"{pipeline.denoiser}.{module}", a, b, scale))
    return pairs


def _only_peft(folder: Path, what: str) -> BadAdapter:
    return BadAdapter(
        f"{folder} has {what}, for which LoRA files have no place",
        "Take --as peft, or the merged form.",
    )


def pairs_of_file(path: Path, pipeline: Pipeline, family: Family) -> list[ScaledPair]:
    """The pairs of a LoRA file for `pipeline`, in any of the styles.

    Raises BadAdapter for what cannot be converted without rounding, MissingExtra where only
    diffusers can say what a name means and it is not installed, BadWeights.
    """
    lora = read_lora(path)
    components = pipeline.loader.components
    scales = Scales.of(lora, components)
    held = {module.name: matrices(lora, module) for module in lora.changing}
    shapes = {name: (b.shape[0], *a.shape[1:]) for name, (a, b) in held.items()}
    places = find_places(lora, shapes, pipeline, family)
    pairs = []
    for module in lora.changing:
        a, b = held[module.name]
        for place, runs in places[module.name]:
            scale = scales.scale(module, place)
            inside = place.partition(".")[0] in components
            full = place if inside else f"{pipeline.denoiser}.{place}"
            pairs.append(ScaledPair(full, a, b if runs is None else selected_rows(b, runs), scale))
    return pairs


def matrices(lora: LoraFile, module: LoraModule) -> tuple[Tensor, Tensor]:
    """A and B of a module; raises BadAdapter if it is anything but a plain LoRA."""
    if module.kind != "LoRA" or set(module.parts) != {"A", "B"}:
        raise BadAdapter(
            f"{lora.file.path}: {module.name!r} is not a plain LoRA: it holds "
            f"{', '.join(sorted(module.parts.values()))}",
            "It has no adapter form. Take the merged form: leave out --as.",
        )
    return stored(lora.file, module.parts["A"]), stored(lora.file, module.parts["B"])
