"""Sets of weights in a folder: one file or an index of shards, plain or a variant such as fp16.

A folder may hold several sets of the same model, of which a library loads one: the plain one, or
that of `variant=`: https://huggingface.co/docs/diffusers/using-diffusers/loading#checkpoint-variants.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.families.family import Read, UnknownLayout
from ggez_hub.safetensors_header import read_header

FILE = re.compile(r"^(?P<stem>[a-z_]+)(?:\.(?P<variant>\w+))?\.safetensors$")
INDEX = re.compile(r"^(?P<stem>[a-z_]+)\.safetensors\.index(?:\.(?P<variant>\w+))?\.json$")
# Numbers of a shard, before the variant or after it.
SHARD = re.compile(r"-\d{5}-of-\d{5}")


class BadFolder(GgezError):
    """A model's folder is not whole, or not plain data."""


class BadIndex(BadFolder):
    """An index of shards cannot be followed."""


class MissingShard(BadIndex):
    """An index names a weight file that is not there."""


class NoVariant(UsageProblem):
    """A folder has no weights of the variant that was asked for."""


@dataclass(frozen=True)
class WeightSet:
    """The weight files of one set, and the index that names them, if there is one."""

    variant: str | None
    files: tuple[str, ...]
    index: str | None = None

    @property
    def name(self) -> str:
        """The file that stands for the set."""
        return self.index or self.files[0]


def weight_sets(folder: Path, stem: str) -> tuple[WeightSet, ...]:
    """The sets whose files are called `stem`, single files first.

    An index none of whose shards is there stands for a set that was not downloaded. Raises
    MissingShard where that is all there is, or if a shard is missing; BadIndex.
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    sets = [
        WeightSet(match["variant"], (name,))
        for name in names
        if (match := FILE.match(name)) and match["stem"] == stem
    ]
    absent: list[MissingShard] = []
    for name in names:
        if (match := INDEX.match(name)) and match["stem"] == stem:
            weight_map = read_index(folder / name)
            if any((folder / shard).is_file() for shard in weight_map):
                sets.append(indexed(folder, name, match["variant"]))
            else:
                absent.append(_missing(folder / name, next(iter(weight_map))))
    if absent and not sets:
        raise absent[0]
    return tuple(sets)


def indexed(folder: Path, name: str, variant: str | None = None) -> WeightSet:
    """The set of the index `name`; raises BadIndex, or MissingShard, unless it is whole."""
    weight_map = read_index(folder / name)
    for shard, tensors in sorted(weight_map.items()):
        if not (folder / shard).is_file():
            raise _missing(folder / name, shard)
        if absent := sorted(tensors - read_header(folder / shard).tensors.keys()):
            raise BadIndex(f"{folder / name} has {absent[0]!r} in {shard}, which does not hold it")
    return WeightSet(variant, tuple(sorted(weight_map)), name)


def read_index(path: Path) -> dict[str, set[str]]:
    """The names of the tensors by the shard that holds them; raises BadIndex."""
    weight_map = read_json(path, BadIndex).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise BadIndex(f"{path} has no weight_map")
    shards: dict[str, set[str]] = {}
    for tensor, shard in weight_map.items():
        # The name becomes a path, of the result too.
        plain = isinstance(shard, str) and Path(shard).name == shard and "\\" not in shard
        if not plain or not shard.endswith(".safetensors"):
            raise BadIndex(f"{path}: {shard!r} is no weight file beside it")
        shards.setdefault(shard, set()).add(tensor)
    return dict(sorted(shards.items()))


def of_variant(folder: Path, sets: Sequence[WeightSet], variant: str | None) -> list[WeightSet]:
    """Those of `sets` that a library loads for `variant`, or without one for None.

    That is the plain set where the variant is missing, and the only variant where the plain one is.
    Raises NoVariant where several could be meant.
    """
    variants = sorted({found.variant for found in sets if found.variant is not None})
    plain = any(found.variant is None for found in sets)
    if variant not in variants:
        variant = None
    if variant is None and not plain and variants:
        if len(variants) > 1:
            raise NoVariant(
                f"{folder} holds the variants {', '.join(variants)} and no plain weights",
                f"Choose one, as --variant {variants[0]}, or keep one of them.",
            )
        (variant,) = variants
    return [found for found in sets if found.variant == variant]


def variant_of(path: str) -> str | None:
    """The variant in the name of a weight file or a shard; None for plain ones."""
    match = FILE.match(SHARD.sub("", path.rpartition("/")[2]))
    return match["variant"] if match else None


def read_json(path: Path, error: type[BadFolder]) -> dict[str, Any]:
    """A JSON object; raises `error`."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise error(f"{path} cannot be read: {problem}") from problem
    if not isinstance(value, dict):
        raise error(f"{path} is no JSON object")
    return value


def _missing(index: Path, shard: str) -> MissingShard:
    return MissingShard(
        f"{index} names the shard {shard}, which is missing",
        "The download is incomplete: fetch the folder again.",
    )


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
