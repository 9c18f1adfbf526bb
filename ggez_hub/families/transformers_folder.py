"""Folders that transformers' `save_pretrained` writes: config.json and its weight files.

Only names, JSON and headers are read here; neither torch nor transformers is imported. What a
config may make transformers do beyond building a model of its own (code of the repository, other
models, pickle files) is refused before it sees the config.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.errors import GgezError
from ggez_hub.families.family import Layout, UnknownLayout, quoted
from ggez_hub.families.weight_files import (
    PICKLES,
    TRANSFORMERS,
    WeightSet,
    indexed,
    of_variant,
    read_json,
    require_variant,
    variant_of,
    weight_sets,
)

CONFIG = "config.json"
READS = "AutoModelForCausalLM"
# What transformers calls float8 weights with scales beside them: they can be widened exactly.
FLOAT8 = "fp8"

# Schemes of timm's model names that name a repository or a folder in place of an architecture.
OTHER_MODEL = re.compile(r"^(hf[-_]hub|local-dir):", re.IGNORECASE)


@dataclass(frozen=True)
class Checkpoint:
    """A transformers folder: its config.json, and the class that it was saved from, if that is named."""

    folder: Path
    config: Mapping[str, Any]

    @property
    def architecture(self) -> str:
        """The first name in `architectures`, or nothing; raises GgezError if it is not a name."""
        names = self.config.get("architectures") or [""]
        name = names[0] if isinstance(names, list) else names
        # It is looked up, and written into the lines that load the result.
        if not isinstance(name, str) or (name and not name.isidentifier()):
            raise GgezError(f"{self.folder / CONFIG}: architectures = {names!r}")
        return name

    def layout(self, loader: str, variant: str | None = None) -> Layout:
        """The layout, for a model that the class `loader` loads, of a variant if one is named.

        Raises GgezError for a config that is not plain data, BadIndex, NoVariant, or UnknownLayout
        for a folder without safetensors.
        """
        self.require_plain()
        chosen = _weights(self, variant)
        indexes = (chosen.index,) if chosen.index else ()
        # What else a config may have there is refused above.
        quantization = FLOAT8 if self.config.get("quantization_config") else ""
        return Layout("transformers", chosen.files, loader, indexes, quantization)

    def require_plain(self) -> None:
        """Raise GgezError unless the config describes a model and its weights, no more.

        They are plain, or float8 with scales: which of those may be merged their dtypes decide.
        """
        path = self.folder / CONFIG
        for key, value in _entries(self.config):
            if key == "auto_map" and value:
                raise GgezError(
                    f"{path}: auto_map names code of the repository, which is never run",
                    "Use a repository in the format of transformers itself, often named `...-hf`.",
                )
            if key == "quantization_config" and value:
                method = value.get("quant_method", "?") if isinstance(value, dict) else value
                if method == FLOAT8 and value is self.config.get(key):
                    continue
                raise GgezError(
                    f"{self.folder} is quantised ({method}): Delta cannot be added exactly",
                    "Merge into the unquantised base, or use the adapter as it is (--as peft).",
                )
            if key == "checkpoint_path" and value:
                raise GgezError(f"{path}: checkpoint_path = {value!r} names weights elsewhere")
            if isinstance(value, str) and OTHER_MODEL.match(value):
                raise GgezError(f"{path}: {key} = {value!r} names a model elsewhere")


def read_checkpoint(folder: Path) -> Checkpoint:
    """The transformers folder; raises UnknownLayout for another folder, GgezError."""
    path = folder / CONFIG
    if not path.is_file():
        raise UnknownLayout(f"{folder} is not a transformers folder", f"It should hold {CONFIG}.")
    config = read_json(path)
    if not isinstance(config.get("model_type"), str):
        raise UnknownLayout(f"{path} names no model_type of transformers")
    return Checkpoint(folder, config)


def transformers_lines(layout: Layout, folder: str) -> tuple[str, ...]:
    """Python that loads a transformers folder with the layout's class, and what feeds it."""
    variant = variant_of(layout.weights[0])
    options = f', variant="{variant}"' if variant else ""
    text = layout.loader == READS
    feeder, name = ("AutoTokenizer", "tokenizer") if text else ("AutoProcessor", "processor")
    return (
        f"from transformers import {layout.loader}, {feeder}",
        f'model = {layout.loader}.from_pretrained({quoted(folder)}, dtype="auto"{options})',
        f"{name} = {feeder}.from_pretrained({quoted(folder)})",
    )


def _entries(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every key and value of a JSON document, at any depth."""
    left: list[Any] = [document]
    while left:
        value = left.pop()
        for key, child in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield str(key), child
            if isinstance(child, Mapping | list):
                left.append(child)


def _weights(checkpoint: Checkpoint, variant: str | None) -> WeightSet:
    """The weights that transformers loads; of a single file and an index it takes the file."""
    folder = checkpoint.folder
    # A config may name its weight file or index.
    explicit = checkpoint.config.get("transformers_weights")
    if explicit is not None and variant is None:
        if not isinstance(explicit, str) or Path(explicit).name != explicit:
            raise GgezError(f"{folder / CONFIG}: transformers_weights = {explicit!r}")
        return (
            indexed(folder, explicit)
            if explicit.endswith(".json")
            else WeightSet(None, (explicit,))
        )
    sets = weight_sets(folder, TRANSFORMERS)
    require_variant(folder, variant, [found.variant for found in sets])
    if chosen := of_variant(folder, sets, variant):
        return chosen[0]
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    found = f"; {', '.join(pickles)} is never loaded" if pickles else ""
    raise UnknownLayout(
        f"{folder} holds neither {TRANSFORMERS}.safetensors nor an index of shards{found}",
        "Use a repository with safetensors, or convert it with save_pretrained.",
    )
