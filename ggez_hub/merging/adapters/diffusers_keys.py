"""Which tensors of a pipeline a module of a LoRA file means, and which of its rows each one gets.

A name that says a module of the pipeline outright (`unet.mid_block...`, or kohya's
`lora_unet_mid_block_...`) is looked up. Others are given to diffusers' own converters: with a whole
file these drop what they do not know with a note in the log, and decide by one key how all others
are read; given one module, what they do not know stands out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ggez_hub.families import Family, KeyMap
from ggez_hub.families.diffusion import DENOISERS, MODEL_INDEX
from ggez_hub.families.weight_files import read_json
from ggez_hub.merging.adapters.lora_file import DIFFUSERS, KOHYA, PEFT
from ggez_hub.merging.deltas import BadAdapter, WeightIndex

if TYPE_CHECKING:
    import torch

MATRICES = {".lora_A.weight": "a", ".lora_B.weight": "b"}
# How a converter knows a module: by the keys of a LoRA on it.
ENDS = {
    DIFFUSERS: (".down.weight", ".up.weight"),
    KOHYA: (".lora_down.weight", ".lora_up.weight"),
    PEFT: (".lora_A.weight", ".lora_B.weight"),
}

# Prefixes of names whose steps are joined by `_`, and the components that they may be of.
FLAT = re.compile(r"^(?P<prefix>lora_unet|lora_transformer|lora_te\d?|lycoris)_(?P<path>.+)\Z")
COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "lora_unet": DENOISERS, "lora_transformer": DENOISERS, "lycoris": DENOISERS,
    "lora_te": ("text_encoder",), "lora_te1": ("text_encoder",), "lora_te2": ("text_encoder_2",),
    "lora_te3": ("text_encoder_3",),
}  # fmt: skip
# What some programs write before a path of the denoiser.
ORIGINAL = "diffusion_model."


@dataclass(frozen=True)
class Place:
    """A module of the pipeline, as PEFT names it, and the tensor that is its weight, if it has one.

    `runs` are the rows of the file's module that are its own; None for all of them.
    """

    path: str
    target: str | None
    runs: tuple[range, ...] | None = None


class Names:
    """From the modules of a LoRA file in one style to those of one pipeline."""

    def __init__(self, base: WeightIndex, family: Family, style: str) -> None:
        self._style, self._folder = style, base.folder
        self._key_map: KeyMap = family.key_map(base.folder, base)
        self._tensors = [name for name in base if name.endswith(".weight")]

    def places(self, module: str, shape: tuple[int, ...]) -> list[Place]:
        """Where a module goes whose Delta has the rows and columns of `shape`.

        Several where the pipeline keeps apart what the file fuses, as query, key and value. Raises
        BadAdapter for a module that neither the pipeline nor diffusers knows.
        """
        path = self._literal(module)
        if path is not None:
            return [Place(path, self._key_map(path))]
        # PEFT's keys are paths of the pipeline, but for those of a model's first repository.
        if self._style == PEFT and not module.startswith(ORIGINAL):
            return [Place(module, None)]
        found = self._converter.convert(module, shape)
        return [Place(path, self._key_map(path), runs) for path, runs in found.items()]

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


@dataclass(frozen=True)
class Converter:
    """diffusers' converters for one pipeline and one style.

    `loader` is the pipeline's class, whose `lora_state_dict` is used without an instance, hence
    without the pipeline's weights.
    """

    style: str
    loader: Any
    options: Mapping[str, Any]

    @classmethod
    def of(cls, pipeline: Path, style: str) -> Converter:
        """The converter for the pipeline in a folder; raises BadAdapter if diffusers has none."""
        import diffusers

        name = read_json(pipeline / MODEL_INDEX)["_class_name"]
        loader = getattr(diffusers, name, None)
        if not isinstance(loader, type) or not hasattr(loader, "lora_state_dict"):
            raise BadAdapter(
                f"diffusers has no LoRA loader for a {name}, the pipeline in {pipeline}",
                "A LoRA with the keys lora_A and lora_B needs none.",
            )
        config = pipeline / "unet" / "config.json"
        if not config.is_file():
            return cls(style, loader, {})
        # How many layers a block has decides which block of diffusers one of kohya's is.
        return cls(style, loader, {"unet_config": SimpleNamespace(**read_json(config))})

    def convert(self, module: str, shape: tuple[int, ...]) -> dict[str, tuple[range, ...] | None]:
        """The paths of the pipeline's modules, each with its rows of `shape`; raises BadAdapter."""
        import torch

        out, *into = shape
        # A LoRA of rank 1 whose rows are their own numbers: they show where each one goes.
        down = torch.zeros(()).expand(1, *(into or [1]))
        up = torch.arange(out, dtype=torch.float64).reshape(out, 1, *(1 for _ in into[1:]))
        found: dict[str, dict[str, torch.Tensor]] = {}
        for key, tensor in self._to_peft(module, down, up).items():
            suffix = next((suffix for suffix in MATRICES if key.endswith(suffix)), None)
            if suffix is None:
                raise self._unknown(module)
            found.setdefault(key.removesuffix(suffix), {})[MATRICES[suffix]] = tensor
        if not found or any(
            set(parts) != {"a", "b"} or parts["a"].shape != down.shape for parts in found.values()
        ):
            raise self._unknown(module)
        rows = {path: parts["b"].flatten().long().tolist() for path, parts in found.items()}
        return {
            path: None if numbers == list(range(out)) else _runs(numbers)
            for path, numbers in rows.items()
        }

    def _to_peft(
        self, module: str, down: torch.Tensor, up: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        import torch
        from diffusers.utils import state_dict_utils as conversions

        state = {f"{module}{end}": t for end, t in zip(ENDS[self.style], (down, up), strict=True)}
        # Without an alpha the scale is 1 and the matrices stay as they are. These keys of Flux
        # need one; the rank is the alpha that means 1.
        if module.startswith("lora_transformer_"):
            state[f"{module}.alpha"] = torch.tensor(1.0)
        try:
            state = self.loader.lora_state_dict(state, return_lora_metadata=True, **self.options)[0]
        # diffusers raises whatever the first surprise in its string handling happens to be.
        except Exception as error:
            raise self._unknown(module) from error
        encoder = {k: v for k, v in state.items() if k.startswith("text_encoder")}
        denoiser = {k: v for k, v in state.items() if k not in encoder}
        for kind in (conversions.StateDictType.DIFFUSERS_OLD, conversions.StateDictType.DIFFUSERS):
            encoder = conversions.convert_state_dict_to_peft(encoder, original_type=kind)
        converted: dict[str, torch.Tensor] = {
            **encoder,
            **conversions.convert_unet_state_dict_to_peft(denoiser),
        }
        return converted

    def _unknown(self, module: str) -> BadAdapter:
        return BadAdapter(
            f"diffusers cannot say what {module!r} changes in a {self.loader.__name__}",
            f"Styles that it reads: {PEFT}; {DIFFUSERS}; {KOHYA} for SD 1.5, SDXL and Flux.",
        )


def _runs(numbers: Iterable[int]) -> tuple[range, ...]:
    """Ascending numbers side by side as ranges, in their order."""
    runs: list[range] = []
    for number in numbers:
        if runs and number == runs[-1].stop:
            runs[-1] = range(runs[-1].start, number + 1)
        else:
            runs.append(range(number, number + 1))
    return tuple(runs)
