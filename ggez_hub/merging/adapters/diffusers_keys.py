"""diffusers' own converters, asked what one module of a LoRA file means.

Given a whole file, they drop what they do not know with a note in the log, and decide by one key
how all others are read. Given one module, what they do not know stands out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ggez_hub.families.diffusion import MODEL_INDEX, read_json
from ggez_hub.merging.adapters.lora_file import DIFFUSERS, KOHYA, PEFT, LoraModule
from ggez_hub.merging.deltas import BadAdapter

if TYPE_CHECKING:
    import torch

MATRICES = {".lora_A.weight": "a", ".lora_B.weight": "b"}


@dataclass(frozen=True)
class Pair:
    """The matrices of one module: A is (rank, in, *kernel), B is (out, rank, 1...)."""

    a: torch.Tensor
    b: torch.Tensor


@dataclass(frozen=True)
class Converter:
    """Turns a module of a LoRA file in `style` into modules of one pipeline, as PEFT names them.

    `loader` is the pipeline's class, whose `lora_state_dict` is used without an instance, hence
    without the pipeline's weights; None for a style that needs no conversion.
    """

    style: str
    loader: Any = None
    options: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, pipeline: Path, style: str) -> Converter:
        """The converter for the pipeline in a folder; raises BadAdapter if diffusers has none."""
        if style == PEFT:
            return cls(style)
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

    def convert(self, module: LoraModule, pair: Pair) -> dict[str, Pair]:
        """The modules of the pipeline that `module` with the matrices `pair` means, by path.

        Several where the pipeline keeps apart what the file fuses, as query, key and value.
        Scales are left alone. Raises BadAdapter for a module that diffusers does not know.
        """
        state = {module.key_a: pair.a, module.key_b: pair.b}
        if self.style != PEFT:
            state = self._to_peft(module, state)
        found: dict[str, dict[str, torch.Tensor]] = {}
        for key, tensor in state.items():
            suffix = next((suffix for suffix in MATRICES if key.endswith(suffix)), None)
            if suffix is None:
                raise self._unknown(module)
            found.setdefault(key.removesuffix(suffix), {})[MATRICES[suffix]] = tensor
        if not found or any(set(parts) != {"a", "b"} for parts in found.values()):
            raise self._unknown(module)
        return {path: Pair(**parts) for path, parts in found.items()}

    def _to_peft(
        self, module: LoraModule, state: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        import torch
        from diffusers.utils import state_dict_utils as conversions

        # Without an alpha the scale is 1 and the matrices stay as they are. These keys of Flux
        # need one; the rank is the alpha that means 1.
        if module.name.startswith("lora_transformer_"):
            rank = state[module.key_a].shape[0]
            state = {**state, f"{module.name}.alpha": torch.tensor(float(rank))}
        try:
            state = self.loader.lora_state_dict(
                dict(state), return_lora_metadata=True, **self.options or {}
            )[0]
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

    def _unknown(self, module: LoraModule) -> BadAdapter:
        return BadAdapter(
            f"diffusers cannot say what {module.key_a!r} changes in a {self.loader.__name__}"
            if self.loader
            else f"{module.key_a!r} cannot be read",
            f"Styles that it reads: {PEFT}; {DIFFUSERS}; {KOHYA} for SD 1.5, SDXL and Flux.",
        )
