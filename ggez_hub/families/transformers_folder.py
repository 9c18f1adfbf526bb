"""Folders that transformers' `save_pretrained` writes: config.json and its weight files.

Only names, JSON and headers are read here; neither torch nor transformers is imported. What a
config may make transformers do beyond building a model of its own (code of the repository, other
models, pickle files) is refused before it sees the config.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.errors import GgezError
from ggez_hub.families.base import Layout, UnknownLayout
from ggez_hub.weights import read_header

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
# What `variant="fp16"` loads: https://huggingface.co/docs/transformers/main_classes/model
VARIANT = re.compile(r"^model\.(?P<name>\w+)\.safetensors$")
VARIANT_INDEX = re.compile(r"^model\.safetensors\.index\.(?P<name>\w+)\.json$")
VARIANT_SHARD = re.compile(r"^model\.(?P<name>\w+)-\d+-of-\d+\.safetensors$")
PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack"})

READS = "AutoModelForCausalLM"

# Schemes of timm's model names that name a repository or a folder in place of an architecture.
OTHER_MODEL = re.compile(r"^(hf[-_]hub|local-dir):", re.IGNORECASE)


class BadCheckpoint(GgezError):
    """A transformers folder is not whole, or not plain data."""


class MissingShard(BadCheckpoint):
    """An index names a weight file that is not there."""


class QuantisedBase(BadCheckpoint):
    """The stored weights are codes of a quantisation, to which no Delta can be added."""


@dataclass(frozen=True)
class Checkpoint:
    """A transformers folder: its config.json, and the class that it was saved from, if it says."""

    folder: Path
    config: Mapping[str, Any]

    @property
    def architecture(self) -> str:
        """The first name in `architectures`, or nothing; raises BadCheckpoint if it is no name."""
        names = self.config.get("architectures") or [""]
        name = names[0] if isinstance(names, list) else names
        # It is looked up, and written into the lines that load the result.
        if not isinstance(name, str) or (name and not name.isidentifier()):
            raise BadCheckpoint(f"{self.folder / CONFIG}: architectures = {names!r}")
        return name

    def layout(self, loader: str) -> Layout:
        """The layout, for a model that the class `loader` loads.

        Raises QuantisedBase, BadCheckpoint for a config or an index that is not plain data,
        MissingShard, or UnknownLayout for a folder without safetensors.
        """
        self.require_plain()
        return Layout("transformers", _weights(self), loader)

    def require_plain(self) -> None:
        """Raise BadCheckpoint unless the config describes a model and its plain weights, no more.

        QuantisedBase is one of the reasons.
        """
        path = self.folder / CONFIG
        for key, value in _entries(self.config):
            if key == "auto_map" and value:
                raise BadCheckpoint(
                    f"{path}: auto_map names code of the repository, which is never run",
                    "Use a repository in the format of transformers itself, often named `...-hf`.",
                )
            if key == "quantization_config" and value:
                method = value.get("quant_method", "?") if isinstance(value, dict) else value
                raise QuantisedBase(
                    f"{self.folder} is quantised ({method}): Delta cannot be added exactly",
                    "Merge into the unquantised base, or use the adapter as it is (--as peft).",
                )
            if key == "checkpoint_path" and value:
                raise BadCheckpoint(f"{path}: checkpoint_path = {value!r} names weights elsewhere")
            if isinstance(value, str) and OTHER_MODEL.match(value):
                raise BadCheckpoint(f"{path}: {key} = {value!r} names a model elsewhere")


def read_checkpoint(folder: Path) -> Checkpoint:
    """The transformers folder; raises UnknownLayout for another folder, BadCheckpoint."""
    path = folder / CONFIG
    if not path.is_file():
        raise UnknownLayout(f"{folder} is no transformers folder", f"It should hold {CONFIG}.")
    config = _read_json(path)
    if not isinstance(config.get("model_type"), str):
        raise UnknownLayout(f"{path} names no model_type of transformers")
    return Checkpoint(folder, config)


def transformers_lines(layout: Layout, folder: str) -> tuple[str, ...]:
    """Python that loads a transformers folder with the layout's class, and what feeds it."""
    match = VARIANT.match(layout.weights[0]) or VARIANT_SHARD.match(layout.weights[0])
    options = f', variant="{match["name"]}"' if match else ""
    text = layout.loader == READS
    feeder, name = ("AutoTokenizer", "tokenizer") if text else ("AutoProcessor", "processor")
    return (
        f"from transformers import {layout.loader}, {feeder}",
        f'model = {layout.loader}.from_pretrained("{folder}", dtype="auto"{options})',
        f'{name} = {feeder}.from_pretrained("{folder}")',
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


def _weights(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The weight files that transformers loads: plain ones first, else those of the one variant."""
    folder = checkpoint.folder
    # A config may name its weight file or index.
    explicit = checkpoint.config.get("transformers_weights")
    if explicit is not None:
        if not isinstance(explicit, str) or Path(explicit).name != explicit:
            raise BadCheckpoint(f"{folder / CONFIG}: transformers_weights = {explicit!r}")
        return _shards(folder, explicit) if explicit.endswith(".json") else (explicit,)
    if (folder / WEIGHTS).is_file():
        return (WEIGHTS,)
    if (folder / INDEX).is_file():
        return _shards(folder, INDEX)
    names = sorted(path.name for path in folder.iterdir())
    variants = {m["name"]: name for name in names if (m := VARIANT_INDEX.match(name))}
    variants |= {m["name"]: name for name in names if (m := VARIANT.match(name))}
    if len(variants) == 1:
        (name,) = variants.values()
        return _shards(folder, name) if name.endswith(".json") else (name,)
    if variants:
        raise BadCheckpoint(
            f"{folder} holds {len(variants)} variants and no plain weights: {', '.join(variants)}",
            "Keep one of them.",
        )
    pickles = [name for name in names if Path(name).suffix in PICKLES]
    found = f"; {', '.join(pickles)} is never loaded" if pickles else ""
    raise UnknownLayout(
        f"{folder} holds neither {WEIGHTS} nor {INDEX}{found}",
        "Use a repository with safetensors, or convert it with save_pretrained.",
    )


def _shards(folder: Path, index: str) -> tuple[str, ...]:
    path = folder / index
    weight_map = _read_json(path).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise BadCheckpoint(f"{path} has no weight_map")
    shards: dict[str, set[str]] = {}
    for tensor, shard in weight_map.items():
        # The name becomes a path, of the result too.
        if not isinstance(shard, str) or Path(shard).name != shard or "\\" in shard:
            raise BadCheckpoint(f"{path}: {shard!r} is no weight file beside it")
        shards.setdefault(shard, set()).add(tensor)
    for shard, tensors in sorted(shards.items()):
        if not (folder / shard).is_file():
            raise MissingShard(
                f"{path} names the shard {shard}, which is missing",
                "The download is incomplete: fetch the folder again.",
            )
        if absent := sorted(tensors - read_header(folder / shard).tensors.keys()):
            raise BadCheckpoint(f"{path} has {absent[0]!r} in {shard}, which does not hold it")
    return tuple(sorted(shards))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadCheckpoint(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise BadCheckpoint(f"{path} is no JSON object")
    return value
