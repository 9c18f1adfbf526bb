"""Which weight files a library loads from a repository, seen from the list of its files.

The same choice as in a folder, before anything is downloaded. Where a repository holds its weights
several times it is the plain ones, which are loaded when no variant is asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from ggez_hub.families.base import Read, UnknownLayout

TRANSFORMERS = ("model",)
DIFFUSERS = ("diffusion_pytorch_model", "model")


def transformers_weights(paths: Collection[str], read: Read) -> tuple[str, ...]:
    """The weights of a transformers repository; raises UnknownLayout."""
    if "config.json" not in paths:
        raise UnknownLayout("it holds no config.json")
    found = _weights("", TRANSFORMERS, paths, read)
    if not found:
        raise UnknownLayout("it holds no model.safetensors, in one file or in shards")
    return found


def diffusers_weights(paths: Collection[str], read: Read) -> tuple[str, ...]:
    """The weights of every component of a pipeline; raises UnknownLayout."""
    if "model_index.json" not in paths:
        raise UnknownLayout("it holds no model_index.json")
    components = [
        name
        for name, value in _json(read, "model_index.json").items()
        if isinstance(value, list) and None not in value
    ]
    found: list[str] = []
    for name in sorted(components):
        weights = _weights(f"{name}/", DIFFUSERS, paths, read)
        if not weights and f"{name}/config.json" in paths:
            raise UnknownLayout(f"its component {name} holds no safetensors")
        found += weights
    if not found:
        raise UnknownLayout("it names no component with weights")
    return tuple(found)


def _weights(
    folder: str, stems: tuple[str, ...], paths: Collection[str], read: Read
) -> tuple[str, ...]:
    """The plain weights in a folder, else those of the one variant; nothing without any."""
    for stem in stems:
        if f"{folder}{stem}.safetensors" in paths:
            return (f"{folder}{stem}.safetensors",)
        if (index := f"{folder}{stem}.safetensors.index.json") in paths:
            return _shards(folder, index, paths, read)
    for stem in stems:
        pattern = re.compile(
            rf"^{re.escape(folder + stem)}(\.\w+\.safetensors|\.safetensors\.index\.\w+\.json)$"
        )
        variants = sorted(path for path in paths if pattern.match(path))
        if len(variants) > 1:
            raise UnknownLayout(f"it holds several variants and no plain weights: {variants}")
        for path in variants:
            return _shards(folder, path, paths, read) if path.endswith(".json") else (path,)
    return ()


def _shards(folder: str, index: str, paths: Collection[str], read: Read) -> tuple[str, ...]:
    # Named as the libraries name them, the files say how many they are: a gated repository lets
    # everybody see its list, and not everybody read its index.
    head, _, variant = index.partition(".safetensors.index")
    named_so = re.compile(
        rf"^{re.escape(head + variant.removesuffix('.json'))}-\d{{5}}-of-(\d{{5}})\.safetensors$"
    )
    matches = [match for path in sorted(paths) if (match := named_so.match(path))]
    if matches and all(int(match[1]) == len(matches) for match in matches):
        return tuple(match[0] for match in matches)
    named = _json(read, index).get("weight_map")
    if not isinstance(named, dict) or not named:
        raise UnknownLayout(f"{index} has no weight_map")
    shards = sorted({f"{folder}{name}" for name in named.values()})
    if missing := [path for path in shards if path not in paths]:
        raise UnknownLayout(f"{index} names {missing[0]}, which is missing")
    return tuple(shards)


def _json(read: Read, path: str) -> dict[str, Any]:
    try:
        value = json.loads(read(path))
    except (ValueError, RecursionError) as error:
        raise UnknownLayout(f"{path} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise UnknownLayout(f"{path} is no JSON object")
    return value
