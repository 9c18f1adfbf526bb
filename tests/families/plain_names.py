"""What `ggez_hub/families/plain_names.json` holds, from the models of transformers themselves.

`python -m tests.families.plain_names` writes it; minutes. A class that cannot be built from its default
config is left out: its models are built for their names when they are merged.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterable, Iterator
from typing import Any

import torch
import transformers
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import GroupWeightRename, revert_weight_conversion
from transformers.models.auto import modeling_auto
from transformers.pytorch_utils import Conv1D

from ggez_hub.errors import GgezError
from ggez_hub.families.plain_names import TABLE, filled, template
from ggez_hub.families.transformers_names import StoredNames

# More layers have no other names: every sixth is of another kind at most.
LAYERS, ENOUGH = ("num_hidden_layers", "num_layers", "n_layer", "depth"), 6
# What transformers renames when it loads; what it does not load so is not a layout.
OLDER: tuple[tuple[tuple[str, str], ...], ...] = (
    (),
    (
        (r"^model\.language_model\.", "language_model.model."),
        (r"^lm_head\.", "language_model.lm_head."),
        (r"^model\.", ""),
    ),
    ((r"^model\.language_model\.", "model."), (r"^model\.visual\.", "visual.")),
)
TWO_TOWERS = ("clip", "siglip", "siglip2", "chinese_clip", "metaclip_2", "altclip", "align")


def classes() -> dict[str, str]:
    """model_type by class: what sees and writes, what writes, and models of two towers."""
    mappings: tuple[Any, ...] = (
        modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        {kind: modeling_auto.MODEL_MAPPING_NAMES[kind] for kind in TWO_TOWERS},
    )
    return {
        name: kind
        for mapping in mappings
        for kind, names in mapping.items()
        for name in ([names] if isinstance(names, str) else names)
    }


def build(name: str, kind: str) -> Any:
    """The model on the meta device, tied wherever it can be; may raise anything."""
    try:
        return _build(name, kind, ENOUGH)
    except Exception:  # some sizes go together
        return _build(name, kind, 1000)


def _build(name: str, kind: str, layers: int) -> Any:
    config = transformers.AutoConfig.for_model(kind)
    for part in _configs(config):
        part.tie_word_embeddings = True
        for count in LAYERS:
            if getattr(part, count, None) and getattr(part, count) > layers:
                setattr(part, count, layers)
        if isinstance(kinds := getattr(part, "layer_types", None), list) and len(kinds) > layers:
            part.layer_types = kinds[:layers]
    with torch.device("meta"):
        return getattr(transformers, name)._from_config(
            config, dtype=torch.float32, attn_implementation="eager"
        )


def _configs(config: Any) -> Iterator[Any]:
    yield config
    for name in config.sub_configs:
        if (part := getattr(config, name, None)) is not None:
            yield from _configs(part)


def row(model: Any) -> list[dict[str, Any]]:
    """The names of each layout that transformers loads completely, one to one; see plain_names."""
    found = []
    for names in layouts(model):
        stored = StoredNames(model, names)
        if stored.stored.keys() | stored.changed.keys() >= stored.parameters - _tied(model):
            found.append(_layout(model, names, stored))
    return [layout for layout in found if layout["plain"]]


def layouts(model: Any) -> list[list[str]]:
    """Stored names: as in memory, as they are saved, and as files of transformers 4 may have them."""
    state = model.state_dict()
    found: dict[frozenset[str], list[str]] = {}
    for names in (list(state), list(revert_weight_conversion(model, state))):
        sees = any(name.startswith("model.language_model.") for name in names)
        for pairs in OLDER if sees else OLDER[:1]:
            older = [_renamed(name, pairs) for name in names]
            nested = [re.sub(r"\bvision_tower\.", r"\g<0>vision_model.", name) for name in older]
            for layout in (older, nested):
                found.setdefault(frozenset(layout), layout)
    return list(found.values())


def _renamed(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    for pattern, replacement in pairs:
        name = re.sub(pattern, replacement, name)
    return name


def _layout(model: Any, names: list[str], stored: StoredNames) -> dict[str, Any]:
    modules = dict(model.named_modules())
    conv1d = {path for path, module in modules.items() if isinstance(module, Conv1D)}
    weights = {_tensor(stored, path) for path in conv1d}
    plain: dict[str, str] = {}
    refused: set[str] = set()
    paths = {*modules, *(n.removesuffix(".weight") for n in names)}
    # Of each template the first and the last are enough.
    some = {template(path): path for path in sorted(paths)}.values()
    others = {template(path): path for path in sorted(paths, reverse=True)}.values()
    for module in sorted({*some, *others}):
        tensor = _tensor(stored, module)
        if tensor in stored.names and tensor.endswith(".weight") and tensor not in weights:
            found = plain.setdefault(template(module), template(tensor))
            if found != template(tensor) or filled(found, module) != tensor:
                refused.add(template(module))
        elif f"{module}.weight" in stored.names or tensor is not None:
            refused.add(template(module))
    kept = {module: tensor for module, tensor in plain.items() if module not in refused}
    same = sorted(module for module, tensor in kept.items() if tensor == f"{module}.weight")
    return {
        "plain": same,
        "renamed": {module: t for module, t in sorted(kept.items()) if module not in same},
        "other": sorted({template(n) for n in names} - {f"{module}.weight" for module in same}),
    }


def _tensor(stored: StoredNames, module: str) -> str:
    if any(isinstance(t, GroupWeightRename) for t in get_model_conversion_mapping(stored.model)):
        stored.forget()
    try:
        return stored.tensor(module) or ""
    except GgezError:
        return "?"


def _tied(model: Any) -> set[str]:
    return {name for pair in model.all_tied_weights_keys.items() for name in pair}


def main() -> None:
    logging.disable(logging.WARNING)
    rows = {}
    for name, kind in sorted(classes().items()):
        start = time.perf_counter()
        try:
            found = row(build(name, kind))
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {error}"[:200], flush=True)
            continue
        print(f"{name}: {time.perf_counter() - start:.1f} s", flush=True)
        if found:
            rows[name] = {"model_type": kind, "layouts": found}
    lines = [f"{json.dumps(name)}: {json.dumps(found)}" for name, found in rows.items()]
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
