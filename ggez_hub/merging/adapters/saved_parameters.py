"""Parts of an adapter that replace values of the base: modules_to_save, biases, rows of tokens.

Delta = saved - base, in float64: what is equal stays as it is, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.families.family import TiedWeight
from ggez_hub.merging.adapters.finetune import same_bytes, same_values
from ggez_hub.merging.adapters.module_delta import (
    FLOATING,
    read_values,
    require_floating,
    require_room,
)
from ggez_hub.merging.adapters.peft_folder import TOKENS, PeftOnBase, ancestors
from ggez_hub.merging.delta_rows import Difference, RowDelta, Whole
from ggez_hub.merging.deltas import BadAdapter, WeightIndex, WrongBase
from ggez_hub.quantities import counted
from ggez_hub.safetensors_header import WeightFile

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Saved:
    """A whole tensor in place of the base's; same shape, any floating dtype."""

    target: str
    file: WeightFile
    key: str

    def stored(self) -> torch.Tensor:
        import torch

        from ggez_hub.merging.stored_tensors import map_tensor

        saved = map_tensor(self.file, self.key)
        if not torch.isfinite(saved).all():
            raise BadAdapter(f"{self.file.path}: {self.key!r} is not finite: it holds NaN or Inf")
        return saved

    def by_rows(self, base: WeightIndex) -> RowDelta:
        return Difference(self.stored(), base.read(self.target))

    def changes(self, base: WeightIndex) -> bool:
        """Whether any value differs from the base's.

        Raises WrongBase for another shape, BadAdapter for integers that differ: there is no
        beta of an integer.
        """
        info, saved = base[self.target], self.file.tensors[self.key]
        if info.dtype in FLOATING:
            require_floating(self.file, self.key)
            require_room(base, self.target, saved.shape, self.file)
            return not same_values(self.stored(), base.read(self.target))
        alike = (saved.dtype, saved.shape) == (info.dtype, info.shape)
        if alike and same_bytes(self.stored(), base.read(self.target)):
            return False
        raise BadAdapter(
            f"{self.file.path}: {self.key!r} replaces the {info.dtype} tensor {self.target!r} of "
            "the base, which cannot be interpolated"
        )


@dataclass(frozen=True)
class Rows:
    """Rows in place of some of the base's: PEFT's trainable tokens.

    `rows` are the rows of the base, in the order of the saved tensor's (rows, width).
    """

    target: str
    file: WeightFile
    key: str
    rows: tuple[int, ...]

    def by_rows(self, base: WeightIndex) -> RowDelta:
        import torch

        stored = base.read(self.target)
        delta = torch.zeros(stored.shape, dtype=torch.float64)
        index = torch.tensor(self.rows)
        delta[index] = read_values(self.file, self.key) - stored[index]
        return Whole(delta)

    def check(self, base: WeightIndex) -> None:
        """Raise BadAdapter or WrongBase unless each row has its place."""
        saved, info = self.file.tensors[self.key].shape, base[self.target]
        require_floating(self.file, self.key)
        if len(set(self.rows)) != len(self.rows):
            raise BadAdapter(f"{self.file.path}: {self.key!r} names a token twice")
        if len(saved) != 2 or saved[0] != len(self.rows):
            raise BadAdapter(
                f"{self.file.path}: {self.key!r} is {saved}, its config names {counted(len(self.rows), 'token')}"
            )
        if len(info.shape) != 2 or not all(0 <= row < info.shape[0] for row in self.rows):
            raise WrongBase(
                f"{self.file.path}: {self.key!r} names tokens that {self.target!r} {info.shape} of "
                f"the base in {base.folder} does not have",
                "The adapter was trained with a resized vocabulary, or on another model.",
            )
        require_room(base, self.target, (info.shape[0], saved[1]), self.file)


def token_rows(option: object, module: str, path: Path) -> tuple[int, ...]:
    """The rows that `trainable_token_indices` names for a module; raises BadAdapter.

    PEFT writes a list, for the input embedding, or a dictionary of lists by the module's name.
    """
    found: object = option
    if isinstance(option, dict):
        matches = [rows for name, rows in option.items() if f".{module}".endswith(f".{name}")]
        found = matches[0] if len(matches) == 1 else None
    if not isinstance(found, Sequence) or not all(type(row) is int for row in found):
        raise BadAdapter(f"{path}: trainable_token_indices names no tokens for {module!r}")
    return tuple(found)


def saved_parameters(
    source: PeftOnBase, parts: Mapping[str, Mapping[str, str]], saved: Mapping[str, str]
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
                f"{source.file.path}: {key!r} is not a key of a PEFT adapter with these modules",
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


def replaced_tensor(source: PeftOnBase, path: str) -> tuple[str, TiedWeight | None]:
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
    source: PeftOnBase, parts: Mapping[str, Mapping[str, str]], names: Mapping[str, str]
) -> None:
    """Raise BadAdapter unless all that the config names as saved is there."""
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
            for owner in ancestors(path):
                rest = path[len(owner) :]
                if owner.endswith(entry) and target.endswith(rest):
                    found = True
                    prefix = target.removesuffix(rest) + "."
                    required |= {n: entry for n in source.base if n.startswith(prefix)}
        if not found and any(
            name == entry or owner.endswith(entry)
            for name in source.base
            for owner in ancestors(name)
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


def one_of_each(
    rows: Iterable[Rows], source: PeftOnBase, replaced: Mapping[str, Saved]
) -> dict[str, Rows]:
    """Rows by the tensor that they change: tied modules are saved each by itself, with the same rows.

    Raises BadAdapter for other rows, and where the tensor itself is one of `replaced`.
    """
    found: dict[str, Rows] = {}
    for part in rows:
        before = found.setdefault(part.target, part)
        if not read_values(part.file, before.key).equal(read_values(part.file, part.key)):
            raise BadAdapter(
                f"{part.file.path}: {before.key!r} and {part.key!r} differ, and are one tensor of the base"
            )
    if both := sorted(found.keys() & replaced.keys()):
        raise BadAdapter(
            f"{source.file.path}: {replaced[both[0]].key!r}, in which tokens were trained, is not "
            f"{both[0]!r} of the base in {source.base.folder}",
            "Merge into the base that it was trained on, resized as it was for the training.",
        )
    return found


def token_rows_of(source: PeftOnBase, module: str, keys: Mapping[str, str]) -> Rows:
    """The rows of tokens that PEFT trained in a module; raises BadAdapter, WrongBase."""
    if set(keys) != {TOKENS}:
        raise BadAdapter(f"{source.file.path}: {module!r} has trainable tokens and a LoRA at once")
    return rows_of(source, module, keys[TOKENS], source.config.get("trainable_token_indices"))


def rows_of(source: PeftOnBase, module: str, key: str, option: object) -> Rows:
    """The rows of an embedding that `key` replaces; `option` names them in PEFT's config."""
    # PEFT changes the tokens of all tied modules alike.
    target, _ = replaced_tensor(source, f"{module}.weight")
    rows = Rows(target, source.file, key, token_rows(option, module, source.folder))
    rows.check(source.base)
    return rows
