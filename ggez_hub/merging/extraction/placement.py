"""Where each changed tensor goes in a PEFT adapter: a LoRA, a saved bias, a saved module, nowhere.

PEFT puts LoRA on linear layers, embeddings and ungrouped convolutions, keeps whole modules
(`modules_to_save`) and biases (`bias="all"`). A parameter that belongs to a module of many parts,
such as `logit_scale` or the projection of a tower, fits nowhere: it is left out, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ggez_hub.families import KeyMap
from ggez_hub.families.family import NotOneToOne, TiedWeight
from ggez_hub.merging.adapters.peft_folder import ancestors, find_by_neighbours, find_parameter
from ggez_hub.merging.deltas import WeightIndex

if TYPE_CHECKING:
    from torch import nn

Kind = Literal["linear", "transposed", "embedding", "convolution"]


@dataclass
class Places:
    """The changed tensors by where they go; `left_out` gives the reason.

    `lora` has the module and its kind, `biases` the parameter's path, `saved` all tensors of the
    modules that are saved in full, changed or not, by the parameter's path.
    """

    lora: dict[str, tuple[str, Kind]] = field(default_factory=dict)
    biases: dict[str, str] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)
    saved: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def find_places(
    changed: frozenset[str], modules: Mapping[str, nn.Module], key_map: KeyMap, base: WeightIndex
) -> Places:
    """The places of the `changed` tensors of a model with these `modules`."""
    owners, reasons = _owners(modules, key_map, base)
    places = Places()
    for tensor in sorted(changed):
        if tensor not in owners:
            why = reasons.get(tensor, "no module of the model that the adapter is put on has it")
            places.left_out[tensor] = why
            continue
        path, leaf = owners[tensor]
        whole = _whole(path, modules)
        kind = kind_of(modules[path])
        if whole is not None:
            places.modules.add(whole)
        elif leaf == "weight" and kind is not None:
            places.lora[tensor] = (path, kind)
        elif leaf == "bias":
            places.biases[tensor] = f"{path}.bias"
        elif path and _is_one_part(modules[path]):
            places.modules.add(path)
        else:
            places.left_out[tensor] = "a parameter of a module that holds other modules"
    _complete(places, modules, owners)
    return places


def kind_of(module: nn.Module) -> Kind | None:
    """How PEFT's LoRA takes a module; None if not, or if PEFT could not merge it again."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, Conv1D):
        return "transposed"
    if isinstance(module, nn.Embedding):
        return "embedding"
    # PEFT cannot merge a LoRA into a grouped convolution.
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) and module.groups == 1:
        return "convolution"
    return None


def _owners(
    modules: Mapping[str, nn.Module], key_map: KeyMap, base: WeightIndex
) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """The module and the parameter of each tensor, and why a tensor has no module of its own."""
    owners: dict[str, tuple[str, str]] = {}
    reasons: dict[str, str] = {}
    for path, module in modules.items():
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for leaf, _ in own:
            try:
                tensor = find_parameter(key_map, base, path, leaf)
                if tensor is None and leaf != "weight":
                    tensor = find_by_neighbours(modules, key_map, base, path, leaf)
            except TiedWeight as tied:
                if tied.tensor is not None:
                    reasons.setdefault(
                        tied.tensor, f"its value is that of {', '.join(tied.sharing)} too"
                    )
                continue
            except NotOneToOne:
                continue
            if tensor is not None:
                owners.setdefault(tensor, (path, leaf))
    return owners, reasons


def _is_one_part(module: nn.Module) -> bool:
    """Whether all that a module holds is its own: a norm, or whatever else has no parts."""
    own = {id(t) for t in (*module.parameters(recurse=False), *module.buffers(recurse=False))}
    return own == {id(t) for t in (*module.parameters(), *module.buffers())}


def _whole(path: str, modules: Mapping[str, nn.Module]) -> str | None:
    """The module around `path` that has to be saved in full.

    nn.MultiheadAttention multiplies with the matrices of its parts without calling them: a LoRA
    on them would do nothing until it is merged.
    """
    from torch import nn

    for around in (path, *ancestors(path)):
        if isinstance(modules[around], nn.MultiheadAttention):
            return around
    return None


def _complete(
    places: Places, modules: Mapping[str, nn.Module], owners: Mapping[str, tuple[str, str]]
) -> None:
    """All tensors of the saved modules; PEFT loads none of them unless it finds every one.

    PEFT takes modules by the end of their path (str.endswith): those that a name hits too are
    saved with it.
    """
    hit = {path for path in modules if any(path.endswith(name) for name in places.modules)}
    while hit != places.modules:
        places.modules = hit
        hit = {path for path in modules if any(path.endswith(name) for name in places.modules)}
    for tensor, (path, leaf) in owners.items():
        if places.modules.intersection((path, *ancestors(path))):
            places.saved[tensor] = f"{path}.{leaf}"
            places.lora.pop(tensor, None)
            places.biases.pop(tensor, None)
