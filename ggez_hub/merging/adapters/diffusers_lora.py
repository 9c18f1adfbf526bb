"""Delta of a LoRA file for a diffusers pipeline: diffusers' own, its scripts', kohya's, LyCORIS's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from ggez_hub.extras import require
from ggez_hub.families import Family
from ggez_hub.families.diffusion import MODEL_INDEX
from ggez_hub.merging.adapters.diffusers_keys import Names, Place
from ggez_hub.merging.adapters.dora import Dora
from ggez_hub.merging.adapters.lora_file import PEFT, UNSCALED, LoraModule, lora_path, read_lora
from ggez_hub.merging.adapters.lora_scales import Scales
from ggez_hub.merging.adapters.lycoris import LoCon, LoHa, LoKr
from ggez_hub.merging.adapters.lycoris_on_base import IA3, GLoRA
from ggez_hub.merging.adapters.module_delta import (
    LowRank,
    ModuleDelta,
    ModuleSet,
    Scaled,
    by_target,
)
from ggez_hub.merging.delta_rows import matrix_shape
from ggez_hub.merging.deltas import BadAdapter, WeightIndex, WrongBase
from ggez_hub.quantities import counted
from ggez_hub.safetensors_header import WeightFile

NUMBER = re.compile(r"\d+")
Part: TypeAlias = LowRank | LoCon | LoHa | LoKr | GLoRA | IA3 | Scaled


def _lora(file: WeightFile, module: LoraModule) -> Part:
    if "mid" in module.parts:
        return LoCon(module.name, file, _only(module, "A", "B", "mid"), 1.0)
    return LowRank(module.name, file, module.parts["A"], module.parts["B"], 1.0)


def _embedding(file: WeightFile, module: LoraModule) -> Part:
    keys = module.parts["embedding_A"], module.parts["embedding_B"]
    return LowRank(module.name, file, *keys, 1.0, transposed=True)


def _only(module: LoraModule, *starts: str) -> dict[str, str]:
    return {part: key for part, key in module.parts.items() if part.startswith(starts)}


# What the weight of a module becomes, at scale 1, by the kind of the module.
BUILDERS: Mapping[str, Callable[[WeightFile, LoraModule], Part]] = {
    "LoRA": _lora,
    "LoRA on an embedding": _embedding,
    "LoHa": lambda file, module: LoHa(module.name, file, _only(module, "hada_"), 1.0),
    "LoKr": lambda file, module: LoKr(module.name, file, _only(module, "lokr_"), 1.0),
    "GLoRA": lambda file, module: GLoRA(module.name, file, _only(module, "a", "b"), 1.0),
    "IA3": lambda file, module: IA3(module.name, file, _only(module, "ia3", "on_input"), 1.0),
    "difference": lambda file, module: Scaled(module.name, file, module.parts["diff"], 1.0),
}


def holds_lora_file(source: Path) -> bool:
    """Whether `source` is a LoRA file, or a folder of one."""
    return lora_path(source) is not None


def open_lora_file(source: Path, family: Family, base: WeightIndex) -> ModuleSet:
    """The LoRA file at `source`, or in that folder, as Deltas for the pipeline `base`.

    Raises BadAdapter for what cannot be merged exactly, WrongBase where a module or a shape does
    not fit, BadWeights for a broken file, MissingExtra without torch and diffusers.
    """
    require("merge", "torch", "diffusers")
    path = lora_path(source)
    if path is None:
        raise BadAdapter(f"{source} holds no LoRA file")
    if not (base.folder / MODEL_INDEX).is_file():
        raise BadAdapter(
            f"{path} is a LoRA file for a diffusers pipeline, which {base.folder} is not",
            "A LoRA of another family is a PEFT folder: its adapter_config.json has the scale.",
        )
    return ModuleSet(str(source), by_target(_Builder(path, family, base).parts(), path), base)


class _Builder:
    """Builds the parts of one LoRA file for one pipeline."""

    def __init__(self, path: Path, family: Family, base: WeightIndex) -> None:
        self.lora, self.base = read_lora(path), base
        self.file = self.lora.file
        self.names = Names(base.folder, base, family, self.lora.style)
        components = {name.partition("/")[0] for name in base}
        self.scales = Scales.of(self.lora, components)
        self._require_alike(components)

    def parts(self) -> Iterator[ModuleDelta]:
        for module, weight, places in self._placed():
            for place in places:
                assert place.target is not None  # noqa: S101 - of those that are placed
                scale = 1.0
                if weight is not None:
                    if module.kind not in UNSCALED:
                        scale = self.scales.scale(module, place.path)
                    yield self._weight(module, place, place.target, weight, scale)
                yield from self._bias(module, place, place.target, scale)

    def _placed(self) -> Sequence[tuple[LoraModule, Part | None, Sequence[Place]]]:
        """Every module with its weight and where it goes in the base.

        Raises for the first one that goes nowhere, and says how many others go somewhere.
        """
        found = []
        problems: dict[str, BadAdapter | WrongBase] = {}
        modules = self.lora.changing
        weights = {
            module.name: None if module.kind is None else BUILDERS[module.kind](self.file, module)
            for module in modules
        }
        shapes = {m.name: self._shape(m, weights[m.name]) for m in modules}
        all_places = self.names.places(shapes)
        for module in modules:
            weight, places = weights[module.name], all_places[module.name]
            if isinstance(places, BadAdapter):
                problems[module.name] = places
                continue
            lacking = next((place.path for place in places if place.target is None), None)
            if lacking is None:
                found.append((module, weight, places))
            else:
                problems[module.name] = WrongBase(
                    f"{self.file.path}: {module.name!r} changes a module {lacking!r} that "
                    f"the base in {self.base.folder} does not have"
                )
        if problems:
            first = next(iter(problems.values()))
            lost = {name: shapes[name] for name in problems}
            raise type(first)(first.message, self._how_much(len(found), lost, all_places))
        return found

    def _how_much(
        self,
        found: int,
        lost: Mapping[str, tuple[int, ...]],
        places: Mapping[str, Sequence[Place] | BadAdapter],
    ) -> str:
        """How much of the file the base has, and what that means by names and sizes of the rest."""
        count = counted(found + len(lost), "module")
        sizes = {matrix_shape(info.shape) for info in self.base.values() if info.shape}
        paths = (name.removesuffix(".weight").replace("/", ".", 1) for name in self.base)
        known = {NUMBER.sub("#", own) for path in paths for own in (path, path.partition(".")[2])}

        def is_unread(name: str) -> bool:
            read = places[name]
            if isinstance(read, BadAdapter):
                return True
            return not all(NUMBER.sub("#", place.path) in known for place in read)

        # A fused module has the rows of several.
        fit = all(
            any(columns == into and rows % out == 0 for out, into in sizes)
            for rows, columns in map(matrix_shape, lost.values())
        )
        if fit and all(map(is_unread, lost)):
            return (
                f"By their names the base has {found} of the {count} of this file, and it has tensors of the "
                "sizes of the others: diffusers reads these names in part. Save it again in the names of "
                "diffusers. A merge takes all or none."
            )
        if found:
            return (
                f"The base has {found} of the {count} of this file, and not the others: it is of another "
                "version of the model. A merge takes all or none."
            )
        return "The base has no module of this file: the LoRA was trained on another model."

    def _shape(self, module: LoraModule, weight: Part | None) -> tuple[int, ...]:
        if weight is not None:
            return weight.shape
        key = module.parts.get("diff_b")
        return self.file.tensors[key].shape if key else ()

    def _weight(
        self, module: LoraModule, place: Place, target: str, weight: Part, scale: float
    ) -> ModuleDelta:
        part = replace(weight, target=target, scale=scale).selected(place.runs)
        magnitude = module.parts.get("magnitude")
        if magnitude is None:
            part.check(self.base)
            return part
        columns = self._of_columns(magnitude, target) or (
            isinstance(weight, LowRank) and weight.transposed
        )
        if columns and place.runs is not None:
            raise BadAdapter(
                f"{self.file.path}: {magnitude!r} is of the inputs of a module that the base in "
                f"{self.base.folder} keeps apart"
            )
        dora = Dora(part, magnitude, of_columns=columns)
        dora.check(self.base)
        return dora

    def _of_columns(self, key: str, target: str) -> bool:
        """Whether magnitudes are of the inputs: (1, in, 1...) in place of (out, 1...).

        PEFT's own are always of the outputs, those of convolutions (1, out, 1...).
        """
        shape, stored = self.file.tensors[key].shape, self.base[target].shape
        if self.lora.magnitudes_of_peft or len(shape) < 2 or shape[0] != 1:
            return False
        return len(stored) > 1 and shape[1] == stored[1]

    def _bias(
        self, module: LoraModule, place: Place, target: str, scale: float
    ) -> Iterator[ModuleDelta]:
        # A bias of PEFT's is scaled as its matrices are, a difference is not.
        for name, factor in (("bias", scale), ("diff_b", 1.0)):
            if name not in module.parts:
                continue
            bias = f"{target.removesuffix('weight')}bias"
            if bias not in self.base:
                raise WrongBase(
                    f"{self.file.path}: {module.parts[name]!r} changes a bias that {place.path!r} "
                    f"of the base in {self.base.folder} does not have"
                )
            part = Scaled(bias, self.file, module.parts[name], factor).selected(place.runs)
            part.check(self.base)
            yield part

    def _require_alike(self, components: set[str]) -> None:
        """PEFT decomposes all modules of a model or none: without a magnitude it would take one."""
        if self.lora.style != PEFT:
            return
        decomposed: dict[str, dict[bool, str]] = {}
        for module in self.lora.modules:
            first = module.name.partition(".")[0]
            group = decomposed.setdefault(first if first in components else "", {})
            group.setdefault("magnitude" in module.parts, module.name)
        for group in decomposed.values():
            if len(group) > 1:
                raise BadAdapter(
                    f"{self.file.path}: {group[True]!r} is a DoRA, {group[False]!r} beside it is not",
                    "Loaders would make a DoRA of both, with magnitudes that the file does not have.",
                )
