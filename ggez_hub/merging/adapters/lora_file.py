"""LoRA files without a PEFT folder around them: their style, and their keys by module.

Three styles are in use, each with two matrices for a module: `lora_A` / `lora_B` (PEFT, and what
diffusers writes today), `down` / `up` (what diffusers and its scripts wrote before), and
`lora_down` / `lora_up` (kohya's sd-scripts, with an `alpha` for each module). LyCORIS writes its
other forms as kohya writes a LoRA: https://github.com/KohakuBlueleaf/LyCORIS.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.merging.deltas import BadAdapter
from ggez_hub.quantities import counted
from ggez_hub.safetensors_header import WeightFile, read_header

# What diffusers calls a LoRA file, and takes first in a folder.
DEFAULT_NAME = "pytorch_lora_weights.safetensors"

PEFT, DIFFUSERS, KOHYA = "lora_A / lora_B", "down / up", "lora_down / lora_up"
COMMON = ""

LOHA_PARTS = frozenset({f"hada_w{n}_{x}" for n in (1, 2) for x in "ab"} | {"hada_t1", "hada_t2"})
GLORA_PARTS = frozenset({"a1", "a2", "b1", "b2"})
LOKR_PARTS = frozenset({f"lokr_w{n}{x}" for n in (1, 2) for x in ("", "_a", "_b")} | {"lokr_t2"})

# The end of a key, by style, and the part of a module that it is.
ENDS: Mapping[str, Mapping[str, str]] = {
    PEFT: {
        "lora_A.weight": "A", "lora_B.weight": "B", "lora_B.bias": "bias",
        # With the name that PEFT gives an adapter in memory, as DiffSynth saves it.
        "lora_A.default.weight": "A", "lora_B.default.weight": "B",
        "lora_embedding_A": "embedding_A", "lora_embedding_B": "embedding_B",
        "lora_magnitude_vector": "magnitude", "lora_magnitude_vector.weight": "magnitude",
    },
    KOHYA: {
        "lora_down.weight": "A", "lora_up.weight": "B", "lora_mid.weight": "mid",
        # Differences of weights, of biases, and of both in normalisation layers.
        "diff": "diff", "diff_b": "diff_b", "w_norm": "diff", "b_norm": "diff_b",
        **{part: part for part in LOHA_PARTS | LOKR_PARTS},
        **{f"{part}.weight": part for part in GLORA_PARTS},
        "on_input": "on_input",
    },
    DIFFUSERS: {"down.weight": "A", "up.weight": "B"},
    # Of any style.
    COMMON: {"alpha": "alpha", "dora_scale": "magnitude"},
}  # fmt: skip
# How a single number is stored, as `struct` calls it; torch, which could say too, is slow to import.
NUMBERS: Mapping[str, str] = {
    "F64": "<d", "F32": "<f", "F16": "<e", "BF16": "<f", "I64": "<q", "I32": "<i", "I16": "<h",
    "U8": "<B", "I8": "<b",
}  # fmt: skip


def _pattern(ends: Iterable[str], module: str = r".+") -> re.Pattern[str]:
    return re.compile(rf"^(?P<module>{module})\.(?P<end>{'|'.join(map(re.escape, ends))})\Z")


PATTERNS: Mapping[str, re.Pattern[str]] = {
    PEFT: _pattern(ENDS[PEFT]),
    KOHYA: _pattern(ENDS[KOHYA]),
    # The last step of the path says lora: `.lora`, `.lora_linear_layer`, `.to_q_lora`.
    DIFFUSERS: _pattern(ENDS[DIFFUSERS], r".+?\.(?:\w+_)?lora\w*"),
    COMMON: _pattern(ENDS[COMMON]),
}

# The forms that the weight of a module may have, by their parts.
KINDS: Mapping[str, frozenset[str]] = {
    "LoRA": frozenset({"A", "B", "mid"}),
    "LoRA on an embedding": frozenset({"embedding_A", "embedding_B"}),
    "LoHa": LOHA_PARTS,
    "LoKr": LOKR_PARTS,
    "GLoRA": GLORA_PARTS,
    "IA3": frozenset({"ia3", "on_input"}),
    "difference": frozenset({"diff"}),
}
# Those that have no alpha, nor a magnitude beside them.
UNSCALED = frozenset({None, "difference", "IA3"})

# The matrices of those that are low-rank products.
PAIRS = {
    "LoRA": frozenset({"A", "B"}),
    "LoRA on an embedding": KINDS["LoRA on an embedding"],
    "GLoRA": GLORA_PARTS,
}

# Keys that belong to arithmetic that is not computed here, and what that is called.
OTHER_FORMS: Mapping[str, re.Pattern[str]] = {
    "OFT (LyCORIS)": re.compile(r"\.oft_"),
    "textual inversion": re.compile(r"^bundle_emb\."),
}


@dataclass(frozen=True)
class LoraModule:
    """What a file says of one module: its keys by part, and `alpha` where it has one.

    `kind` is the form of its weight, a key of KINDS; None where only its bias changes.
    """

    name: str
    kind: str | None
    parts: Mapping[str, str]
    alpha: float | None


@dataclass(frozen=True)
class LoraFile:
    """A LoRA file: one style, and every key of it in a module."""

    file: WeightFile
    style: str
    modules: tuple[LoraModule, ...]

    @property
    def magnitudes_of_peft(self) -> bool:
        """Whether its `dora_scale` are PEFT's vectors, of one dimension for linear layers."""
        tensors = self.file.tensors
        keys = (module.parts.get("magnitude") for module in self.modules)
        return self.style == PEFT or any(key and len(tensors[key].shape) == 1 for key in keys)

    @property
    def changing(self) -> tuple[LoraModule, ...]:
        """The modules but for vectors of zeros, which distilled files of Wan have for norms."""
        return tuple(module for module in self.modules if not self._adds_nothing(module))

    def _adds_nothing(self, module: LoraModule) -> bool:
        if not module.parts.keys() <= {"diff", "diff_b"}:
            return False
        keys = module.parts.values()
        vectors = all(len(self.file.tensors[key].shape) == 1 for key in keys)
        return vectors and not any(any(self.file.read(key)) for key in keys)


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
    """Whether most keys are those of LoRA files: some model has a parameter called `diff`."""
    keys = read_header(path).tensors
    known = (*PATTERNS.values(), *OTHER_FORMS.values())
    held = (_is_ia3(key, keys) or any(pattern.search(key) for pattern in known) for key in keys)
    return 2 * sum(held) > len(keys)


def _is_ia3(key: str, keys: Container[str]) -> bool:
    """Whether it is the vector of LyCORIS's IA3: only the key beside it makes it that of an adapter."""
    return key.endswith(".weight") and f"{key.removesuffix('weight')}on_input" in keys


def read_lora(path: Path) -> LoraFile:
    """Sort the keys of a LoRA file into modules.

    Raises BadAdapter for a key that belongs to no module, for a form that is not merged, for mixed
    styles, half a pair, or a broken alpha.
    """
    file = read_header(path)
    keys: dict[str, dict[str, str]] = {}
    # The first key of each style.
    styles: dict[str, str] = {}
    for key in file.tensors:
        if _is_ia3(key, file.tensors):
            style, name, part = KOHYA, key.removesuffix(".weight"), "ia3"
        else:
            style, name, part = _read_key(key, path)
        if style != COMMON:
            styles.setdefault(style, key)
        if (other := keys.setdefault(name, {}).setdefault(part, key)) != key:
            raise BadAdapter(f"{path}: {other!r} and {key!r} are the same part of a module")
    if len(styles) > 1:
        # Measured with diffusers 0.42.1: it looks at one key and silently ignores the others.
        raise BadAdapter(
            f"{path} mixes the styles "
            + " and ".join(f"{style} ({key!r})" for style, key in styles.items()),
            "Loaders read one of them and silently ignore the rest. Save it again in one style.",
        )
    if not styles:
        raise BadAdapter(f"{path} holds no LoRA matrices")
    modules = tuple(_module(file, name, parts) for name, parts in sorted(keys.items()))
    scaled = [module for module in modules if module.kind not in UNSCALED]
    without = [module.name for module in scaled if module.alpha is None]
    if 0 < len(without) < len(scaled):
        # kohya's own loader takes the rank, diffusers the commonest alpha of the file.
        raise BadAdapter(
            f"{path}: {len(without)} of {counted(len(scaled), 'module has', 'modules have')} no alpha, as {without[0]!r}",
            "What such a file means depends on the program that loads it.",
        )
    return LoraFile(file, next(iter(styles)), modules)


def _read_key(key: str, path: Path) -> tuple[str, str, str]:
    """The style of a key, its module, and the part of that; raises BadAdapter."""
    for form, pattern in OTHER_FORMS.items():
        if pattern.search(key):
            raise BadAdapter(
                f"{path}: {key!r} is {form}, which is not merged here",
                "Use this file with the program it is for.",
            )
    for style, pattern in PATTERNS.items():
        if match := pattern.match(key):
            return style, match["module"], ENDS[style][match["end"]]
    raise BadAdapter(f"{path}: {key!r} is not a key of a LoRA")


def _module(file: WeightFile, name: str, parts: dict[str, str]) -> LoraModule:
    has = ", ".join(parts.values())
    kinds = [kind for kind, known in KINDS.items() if known & parts.keys()]
    if len(kinds) > 1:
        raise BadAdapter(f"{file.path}: module {name!r} is {' and '.join(kinds)} at once: {has}")
    kind = kinds[0] if kinds else None
    pair = PAIRS.get(kind or "", frozenset())
    # A magnitude or an alpha says how a weight is changed that something else has to change.
    apart = {"magnitude", "bias"} | ({"alpha"} if kind in UNSCALED else set())
    alone = parts.keys() & apart if kind in UNSCALED | {"GLoRA"} else ()
    if alone or not pair <= parts.keys() or {"bias", "diff_b"} <= parts.keys():
        raise BadAdapter(f"{file.path}: module {name!r} has only {has}")
    for part in pair:
        shape = file.tensors[parts[part]].shape
        if len(shape) < 2 or 0 in shape:
            raise BadAdapter(f"{file.path}: {parts[part]!r} {shape} is not a matrix")
    alpha = read_number(file, parts.pop("alpha")) if "alpha" in parts else None
    return LoraModule(name, kind, parts, alpha)


def read_number(file: WeightFile, key: str) -> float:
    """The one finite number that a tensor holds, whatever its dtype; raises BadAdapter."""
    info = file.tensors[key]
    value = float("nan")
    if math.prod(info.shape) == 1 and info.dtype in NUMBERS:
        # The upper half of a float32 is a bfloat16.
        data = b"\0\0" * (info.dtype == "BF16") + file.read(key)
        (value,) = struct.unpack(NUMBERS[info.dtype], data)
    if not math.isfinite(value):
        raise BadAdapter(f"{file.path}: {key!r} is not a number")
    return float(value)
