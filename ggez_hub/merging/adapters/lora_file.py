"""LoRA files without a PEFT folder around them: their style, and their keys by module.

Three styles are in use, each with two matrices for a module: `lora_A` / `lora_B` (PEFT, and what
diffusers writes today), `down` / `up` (what diffusers and its scripts wrote before), and
`lora_down` / `lora_up` (kohya's sd-scripts, with an `alpha` for each module).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ggez_hub.merging.deltas import BadAdapter
from ggez_hub.weights import WeightFile, read_header

# What diffusers calls a LoRA file, and takes first in a folder.
DEFAULT_NAME = "pytorch_lora_weights.safetensors"

PEFT, DIFFUSERS, KOHYA = "lora_A / lora_B", "down / up", "lora_down / lora_up"
STYLES: Mapping[str, re.Pattern[str]] = {
    PEFT: re.compile(r"^(?P<module>.+)\.lora_(?P<part>A|B)\.weight$"),
    KOHYA: re.compile(r"^(?P<module>.+)\.lora_(?P<part>down|up)\.weight$"),
    # The last step of the path says lora: `.lora`, `.lora_linear_layer`, `.to_q_lora`.
    DIFFUSERS: re.compile(r"^(?P<module>.+?\.(?:\w+_)?lora\w*)\.(?P<part>down|up)\.weight$"),
}
PARTS: Mapping[str, str] = {"A": "A", "down": "A", "B": "B", "up": "B"}
ALPHA = ".alpha"

# Keys that belong to other arithmetic than s * B @ A, and what that is called.
OTHER_FORMS: Mapping[str, re.Pattern[str]] = {
    "DoRA": re.compile(r"\.(dora_scale|lora_magnitude_vector)\b"),
    "LoHa (LyCORIS)": re.compile(r"\.hada_"),
    "LoKr (LyCORIS)": re.compile(r"\.lokr_"),
    "LoCon with a CP decomposition (LyCORIS)": re.compile(r"\.lora_mid\b"),
    "OFT (LyCORIS)": re.compile(r"\.oft_"),
    "IA3 (LyCORIS)": re.compile(r"\.on_input$"),
    "trained normalisation layers (LyCORIS)": re.compile(r"\.[wb]_norm$"),
    "full differences (LyCORIS)": re.compile(r"\.diff(_b)?$"),
    "LoRA on an embedding": re.compile(r"\.lora_embedding_[AB]"),
    "LoRA with a bias": re.compile(r"\.(lora_B|lora_up|up)\.bias$"),
    "textual inversion": re.compile(r"^bundle_emb\."),
}


@dataclass(frozen=True)
class LoraModule:
    """The matrices of one module as the file names them; `alpha` where it says one.

    A is (rank, in, *kernel), B is (out, rank, 1...).
    """

    name: str
    key_a: str
    key_b: str
    alpha: float | None


@dataclass(frozen=True)
class LoraFile:
    """A LoRA file: one style, and every key of it in a module."""

    file: WeightFile
    style: str
    modules: tuple[LoraModule, ...]


@dataclass
class _Parts:
    keys: dict[str, str] = field(default_factory=dict)
    alpha: str | None = None


def lora_path(source: Path) -> Path | None:
    """The LoRA file that `source`, a file or a folder, is or holds; None if it holds none.

    Raises BadAdapter where a folder holds several, BadWeights for a broken file.
    """
    if source.is_file():
        return source if source.suffix == ".safetensors" and _holds_lora(source) else None
    if (source / DEFAULT_NAME).is_file():
        return source / DEFAULT_NAME
    found = [path for path in sorted(source.glob("*.safetensors")) if _holds_lora(path)]
    if len(found) > 1:
        raise BadAdapter(
            f"{source} holds {len(found)} LoRA files: {', '.join(path.name for path in found)}",
            "Name one of them instead of the folder.",
        )
    return found[0] if found else None


def _holds_lora(path: Path) -> bool:
    return any(
        any(style.match(key) for style in STYLES.values())
        or any(form.search(key) for form in OTHER_FORMS.values())
        for key in read_header(path).tensors
    )


def read_lora(path: Path) -> LoraFile:
    """Sort the keys of a LoRA file into modules.

    Raises BadAdapter for a key that belongs to no module, for a form that is not a LoRA, for mixed
    styles, half a pair, or a broken alpha.
    """
    file = read_header(path)
    found: dict[str, _Parts] = {}
    styles: dict[str, str] = {}
    for key in file.tensors:
        for form, pattern in OTHER_FORMS.items():
            if pattern.search(key):
                raise BadAdapter(
                    f"{path}: {key!r} is {form}, which is not merged here",
                    "A LoRA adds alpha / rank * B @ A; use this file with the program it is for.",
                )
        for style, pattern in STYLES.items():
            if match := pattern.match(key):
                found.setdefault(match["module"], _Parts()).keys[PARTS[match["part"]]] = key
                styles.setdefault(style, key)
                break
        else:
            if not key.endswith(ALPHA):
                raise BadAdapter(f"{path}: {key!r} is no key of a LoRA")
            found.setdefault(key.removesuffix(ALPHA), _Parts()).alpha = key
    if len(styles) > 1:
        # Measured with diffusers 0.42.1: it looks at one key and silently ignores the others.
        raise BadAdapter(
            f"{path} mixes the styles "
            + " and ".join(f"{style} ({key!r})" for style, key in styles.items()),
            "Loaders read one of them and silently ignore the rest. Save it again in one style.",
        )
    if not styles:
        raise BadAdapter(f"{path} holds no LoRA matrices")
    modules = tuple(_module(file, name, parts) for name, parts in sorted(found.items()))
    without = [module.name for module in modules if module.alpha is None]
    if 0 < len(without) < len(modules):
        # kohya's own loader takes the rank, diffusers the commonest alpha of the file.
        raise BadAdapter(
            f"{path}: {len(without)} of {len(modules)} modules have no alpha, as {without[0]!r}",
            "What such a file means depends on the program that loads it.",
        )
    return LoraFile(file, next(iter(styles)), modules)


def _module(file: WeightFile, name: str, parts: _Parts) -> LoraModule:
    if set(parts.keys) != {"A", "B"}:
        has = [*parts.keys.values(), *filter(None, [parts.alpha])]
        raise BadAdapter(f"{file.path}: module {name!r} has only {', '.join(has)}")
    for key in parts.keys.values():
        if len(file.tensors[key].shape) < 2 or 0 in file.tensors[key].shape:
            raise BadAdapter(f"{file.path}: {key!r} {file.tensors[key].shape} is no matrix")
    alpha = None if parts.alpha is None else _alpha(file, parts.alpha)
    return LoraModule(name, parts.keys["A"], parts.keys["B"], alpha)


def _alpha(file: WeightFile, key: str) -> float:
    import math

    from safetensors import safe_open

    with safe_open(file.path, framework="pt") as opened:
        value = opened.get_tensor(key)
    if value.numel() != 1 or not math.isfinite(value.item()):
        raise BadAdapter(f"{file.path}: {key!r} is no number")
    return float(value.item())
