"""PEFT's configuration of an adapter, made of a stranger's adapter_config.json.

Nothing in it allocates without limit, and no pattern in it reaches PEFT, which matches them by an
engine that a pattern can stop for years: each is matched here and written out, module by module.
"""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ggez_hub.linear_patterns import BadPattern, compile_pattern
from ggez_hub.merging.adapters.module_patterns import MOST_PATTERNS, by_pattern
from ggez_hub.merging.adapters.peft_config import VARIANTS
from ggez_hub.merging.deltas import BadAdapter

# Sizes that PEFT allocates before it has seen a tensor, and the most that they, and all of them
# multiplied, may be.
SIZES = ("r", "init_r", "u", "num_vectors", "vector_length")
LARGEST, TOGETHER_LARGEST = 1 << 14, 1 << 26
LONGEST = {"theta_d_length": 1 << 26, "n_frequency": 1 << 28}

# Options that choose modules, beside target_modules.
NAMING = ("exclude_modules", "layers_pattern", "layers_to_transform")
LAYERS = re.compile(r"[\w.]{1,100}")
# Methods whose patterns match behind a dot, and else are the path itself (their model.py).
AT_THE_END = frozenset({"C3A", "FOURIERFT"})


def peft_config(folder: Path, config: Mapping[str, Any]) -> Any:
    """PEFT's configuration of an adapter; raises BadAdapter for an option that it does not know."""
    from peft import PeftType
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    kind = str(config["peft_type"])
    made = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(kind)]
    known = made.__dataclass_fields__
    if unknown := sorted(set(config) - set(known)):
        raise BadAdapter(
            f"{folder}: PEFT does not know the option {unknown[0]!r} of a {kind}",
            "It was made with another version of PEFT.",
        )
    with our_error(folder, kind):
        _require_sizes(folder, config)
    # auto_mapping names code to import; the task decides which class of PEFT's wraps the model.
    # What is saved beside the layers is none of theirs.
    own = {
        "auto_mapping": None,
        "task_type": None,
        "modules_to_save": None,
        "bias": "none",
        "trainable_token_indices": None,
    }
    changed = {name: value for name, value in own.items() if name in known}
    with our_error(folder, kind), quiet():
        return made(**{**config, **changed, "inference_mode": True})


def _require_sizes(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise BadAdapter for sizes that no adapter has, before memory is asked for them."""
    options = [options for name in VARIANTS if isinstance(options := config.get(name), dict)]
    sizes = {name: config[name] for name in SIZES if isinstance(config.get(name), int)}
    sizes |= {k: v for own in options for k, v in own.items() if isinstance(v, int)}
    ranks = config.get("rank_pattern") or {}
    named = [(name, size, LARGEST) for name, size in (sizes | ranks).items()]
    named += [(name, config.get(name), longest) for name, longest in LONGEST.items()]
    for name, size, largest in named:
        if isinstance(size, int) and size > largest:
            raise BadAdapter(f"{folder}: {name} = {size} is not a size of an adapter")
    if math.prod(max(size, 1) for size in sizes.values()) > TOGETHER_LARGEST:
        raise BadAdapter(f"{folder}: {', '.join(sizes)} are not sizes of an adapter")


def named_modules(folder: Path, config: Mapping[str, Any], paths: Iterable[str]) -> list[str]:
    """Those of `paths` that the config names, by PEFT's rule (tuners_utils.py); raises BadAdapter."""
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

    kind, targets = config["peft_type"], config.get("target_modules")
    found = [path for path in paths if path]
    with our_error(folder, kind):
        if isinstance(excluded := config.get("exclude_modules"), str) and excluded:
            config = {**config, "exclude_modules": None}
            found = [path for path in found if not compile_pattern(excluded).fullmatch(path)]
        made = peft_config(folder, config)
        if isinstance(targets, str):
            return [path for path in found if compile_pattern(targets).fullmatch(path)]
        # Patterns for PEFT; in use they are names.
        layers = config.get("layers_pattern") or ()
        for name in [layers] if isinstance(layers, str) else layers:
            if not LAYERS.fullmatch(name):
                raise BadPattern(f"layers_pattern {name!r} is not a name of layers")
        matches = PEFT_TYPE_TO_TUNER_MAPPING[made.peft_type]._check_target_module_exists
        return [path for path in found if matches(made, path)]


def without_patterns(
    folder: Path, config: Mapping[str, Any], paths: Collection[str]
) -> dict[str, Any]:
    """The same configuration for the modules at `paths`, all of which it names, spelt out.

    PEFT matches patterns by an engine that a stranger's pattern stops for years.
    """
    own: dict[str, Any] = dict(config) | {"target_modules": sorted(paths)}
    own |= {name: None for name in NAMING if name in own}
    if forward := own.get("feedforward_modules"):
        own["feedforward_modules"] = [
            path
            for path in paths
            if (
                compile_pattern(forward).fullmatch(path)
                if isinstance(forward, str)
                else path.endswith(tuple(forward))
            )
        ]
    kind = config["peft_type"]
    for name, patterns in config.items():
        # AdaLoRA's are full names of parameters.
        if not name.endswith("_pattern") or not isinstance(patterns, dict) or kind == "ADALORA":
            continue
        form = "{}" if kind in AT_THE_END else "^{}$"
        chosen = {path: _value(folder, config, name, path) for path in paths}
        own[name] = {
            form.format(path if kind in AT_THE_END else re.escape(path)): value
            for path, value in chosen.items()
            if value is not None
        }
    return own


def _value(folder: Path, config: Mapping[str, Any], name: str, path: str) -> Any:
    """What the option `name` gives the module at `path`, by the rule of the config's method."""
    kind, patterns = config["peft_type"], config[name]
    if kind != "OSF" and kind not in AT_THE_END:
        return by_pattern(config, name, path, None, folder)
    if len(patterns) > MOST_PATTERNS:
        raise BadPattern(f"{name} has more than {MOST_PATTERNS:,} patterns")
    for pattern, value in patterns.items():
        if (
            compile_pattern(pattern).search(path)
            if kind == "OSF"
            else compile_pattern(rf".*\.{pattern}$").match(path)
        ):
            return value
    return None if kind == "OSF" else patterns.get(path)


@contextmanager
def our_error(folder: Path, kind: str) -> Iterator[None]:
    """What PEFT raises as a BadAdapter with its words."""
    try:
        yield
    except BadAdapter:
        raise
    # A config and tensors from outside may break PEFT's code in any way.
    except Exception as error:
        problem = " ".join((str(error) or type(error).__name__).split())
        raise BadAdapter(
            f"{folder}: PEFT cannot merge this {kind}: {problem[:300]}",
            "Use the adapter as it is with PEFT.",
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without PEFT's remarks: about options of the config, which are the adapter's author's."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
