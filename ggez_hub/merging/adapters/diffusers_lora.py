"""Delta of a LoRA file for a diffusers pipeline: diffusers' own, its scripts' and kohya's.

The scale of a module is alpha / rank: alpha from the LoraConfig in the file's metadata, from the
module's own key, or the rank itself. It is applied in float64 here. Measured with diffusers 0.42.1:
its loader rounds the scales of Flux into the matrices, takes the commonest alpha of the file for
attention modules whose alphas differ, and ignores the alpha of Flux's final layer.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.errors import MissingExtra
from ggez_hub.families import Family
from ggez_hub.families.diffusion import MODEL_INDEX
from ggez_hub.merging.adapters.diffusers_keys import Converter, Pair
from ggez_hub.merging.adapters.lora_file import LoraFile, LoraModule, lora_path, read_lora
from ggez_hub.merging.adapters.modules import (
    LowRank,
    ModuleDelta,
    ModuleSet,
    read_values,
    require_floating,
    require_room,
)
from ggez_hub.merging.adapters.peft_config import check_options, scale_of
from ggez_hub.merging.deltas import BadAdapter, WeightIndex, WrongBase
from ggez_hub.merging.rows import Product, RowDelta, whole
from ggez_hub.weights import WeightFile

if TYPE_CHECKING:
    import torch

# Where diffusers keeps the LoraConfigs of a file, as `<component>.<option>`:
# diffusers.loaders.lora_base.LORA_ADAPTER_METADATA_KEY.
METADATA_KEY = "lora_adapter_metadata"


def holds_lora_file(source: Path) -> bool:
    """Whether `source` is a LoRA file, or a folder of one."""
    return lora_path(source) is not None


def open_lora_file(source: Path, family: Family, base: WeightIndex) -> ModuleSet:
    """The LoRA file at `source`, or in that folder, as Deltas for the pipeline `base`.

    Raises BadAdapter for what cannot be merged exactly, WrongBase where a module or a shape does
    not fit, BadWeights for a broken file, MissingExtra without torch and diffusers.
    """
    for library in ("torch", "diffusers"):
        if importlib.util.find_spec(library) is None:
            raise MissingExtra(library, "merge")
    path = lora_path(source)
    if path is None:
        raise BadAdapter(f"{source} holds no LoRA file")
    if not (base.folder / MODEL_INDEX).is_file():
        raise BadAdapter(
            f"{path} is a LoRA file for a diffusers pipeline, {base.folder} is none",
            "A LoRA of another family is a PEFT folder: its adapter_config.json has the scale.",
        )
    lora = read_lora(path)
    converter, configs = Converter.of(base.folder, lora.style), _configs(lora)
    key_map = family.key_map(base.folder, base)
    components = {name.partition("/")[0] for name in base}
    modules: dict[str, ModuleDelta] = {}
    for module in lora.modules:
        probe = _probe(lora.file, module)
        for place, pair in converter.convert(module, probe).items():
            target = key_map(place)
            if target is None:
                raise WrongBase(
                    f"{path}: {module.key_a!r} changes a module {place!r} that the base in "
                    f"{base.folder} does not have",
                    "The LoRA was trained on another model.",
                )
            if target in modules:
                raise BadAdapter(f"{path}: two modules change the tensor {target!r}")
            part: LowRank | Converted
            scale = _scale(lora, module, place, configs, components)
            if pair.a is probe.a and pair.b is probe.b:
                part = LowRank(target, lora.file, module.key_a, module.key_b, scale)
            else:
                part = Converted(target, lora.file, module, place, converter, scale)
            part.check(base)
            modules[target] = part
    return ModuleSet(str(source), modules, base)


@dataclass(frozen=True)
class Converted:
    """scale * B @ A, of matrices that a converter cuts or reorders: Flux in kohya's style.

    `place` is which of the modules that come out of the converter. A is (rank, in), B (out, rank).
    """

    target: str
    file: WeightFile
    module: LoraModule
    place: str
    converter: Converter
    scale: float

    def delta(self, base: WeightIndex) -> torch.Tensor:
        return whole(self.by_rows(base), base[self.target].shape)

    def by_rows(self, base: WeightIndex) -> RowDelta:
        # In float64 the converter's products with 1 are exact for any rank.
        a = read_values(self.file, self.module.key_a)
        b = read_values(self.file, self.module.key_b)
        pair = self.converter.convert(self.module, Pair(a, b))[self.place]
        return Product(pair.b.contiguous(), pair.a.contiguous(), self.scale)

    def check(self, base: WeightIndex) -> None:
        """Raise BadAdapter if the matrices do not multiply, WrongBase if the base has no room."""
        probe = _probe(self.file, self.module)
        pair = self.converter.convert(self.module, probe)[self.place]
        a, b = tuple(pair.a.shape), tuple(pair.b.shape)
        if len(a) != 2 or len(b) != 2 or b[1] != a[0]:
            raise BadAdapter(
                f"{self.file.path}: {self.module.key_b!r} {b} does not multiply "
                f"{self.module.key_a!r} {a}"
            )
        for key in (self.module.key_a, self.module.key_b):
            require_floating(self.file, key)
        require_room(base, self.target, (b[0], a[1]), self.file)


def _probe(file: WeightFile, module: LoraModule) -> Pair:
    """Matrices of the right shapes that cost no memory: only where they end up matters."""
    import torch

    return Pair(
        torch.zeros(()).expand(file.tensors[module.key_a].shape),
        torch.zeros(()).expand(file.tensors[module.key_b].shape),
    )


def _configs(lora: LoraFile) -> dict[str, dict[str, Any]]:
    """The LoraConfigs in the file's metadata, by component; raises BadAdapter.

    The file of one model, as `save_lora_adapter` writes it, has one that names no component: "".
    """
    raw = lora.file.metadata.get(METADATA_KEY)
    if raw is None:
        return {}
    try:
        options = json.loads(raw)
        split = [(*key.rpartition("."), value) for key, value in options.items()]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadAdapter(f"{lora.file.path}: {METADATA_KEY} cannot be read: {error}") from error
    if any(module.alpha is not None for module in lora.modules):
        raise BadAdapter(
            f"{lora.file.path} gives its scales twice: in {METADATA_KEY} and by alpha keys"
        )
    configs: dict[str, dict[str, Any]] = {}
    for component, _, option, value in split:
        configs.setdefault(component, {})[option] = value
    for config in configs.values():
        check_options(config, lora.file.path)
    return configs


def _scale(
    lora: LoraFile,
    module: LoraModule,
    place: str,
    configs: Mapping[str, Mapping[str, Any]],
    components: Collection[str],
) -> float:
    """The factor of B @ A for the module at `place`, a path that starts with a component or not."""
    rank = lora.file.tensors[module.key_a].shape[0]
    component, _, path = place.partition(".")
    if component in configs:
        return scale_of(configs[component], path, rank, lora.file.path)
    if "" in configs and component not in components:
        return scale_of(configs[""], place, rank, lora.file.path)
    if configs:
        # diffusers would take the defaults of a LoraConfig, whatever they are.
        raise BadAdapter(
            f"{lora.file.path}: {METADATA_KEY} has no LoraConfig for the module {place!r}",
            "The scale of that module is not known.",
        )
    return 1.0 if module.alpha is None else module.alpha / rank
