"""What names in LoRA files mean, by diffusers' own converters.

With a complete file these drop what they do not know with a note in the log, and decide by one key
how all others are read. Given tensors of numbers they show where each row of each module goes, and
what they do not know stands out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

from ggez_hub.families.diffusion import MODEL_INDEX
from ggez_hub.families.weight_files import read_json
from ggez_hub.merging.adapters.lora_file import DIFFUSERS, KOHYA, PEFT
from ggez_hub.merging.deltas import BadAdapter

if TYPE_CHECKING:
    import torch

MATRICES = {".lora_A.weight": "a", ".lora_B.weight": "b"}
Ends: TypeAlias = tuple[str, str]
Shape: TypeAlias = tuple[int, ...]
Paths: TypeAlias = dict[str, "tuple[range, ...] | None"]
"""The paths of the pipeline's modules, each with its rows of the file's module; None for all."""
# How a converter knows a module: by the keys of a LoRA on it.
ENDS: Mapping[str, Ends] = {
    DIFFUSERS: (".down.weight", ".up.weight"),
    KOHYA: (".lora_down.weight", ".lora_up.weight"),
    PEFT: (".lora_A.weight", ".lora_B.weight"),
}
# What a name means does not depend on these ends, but some converters know it with others only.
SPELLINGS: Mapping[str, tuple[Ends, ...]] = {
    DIFFUSERS: (ENDS[DIFFUSERS],),
    KOHYA: (ENDS[KOHYA], ENDS[PEFT], (".lora.down.weight", ".lora.up.weight")),
    PEFT: (ENDS[PEFT], ENDS[KOHYA], (".lora.down.weight", ".lora.up.weight")),
}

# What some programs write before a path of the denoiser.
ORIGINAL = "diffusion_model."
PREFIXES = (ORIGINAL, "transformer.", "unet.", "base_model.model.")


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

    def convert(
        self, module: str, shape: Shape, has: Callable[[str], bool] = lambda _: True
    ) -> Paths:
        """Where one module goes whose Delta has that shape; raises BadAdapter.

        `has` says which paths the pipeline has: of several readings the first one that it has.
        """
        own: Paths | None = None
        for ends, reading in self._readings({module: shape}):
            if all(has(path) for path in reading[module]):
                return reading[module]
            if own is None and ends == ENDS[self.style]:
                own = reading[module]
        if own is None:
            raise self._unknown(module)
        return own

    def convert_all(
        self, shapes: Mapping[str, Shape], has: Callable[[str], bool]
    ) -> dict[str, Paths]:
        """The same for all modules of a file at once; raises BadAdapter unless all are read."""
        for _, reading in self._readings(shapes):
            if all(has(path) for paths in reading.values() for path in paths):
                return reading
        raise self._unknown(next(iter(shapes)))

    def _readings(self, shapes: Mapping[str, Shape]) -> Iterator[tuple[Ends, dict[str, Paths]]]:
        """What diffusers makes of the modules, by the ends of their keys; the file's own first."""
        flat = {module: _flattened(module) for module in shapes}
        own = {module: module for module in shapes}
        spelled = [(own, ends) for ends in SPELLINGS[self.style]]
        if self.style != DIFFUSERS and flat != own:
            spelled.append((flat, ENDS[KOHYA]))
        for names, ends in spelled:
            # Some converters need an alpha, others drop what has one; rank 1 makes it the scale 1.
            for alpha in (False, True):
                found = self._read({names[m]: shape for m, shape in shapes.items()}, ends, alpha)
                if found is not None:
                    yield ends, {module: found[names[module]] for module in shapes}

    def _read(
        self, shapes: Mapping[str, Shape], ends: Ends, alpha: bool
    ) -> dict[str, Paths] | None:
        """The paths by module; None unless every row of every module is found once."""
        import torch

        state: dict[str, torch.Tensor] = {}
        starts: list[int] = [0]
        for number, (module, (out, *into)) in enumerate(shapes.items()):
            # A LoRA of rank 1 whose columns are the module's number and whose rows are numbers of
            # their own: they show where each one goes.
            ones = [1 for _ in into[1:]]
            rows = torch.arange(starts[-1], starts[-1] + out, dtype=torch.float64)
            state[f"{module}{ends[0]}"] = torch.full((1, *(into or [1])), float(number)).double()
            state[f"{module}{ends[1]}"] = rows.reshape(out, 1, *ones)
            if alpha:
                state[f"{module}.alpha"] = torch.tensor(1.0)
            starts.append(starts[-1] + out)
        names = list(shapes)
        downs = [state[f"{module}{ends[0]}"] for module in names]
        converted = self._to_peft(state)
        found: dict[str, dict[str, torch.Tensor]] = {}
        for key, tensor in (converted or {}).items():
            suffix = next((suffix for suffix in MATRICES if key.endswith(suffix)), None)
            if suffix is None:
                return None
            found.setdefault(key.removesuffix(suffix), {})[MATRICES[suffix]] = tensor
        read: dict[str, Paths] = {module: {} for module in names}
        seen = [0] * starts[-1]
        for path, parts in found.items():
            if set(parts) != {"a", "b"} or not parts["a"].numel():
                return None
            number = int(parts["a"].flatten()[0])
            if not (0 <= number < len(names) and parts["a"].equal(downs[number])):
                return None
            rows_of = parts["b"].flatten().long().tolist()
            first, after = starts[number], starts[number + 1]
            if not all(first <= row < after for row in rows_of):
                return None
            for row in rows_of:
                seen[row] += 1
            own = [row - first for row in rows_of]
            everything = own == list(range(after - first))
            read[names[number]][path] = None if everything else _runs(own)
        return read if set(seen) <= {1} and all(read.values()) else None

    def _to_peft(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
        """The matrices by PEFT's keys; None where diffusers cannot read them."""
        from diffusers.utils import state_dict_utils as conversions

        try:
            state = self.loader.lora_state_dict(
                dict(state), return_lora_metadata=True, **self.options
            )[0]
            encoder = {k: v for k, v in state.items() if k.startswith("text_encoder")}
            denoiser = {k: v for k, v in state.items() if k not in encoder}
            kinds = (conversions.StateDictType.DIFFUSERS_OLD, conversions.StateDictType.DIFFUSERS)
            for kind in kinds:
                encoder = conversions.convert_state_dict_to_peft(encoder, original_type=kind)
            unet = conversions.convert_unet_state_dict_to_peft(denoiser)
        # diffusers raises whatever the first surprise in its string handling happens to be.
        except Exception:
            return None
        return {**encoder, **unet}

    def _unknown(self, module: str) -> BadAdapter:
        return BadAdapter(
            f"diffusers cannot say what {module!r} changes in a {self.loader.__name__}",
            f"Styles that it reads: {PEFT}; {DIFFUSERS}; {KOHYA} for SD 1.5, SDXL and Flux.",
        )


def _flattened(module: str) -> str:
    """The name that kohya makes of a path in a model's first repository."""
    for prefix in PREFIXES:
        module = module.removeprefix(prefix)
    return module if module.startswith("lora_") else f"lora_unet_{module.replace('.', '_')}"


def _runs(numbers: Iterable[int]) -> tuple[range, ...]:
    """Ascending numbers side by side as ranges, in their order."""
    runs: list[range] = []
    for number in numbers:
        if runs and number == runs[-1].stop:
            runs[-1] = range(runs[-1].start, number + 1)
        else:
            runs.append(range(number, number + 1))
    return tuple(runs)
