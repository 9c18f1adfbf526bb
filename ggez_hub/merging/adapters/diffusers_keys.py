"""Which tensors of a pipeline a module of a LoRA file means, and which of its rows each one gets.

A name that says a module of the pipeline outright (`unet.mid_block...`, or kohya's
`lora_unet_mid_block_...`) is looked up; others are diffusers' to read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ggez_hub.families import Family, KeyMap
from ggez_hub.families.diffusion import DENOISERS
from ggez_hub.merging.adapters.diffusers_converter import MOST, ORIGINAL, Converter, Paths, Shape
from ggez_hub.merging.adapters.lora_file import PEFT
from ggez_hub.merging.deltas import BadAdapter

# Prefixes of names whose steps are joined by `_`, and the components that they may be of.
FLAT = re.compile(r"^(?P<prefix>lora_unet|lora_transformer|lora_te\d?|lycoris)_(?P<path>.+)\Z")
COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "lora_unet": DENOISERS, "lora_transformer": DENOISERS, "lycoris": DENOISERS,
    "lora_te": ("text_encoder",), "lora_te1": ("text_encoder",), "lora_te2": ("text_encoder_2",),
    "lora_te3": ("text_encoder_3",),
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A module of the pipeline, as PEFT names it, and the tensor that is its weight, if it has one.

    `runs` are the rows of the file's module that are its own; None for all of them.
    """

    path: str
    target: str | None
    runs: tuple[range, ...] | None = None


class Names:
    """From the modules of a LoRA file in one style to those of the pipeline in `folder`."""

    def __init__(self, folder: Path, tensors: Collection[str], family: Family, style: str) -> None:
        """`tensors` are the names of the pipeline's tensors, `<component>/<tensor>`."""
        self._style, self._folder = style, folder
        self._key_map: KeyMap = family.key_map(folder, tensors)
        self._tensors = [name for name in tensors if name.endswith(".weight")]

    def places(self, shapes: Mapping[str, Shape]) -> dict[str, list[Place] | BadAdapter]:
        """Where each module of a file goes, by the rows and columns of its Delta.

        Several places where the pipeline keeps apart what the file fuses, as query, key and value;
        the reason in place of them for a module that neither the pipeline nor diffusers knows.
        """
        found: dict[str, list[Place] | BadAdapter] = {}
        converted: dict[str, Shape] = {}
        for module, shape in shapes.items():
            path = self._literal(module)
            if path is not None:
                found[module] = [Place(path, self._key_map(path))]
                continue
            converted[module] = shape
            try:
                paths = self._converter.convert({module: shape}, self._has)[module]
                found[module] = self._placed(paths)
            except BadAdapter as problem:
                # PEFT's keys are paths of the pipeline, but for those of a model's first repository.
                own = self._style == PEFT and not module.startswith(ORIGINAL)
                found[module] = [Place(module, None)] if own else problem
        lost = [module for module in converted if not _is_placed(found[module])]
        if lost:
            # Some names say what they mean only among the others of their file.
            with suppress(BadAdapter):
                together = self._converter.convert(converted, self._has, MOST)
                found |= {module: self._placed(together[module]) for module in lost}
        return found

    def _placed(self, paths: Paths) -> list[Place]:
        return [Place(path, self._key_map(path), runs) for path, runs in paths.items()]

    def _has(self, path: str) -> bool:
        return self._key_map(path) is not None

    def _literal(self, module: str) -> str | None:
        """The path that a name spells out; None if it is not a module of the pipeline."""
        if match := FLAT.match(module):
            paths = {
                self._flat.get((component, spelled))
                for component in COMPONENTS[match["prefix"]]
                for spelled in (match["path"], match["path"].removeprefix("text_model_"))
            } - {None}
            return paths.pop() if len(paths) == 1 else None
        spelled = (module, module.removeprefix(ORIGINAL))
        return next((path for path in spelled if self._key_map(path) is not None), None)

    @cached_property
    def _flat(self) -> Mapping[tuple[str, str], str | None]:
        """Component and flat path -> path; None for two of the same."""
        found: dict[tuple[str, str], str | None] = {}
        for name in self._tensors:
            component, _, path = name.removesuffix(".weight").partition("/")
            for spelled in {path, path.removeprefix("text_model.")}:
                key = (component, spelled.replace(".", "_"))
                found[key] = None if key in found else f"{component}.{path}"
        return found

    @cached_property
    def _converter(self) -> Converter:
        return Converter.of(self._folder, self._style)


def _is_placed(found: Sequence[Place] | BadAdapter) -> bool:
    return not isinstance(found, BadAdapter) and all(place.target for place in found)
