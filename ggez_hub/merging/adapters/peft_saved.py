"""Whole parameters in a PEFT file: modules_to_save, biases, and copies of adapted layers.

PEFT loads them over the base's. Equal ones change nothing and are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ggez_hub.families.base import TiedWeight
from ggez_hub.merging.adapters.finetune import same_bytes
from ggez_hub.merging.adapters.peft_source import PeftSource
from ggez_hub.merging.adapters.saved import Saved
from ggez_hub.merging.deltas import BadAdapter


def saved_parameters(
    source: PeftSource, parts: Mapping[str, Mapping[str, str]], saved: Mapping[str, str]
) -> dict[str, Saved]:
    """The whole parameters that differ from the base's, by the tensor that they replace.

    `parts` are the adapted modules, `saved` the keys of whole parameters by their paths. Raises
    BadAdapter, WrongBase, or as the key map.
    """
    names: dict[str, str] = {}
    replaced: dict[str, Saved] = {}
    tied: dict[str, tuple[TiedWeight, dict[str, Saved]]] = {}
    for path, key in saved.items():
        module, _, leaf = path.rpartition(".")
        if module.endswith(".base_layer") != (module.removesuffix(".base_layer") in parts):
            raise BadAdapter(
                f"{source.file.path}: {key!r} is no key of a PEFT adapter with these modules",
                "PEFT would silently ignore it.",
            )
        target, shared = replaced_tensor(source, path)
        whole = Saved(target, source.file, key)
        if shared is not None:
            name = f"{module.removesuffix('.base_layer')}.{leaf}"
            tied.setdefault(target, (shared, {}))[1][name] = whole
        if whole.target in names.values() and whole.target not in tied:
            raise BadAdapter(f"{source.file.path}: two keys replace the tensor {whole.target!r}")
        names[path] = whole.target
        if whole.changes(source.base):
            replaced[whole.target] = whole
    for target, (shared, copies) in tied.items():
        if target in replaced:
            _require_alike(shared, copies)
    _require_saved(source, parts, names)
    return replaced


def replaced_tensor(source: PeftSource, path: str) -> tuple[str, TiedWeight | None]:
    """The base's tensor that the parameter at `path` replaces, and with what it is tied, if so.

    Raises WrongBase, or as the key map.
    """
    module, _, leaf = path.rpartition(".")
    try:
        return source.parameter(module.removesuffix(".base_layer"), leaf), None
    except TiedWeight as error:
        if error.tensor is None:
            raise
        return error.tensor, error


def _require_saved(
    source: PeftSource, parts: Mapping[str, Mapping[str, str]], names: Mapping[str, str]
) -> None:
    """What the config says was saved is there, whole."""
    if (bias := source.config.get("bias", "none")) != "none":
        other = source.config["peft_type"] != "LORA"
        layers = [module for module, keys in parts.items() if other or "lora_A" in keys]
        # LoRA's word is `lora_only`, that of OFT `oft_only`, and so on.
        only = str(bias).endswith("_only")
        weights = {source.weight(module) for module in layers} if only else set(source.base)
        expected = {f"{name.rpartition('.')[0]}.bias" for name in weights} & set(source.base)
        if expected and not any(path.endswith(".bias") for path in names):
            raise BadAdapter(f"{source.folder}: bias = {bias!r}, but no bias is saved")
    required: dict[str, str] = {}
    for entry in source.config.get("modules_to_save") or ():
        found = False
        for path, target in names.items():
            for owner in _ancestors(path):
                rest = path[len(owner) :]
                if owner.endswith(entry) and target.endswith(rest):
                    found = True
                    prefix = target.removesuffix(rest) + "."
                    required |= {n: entry for n in source.base if n.startswith(prefix)}
        if not found and any(
            name == entry or owner.endswith(entry)
            for name in source.base
            for owner in _ancestors(name)
        ):
            raise BadAdapter(
                f"{source.folder}: modules_to_save names {entry!r}, but nothing of it is saved"
            )
    if missing := sorted(required.keys() - set(names.values())):
        raise BadAdapter(
            f"{source.folder}: modules_to_save names {required[missing[0]]!r}, but "
            f"{missing[0]!r} is not saved"
        )


def _require_alike(error: TiedWeight, copies: Mapping[str, Saved]) -> None:
    """Raise `error` unless all modules that share a weight are saved, and with the same value."""
    first, *others = (copy.stored() for copy in copies.values())
    if not set(error.sharing) <= copies.keys() or not all(same_bytes(first, o) for o in others):
        raise error


def _ancestors(path: str) -> Iterator[str]:
    """The paths of the modules around a parameter, the nearest first."""
    while "." in path:
        path = path.rpartition(".")[0]
        yield path
