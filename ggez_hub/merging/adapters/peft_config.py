"""The adapter_config.json of a PEFT adapter: what is merged exactly here, and what is refused.

Options: https://huggingface.co/docs/peft/package_reference/lora (loha, lokr). An option that
changes the arithmetic in a way that is not computed here is refused by name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ggez_hub.merging.adapters.module_patterns import by_pattern
from ggez_hub.merging.deltas import BadAdapter
from ggez_hub.text_files import read_text

CONFIG = "adapter_config.json"
MAX_BYTES = 8_000_000
INCOMPLETE = (
    f"PEFT's save_pretrained writes {CONFIG} and adapter_model.safetensors: fetch or copy both."
)

# Keys of LoraConfig that do not change what the stored matrices add to the base.
INERT = frozenset(
    {
        "alpha_pattern", "auto_mapping", "base_model_name_or_path", "ensure_weight_tying", "eva_config",
        "exclude_modules", "inference_mode", "init_lora_weights", "layers_pattern",
        "layers_to_transform", "lora_alpha", "lora_dropout", "megatron_core", "peft_type",
        "peft_version", "qalora_group_size", "r", "rank_pattern", "revision", "target_modules",
        "task_type", "use_rslora",
    }
)  # fmt: skip
# Keys that change the arithmetic and are computed for PEFT folders (adapters/peft.py).
COMPUTED = frozenset(
    {
        "bias", "fan_in_fan_out", "lora_bias", "modules_to_save", "target_parameters",
        "trainable_token_indices", "use_dora",
    }
)  # fmt: skip
# The same for LoHaConfig and LoKrConfig, which have names of their own.
LYCORIS = frozenset(
    {
        "alpha", "decompose_both", "decompose_factor", "init_weights", "module_dropout",
        "modules_to_save", "rank_dropout", "rank_dropout_scale", "use_effective_conv2d",
    }
)  # fmt: skip
# Methods that are computed here.
KINDS: Mapping[str, frozenset[str]] = {"LORA": COMPUTED, "LOHA": LYCORIS, "LOKR": LYCORIS}

# Methods that PEFT's own layers merge (adapters/peft_layers.py), and the parameters of a module
# that each of them changes: of PEFT 0.21.2, tuners/*/layer.py.
WEIGHT, BIAS = "weight", "bias"
METHODS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "ADALORA", "BOFT", "C3A", "DEFT", "DELORA", "FOURIERFT", "GRALORA", "HIRA", "HRA",
            "MISS", "OFT", "OSF", "PEANUT", "PSOFT", "PVERA", "RANDLORA", "SHIRA", "SUPERTUNING",
            "TINYLORA", "TRAINABLE_TOKENS", "UNILORA", "VBLORA", "VERA", "WAVEFT",
        ),
        (WEIGHT,),
    ),
    **dict.fromkeys(("GLORA", "IA3", "LN_TUNING", "ROAD"), (WEIGHT, BIAS)),
    "BEFT": (BIAS,),
}  # fmt: skip
# Options of a LoRA that give it arithmetic of its own, which PEFT's layers do likewise.
VARIANTS = frozenset({"kasa_config", "monteclora_config", "use_bdlora", "velora_config"})

# Why others are not merged at all.
PROMPTS = "its parameters are prompts, no weights of the model"
RUNS = "it depends on the input, and PEFT itself cannot merge it"
UNMERGED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "ADAPTION_PROMPT", "CARTRIDGE", "CPT", "MULTITASK_PROMPT_TUNING", "P_TUNING",
            "PREFIX_TUNING", "PROMPT_TUNING",
        ),
        PROMPTS,
    ),
    **dict.fromkeys(("LILY", "POLY", "SHADOW", "XLORA"), RUNS),
    "ADAMSS": "its subspaces come from a clustering that starts at random",
    "FROD": "PEFT makes its projections from the weights of all layers at once",
}  # fmt: skip

# Initialisations that leave the base alone.
PLAIN_INITIALISATION = (None, True, False, "gaussian", "eva", "orthogonal", "mica")
# Those that move a part of the base into the adapter, a part that the base alone determines.
PISSA, OLORA = "pissa", "olora"
# A key that is off, or at the default that means off.
OFF: tuple[object, ...] = (None, False, "", "none", [], {})


def read_any_config(folder: Path, kinds: Collection[str] = (*KINDS, *METHODS)) -> dict[str, Any]:
    """The configuration of an adapter of one of `kinds`; raises BadAdapter."""
    path = folder / CONFIG
    try:
        config = json.loads(read_text(path, MAX_BYTES))
    except FileNotFoundError as error:
        raise BadAdapter(f"{folder} holds no {CONFIG}", INCOMPLETE) from error
    except (OSError, ValueError, RecursionError) as error:
        raise BadAdapter(f"{path} cannot be read: {error}", INCOMPLETE) from error
    kind = config.get("peft_type") if isinstance(config, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise _refused(path, kind, kinds)
    require_plain(config, path)
    for option, what in (("modules_to_save", "modules"), ("target_parameters", "parameters")):
        named = config.get(option)
        if not is_off(named) and not (
            isinstance(named, list) and all(isinstance(entry, str) for entry in named)
        ):
            raise BadAdapter(f"{path}: {option} = {named!r} names no {what}")
    if by_layers(config):
        for option in ("target_parameters", "layer_replication"):
            if not is_off(config.get(option)):
                raise BadAdapter(
                    f"{path}: {option} = {config[option]!r} is not merged",
                    "Use the adapter as it is with PEFT.",
                )
    else:
        check_options(config, path, KINDS[kind])
    return config


def require_plain(config: Mapping[str, Any], path: Path) -> None:
    """Raise BadAdapter for ranks and alphas that are not numbers, and for what is not text."""
    try:
        json.dumps(config, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError) as error:
        raise BadAdapter(f"{path} cannot be read: {error}") from error
    for option in ("r", "lora_alpha", "alpha"):
        if config.get(option) is not None:
            _number(config[option], path)
    for option in ("rank_pattern", "alpha_pattern"):
        patterns = config.get(option) or {}
        if not isinstance(patterns, dict):
            raise BadAdapter(f"{path}: {option} holds no patterns")
        # AdaLoRA's are lists of the ranks that are left.
        for value in patterns.values() if config.get("peft_type") != "ADALORA" else ():
            _number(value, path)


def read_scaling_config(folder: Path, kinds: Collection[str] = tuple(KINDS)) -> dict[str, Any]:
    """The configuration of an adapter of one of `kinds` that scales with one number.

    Raises BadAdapter for others, too: they have a merged form only.
    """
    path, config = folder / CONFIG, read_any_config(folder, kinds)
    for option in VARIANTS:
        if not is_off(config.get(option)):
            raise _merged_only(path, f"a {config['peft_type']} with {option}")
    if moved_by(config) is not None:
        raise BadAdapter(
            f"{path}: init_lora_weights = {config['init_lora_weights']!r} moves a part of the base "
            "into the adapter",
            "Take the merged form, or convert it with PEFT: save_pretrained(..., "
            "path_initial_model_for_weight_conversion=...).",
        )
    return config


def _merged_only(path: Path, what: str) -> BadAdapter:
    return BadAdapter(
        f"{path}: {what} has no form with beta folded in", "Take the merged form: leave out --as."
    )


def _refused(path: Path, kind: object, kinds: Collection[str]) -> BadAdapter:
    if isinstance(kind, str) and kind in UNMERGED:
        return BadAdapter(
            f"{path}: {kind} is not merged: {UNMERGED[kind]}", "Use the adapter as it is with PEFT."
        )
    if isinstance(kind, str) and kind in METHODS:
        return _merged_only(path, f"an adapter of the method {kind}")
    return BadAdapter(
        f"{path} does not describe an adapter that is merged here: peft_type = {kind!r}",
        f"Merged here: {', '.join(kinds)}. Merge others with PEFT itself, if it can, and give "
        "the merged folder as the adapter.",
    )


def by_layers(config: Mapping[str, Any]) -> bool:
    """Whether PEFT's own layers merge an adapter, in place of formulas."""
    return config["peft_type"] in METHODS or any(not is_off(config.get(v)) for v in VARIANTS)


def check_options(
    config: Mapping[str, Any], path: Path, computed: Collection[str] = frozenset()
) -> None:
    """Raise BadAdapter for an option of a configuration, found in `path`, that is not exact.

    `computed` are options that the caller takes care of.
    """
    for key, value in config.items():
        if key not in INERT and key not in computed and not is_off(value):
            raise BadAdapter(
                f"{path}: {key} = {value!r} is not merged exactly here",
                "Use the adapter as it is with PEFT, or train without this option.",
            )
    start = config.get("init_lora_weights")
    if start not in PLAIN_INITIALISATION and moved_by(config) is None:
        raise BadAdapter(
            f"{path}: init_lora_weights = {start!r} changes the base itself, in a way that the "
            "base alone does not determine",
            "Convert it with PEFT: save_pretrained(..., path_initial_model_for_weight_conversion=...).",
        )


def moved_by(config: Mapping[str, Any]) -> str | None:
    """PISSA or OLORA, if the adapter's training began with one of them: each took away from the
    base what it put into the adapter.
    """
    start = config.get("init_lora_weights")
    if start == PISSA:
        return PISSA
    return OLORA if isinstance(start, str) and start.lower() == OLORA else None


def is_off(value: object) -> bool:
    """Whether an option's value means that it is not used."""
    return any(value is off or value == off for off in OFF)


def scale_of(config: Mapping[str, Any], module: str, rank: int, path: Path) -> float:
    """The factor of B @ A by a LoraConfig; raises BadAdapter where it declares another rank."""
    if (declared := by_pattern(config, "rank_pattern", module, config.get("r"), path)) != rank:
        raise BadAdapter(f"{path}: {module!r} has rank {rank}, its config says {declared}")
    return alpha_of(config, module, path) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def lycoris_rank_and_scale(
    config: Mapping[str, Any], module: str, path: Path
) -> tuple[float, float]:
    """The rank that a LoHaConfig or LoKrConfig declares for a module, and alpha / rank."""
    rank = _number(by_pattern(config, "rank_pattern", module, config.get("r"), path), path)
    alpha = alpha_of(config, module, path)
    if rank <= 0:
        raise BadAdapter(f"{path}: {module!r} has the rank {rank}")
    return rank, alpha / rank


def alpha_of(config: Mapping[str, Any], module: str, path: Path) -> float:
    """The alpha of a module by its own pattern or that of all; raises BadAdapter."""
    # A LoraConfig in the metadata of a file does not say its method.
    common = config.get("alpha" if config.get("peft_type") in {"LOHA", "LOKR"} else "lora_alpha")
    return _number(by_pattern(config, "alpha_pattern", module, common, path), path)


def _number(value: object, path: Path) -> float:
    try:
        number = float(value) if type(value) in {int, float} else math.nan  # type: ignore[arg-type]
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadAdapter(f"{path}: a rank or an alpha is {value!r:.60}, which is not a number")
    return number
