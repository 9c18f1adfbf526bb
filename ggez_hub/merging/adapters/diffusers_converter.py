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
Reading: TypeAlias = dict[str, Paths]
# What a module has that a file lacks: rows that can be cut into two, three and four parts.
SPARE: Shape = (12, 1)
# More than the blocks of any model have.
MOST = 1000
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
        self,
        shapes: Mapping[str, Shape],
        has: Callable[[str], bool] = lambda _: True,
        spare: int = 0,
    ) -> Reading:
        """Where modules go together whose Deltas have these shapes; raises BadAdapter.

        `has` says which paths the pipeline has: of several readings the first one of such paths, else
        the file's own. `spare` is how many modules may be added for a converter that wants complete
        blocks.
        """
        own: Reading | None = None
        for ends, reading in self._readings(shapes, spare):
            if all(has(path) for paths in reading.values() for path in paths):
                return reading
            if own is None and ends == ENDS[self.style]:
                own = reading
        if own is None:
            raise self._unknown(next(iter(shapes)))
        return own

    def _readings(self, shapes: Mapping[str, Shape], spare: int) -> Iterator[tuple[Ends, Reading]]:
        """What diffusers makes of the modules, by the ends of their keys; the file's own first."""
        own = {module: module for module in shapes}
        spelled = [(own, ends) for ends in SPELLINGS[self.style]]
        if self.style != DIFFUSERS:
            # As paths of a model's first repository, and as kohya's names of these.
            for spell, ends in ((_prefixed, ENDS[PEFT]), (_flattened, ENDS[KOHYA])):
                if (names := {module: spell(module) for module in shapes}) != own:
                    spelled.append((names, ends))
        for names, ends in spelled:
            # Some converters need an alpha, others drop what has one; rank 1 makes it the scale 1.
            for alpha in (False, True):
                spelled_out = {names[m]: shape for m, shape in shapes.items()}
                found = self._read(spelled_out, ends, alpha, spare)
                if found is not None:
                    yield ends, {module: found[names[module]] for module in shapes}

    def _read(
        self, shapes: Mapping[str, Shape], ends: Ends, alpha: bool, spare: int
    ) -> Reading | None:
        """The paths by module; None unless every row of every module is found once."""
        modules = dict(shapes)
        while True:
            probe = Probe.of(modules, ends, alpha)
            try:
                converted = self._to_peft(probe.state)
            except KeyError as error:
                # What is missing is given too, and left out again.
                missing = _missing(error, shapes, ends)
                if missing is None or missing in modules or len(modules) >= len(shapes) + spare:
                    return None
                modules[missing] = SPARE
            # diffusers raises whatever the first surprise in its string handling happens to be.
            except Exception:
                return None
            else:
                found = probe.find(converted)
                return found and {module: found[module] for module in shapes}

    def _to_peft(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The matrices by PEFT's keys; raises whatever diffusers does."""
        from diffusers.utils import state_dict_utils as conversions

        state = self.loader.lora_state_dict(dict(state), return_lora_metadata=True, **self.options)[
            0
        ]
        encoder = {k: v for k, v in state.items() if k.startswith("text_encoder")}
        denoiser = {k: v for k, v in state.items() if k not in encoder}
        for kind in (conversions.StateDictType.DIFFUSERS_OLD, conversions.StateDictType.DIFFUSERS):
            encoder = conversions.convert_state_dict_to_peft(encoder, original_type=kind)
        return {**encoder, **conversions.convert_unet_state_dict_to_peft(denoiser)}

    def _unknown(self, module: str) -> BadAdapter:
        return BadAdapter(
            f"diffusers cannot say what {module!r} changes in a {self.loader.__name__}",
            f"Styles that it reads: {PEFT}; {DIFFUSERS}; {KOHYA} for SD 1.5, SDXL and Flux.",
        )


@dataclass(frozen=True)
class Probe:
    """A file of LoRA of rank 1 whose numbers show where each row of each module goes.

    The columns of a module are its number, its rows are numbered from `starts` on.
    """

    modules: tuple[str, ...]
    starts: tuple[int, ...]
    downs: tuple[torch.Tensor, ...]
    state: dict[str, torch.Tensor]

    @classmethod
    def of(cls, shapes: Mapping[str, Shape], ends: Ends, alpha: bool) -> Probe:
        """The file of modules with Deltas of these shapes; an alpha of 1 is the scale 1."""
        import torch

        state: dict[str, torch.Tensor] = {}
        starts, downs = [0], []
        for number, (module, (out, *into)) in enumerate(shapes.items()):
            rows = torch.arange(starts[-1], starts[-1] + out, dtype=torch.float64)
            downs.append(torch.full((1, *(into or [1])), float(number), dtype=torch.float64))
            state[f"{module}{ends[0]}"] = downs[-1]
            state[f"{module}{ends[1]}"] = rows.reshape(out, 1, *(1 for _ in into[1:]))
            if alpha:
                state[f"{module}.alpha"] = torch.tensor(1.0)
            starts.append(starts[-1] + out)
        return cls(tuple(shapes), tuple(starts), tuple(downs), state)

    def find(self, converted: Mapping[str, torch.Tensor]) -> Reading | None:
        """The paths of each module; None unless each row of each is there once, and nothing else."""
        found: dict[str, dict[str, torch.Tensor]] = {}
        for key, tensor in converted.items():
            suffix = next((suffix for suffix in MATRICES if key.endswith(suffix)), None)
            if suffix is None:
                return None
            found.setdefault(key.removesuffix(suffix), {})[MATRICES[suffix]] = tensor
        read: Reading = {module: {} for module in self.modules}
        seen = [0] * self.starts[-1]
        for path, parts in found.items():
            if set(parts) != {"a", "b"} or not parts["a"].numel():
                return None
            number = int(parts["a"].flatten()[0])
            if not 0 <= number < len(self.modules) or not parts["a"].equal(self.downs[number]):
                return None
            first, after = self.starts[number : number + 2]
            rows = parts["b"].flatten().long().tolist()
            if not all(first <= row < after for row in rows):
                return None
            for row in rows:
                seen[row] += 1
            own = [row - first for row in rows]
            everything = own == list(range(after - first))
            read[self.modules[number]][path] = None if everything else _runs(own)
        return read if set(seen) <= {1} and all(read.values()) else None


def _missing(error: KeyError, shapes: Mapping[str, Shape], ends: Ends) -> str | None:
    """The module whose key a converter lacks, if that is what it says."""
    key = error.args[0] if error.args else None
    if not isinstance(key, str) or not key.endswith(ends[0]):
        return None
    # It may have taken off what all names begin with.
    first = next(iter(shapes))
    prefix = next((p for p in ("lora_unet_", ORIGINAL) if first.startswith(p)), "")
    return prefix + key.removesuffix(ends[0]).removeprefix(prefix)


def _prefixed(module: str) -> str:
    """A path of a model's first repository with what most programs write before it."""
    bare = _bare(module)
    return bare if bare.startswith("lora_") else f"{ORIGINAL}{bare}"


def _flattened(module: str) -> str:
    """The name that kohya makes of a path in a model's first repository."""
    bare = _bare(module)
    return bare if bare.startswith("lora_") else f"lora_unet_{bare.replace('.', '_')}"


def _bare(module: str) -> str:
    for prefix in PREFIXES:
        module = module.removeprefix(prefix)
    return module


def _runs(numbers: Iterable[int]) -> tuple[range, ...]:
    """Ascending numbers side by side as ranges, in their order."""
    runs: list[range] = []
    for number in numbers:
        if runs and number == runs[-1].stop:
            runs[-1] = range(runs[-1].start, number + 1)
        else:
            runs.append(range(number, number + 1))
    return tuple(runs)
