"""Which weight files of a model a library loads: one file or an index of shards, of one variant.

A folder may hold several sets of the same model, of which a library loads one: the plain one, or
that of `variant=`: https://huggingface.co/docs/diffusers/using-diffusers/loading#checkpoint-variants.
The same choice is made in a folder, and from the list of a repository's files before a download.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.families.family import Read, UnknownLayout
from ggez_hub.safetensors_header import read_header
from ggez_hub.text_files import read_text

FILE = re.compile(r"^(?P<stem>[a-z_]+)(?:\.(?P<variant>\w+))?\.safetensors\Z")
INDEX = re.compile(r"^(?P<stem>[a-z_]+)\.safetensors\.index(?:\.(?P<variant>\w+))?\.json\Z")
# Numbers of a shard, before the variant or after it.
SHARD = re.compile(r"-\d{5}-of-(\d{5})")
# Formats that run code when they are loaded, or that nothing here reads.
PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".msgpack", ".h5"})
MAX_JSON_BYTES = 64_000_000
# What transformers and diffusers call the weights of a model, and of a component of a pipeline.
TRANSFORMERS = "model"
DIFFUSERS = ("diffusion_pytorch_model", TRANSFORMERS)


class BadIndex(GgezError):
    """An index of shards cannot be followed."""


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
        return self.index or self.files[0]


def weight_sets(folder: Path, stem: str) -> tuple[WeightSet, ...]:
    """The sets whose files are called `stem`, single files first.

    An index none of whose shards is there stands for a set that was not downloaded. Raises
    BadIndex where that is all there is, or if a shard is missing.
    """
    sets: list[WeightSet] = []
    absent: list[BadIndex] = []
    for variant, name in _named([path.name for path in folder.iterdir() if path.is_file()], stem):
        if name.endswith(".safetensors"):
            sets.append(WeightSet(variant, (name,)))
            continue
        shards = read_index(folder / name)
        if any((folder / shard).is_file() for shard in shards):
            sets.append(indexed(folder, name, variant))
        else:
            absent.append(_missing(folder / name, next(iter(shards))))
    if absent and not sets:
        raise absent[0]
    return tuple(sets)


def _named(names: Collection[str], stem: str) -> list[tuple[str | None, str]]:
    """The variant and the name of every file that stands for a set, single files first."""
    return [
        (match["variant"], name)
        for pattern in (FILE, INDEX)
        for name in sorted(names)
        if (match := pattern.match(name)) and match["stem"] == stem
    ]


def indexed(folder: Path, name: str, variant: str | None = None) -> WeightSet:
    """The set of the index `name`; raises BadIndex, unless it is complete."""
    shards = read_index(folder / name)
    for shard, tensors in shards.items():
        if not (folder / shard).is_file():
            raise _missing(folder / name, shard)
        if absent := sorted(tensors - read_header(folder / shard).tensors.keys()):
            raise BadIndex(f"{folder / name} has {absent[0]!r} in {shard}, which does not hold it")
    return WeightSet(variant, tuple(shards), name)


def read_index(path: Path) -> dict[str, set[str]]:
    """The names of the tensors by the shard that holds them, sorted; raises BadIndex."""
    return _shards(read_json(path, BadIndex), path)


def _shards(index: Mapping[str, Any], path: Path | str) -> dict[str, set[str]]:
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise BadIndex(f"{path} has no weight_map")
    shards: dict[str, set[str]] = {}
    for tensor, shard in weight_map.items():
        # The name becomes a path, of the result too.
        plain = isinstance(shard, str) and Path(shard).name == shard and "\\" not in shard
        if not plain or not shard.endswith(".safetensors"):
            raise BadIndex(f"{path}: {shard!r} is not a weight file beside it")
        shards.setdefault(shard, set()).add(tensor)
    return dict(sorted(shards.items()))


def of_variant(folder: Path, sets: Sequence[WeightSet], variant: str | None) -> list[WeightSet]:
    """Those of `sets` that a library loads for `variant`, or without one for None."""
    loaded = _loaded_variant(folder, [found.variant for found in sets], variant)
    return [found for found in sets if found.variant == loaded]


def _loaded_variant(
    where: Path | str, variants: Collection[str | None], variant: str | None
) -> str | None:
    """The plain set where the variant is missing, and the only variant where the plain one is.

    Raises NoVariant where several could be meant.
    """
    named = sorted({found for found in variants if found is not None})
    if variant in named:
        return variant
    if None in variants or not named:
        return None
    if len(named) > 1:
        raise NoVariant(
            f"{where} holds the variants {', '.join(named)} and no plain weights",
            f"Choose one, as --variant {named[0]}, or keep one of them.",
        )
    return named[0]


def require_variant(folder: Path, variant: str | None, known: Collection[str | None]) -> None:
    """Raise NoVariant for a variant that is not among the `known` ones."""
    if variant is not None and variant not in known:
        there = ", ".join(sorted(filter(None, known))) or "no variant"
        raise NoVariant(f"{folder} has no variant {variant!r}", f"It has {there}.")


def variant_of(path: str) -> str | None:
    """The variant in the name of a weight file or a shard; None for plain ones."""
    match = FILE.match(SHARD.sub("", path.rpartition("/")[2]))
    return match["variant"] if match else None


def transformers_weights(paths: Collection[str], read: Read) -> tuple[str, ...]:
    """The weights that transformers loads from a repository; raises UnknownLayout."""
    if "config.json" not in paths:
        raise UnknownLayout("it holds no config.json")
    found = _listed("", (TRANSFORMERS,), paths, read)
    if not found:
        raise UnknownLayout("it holds no model.safetensors, in one file or in shards")
    return found


def diffusers_weights(paths: Collection[str], read: Read) -> tuple[str, ...]:
    """The weights of every component of a pipeline in a repository; raises UnknownLayout."""
    if "model_index.json" not in paths:
        raise UnknownLayout("it holds no model_index.json")
    index = _json(read("model_index.json"), "model_index.json", UnknownLayout)
    found: list[str] = []
    for name in sorted(n for n, v in index.items() if isinstance(v, list) and None not in v):
        weights = _listed(f"{name}/", DIFFUSERS, paths, read)
        if not weights and f"{name}/config.json" in paths:
            raise UnknownLayout(f"its component {name} holds no safetensors")
        found += weights
    if not found:
        raise UnknownLayout("it names no component with weights")
    return tuple(found)


def _listed(
    folder: str, stems: Sequence[str], paths: Collection[str], read: Read
) -> tuple[str, ...]:
    """The files that are loaded without a variant from a folder of a repository, if there are any."""
    names = [path.removeprefix(folder) for path in paths if path.startswith(folder)]
    sets = [found for stem in stems for found in _named(names, stem)]
    try:
        loaded = _loaded_variant("it", [variant for variant, _ in sets], None)
        name = next((name for variant, name in sets if variant == loaded), None)
        if name is None or name.endswith(".safetensors"):
            return (folder + name,) if name else ()
        return _listed_shards(folder, name, paths, read)
    except (NoVariant, BadIndex) as error:
        raise UnknownLayout(error.message) from error


def _listed_shards(folder: str, index: str, paths: Collection[str], read: Read) -> tuple[str, ...]:
    # Their names have their number: a gated repository lets everybody see its list, and not
    # everybody read its index.
    stem, _, rest = (folder + index).partition(".safetensors.index")
    shard = re.compile(
        re.escape(stem + rest.removesuffix(".json")) + SHARD.pattern + r"\.safetensors"
    )
    matches = [match for path in sorted(paths) if (match := shard.fullmatch(path))]
    if matches and all(int(match[1]) == len(matches) for match in matches):
        return tuple(match[0] for match in matches)
    path = folder + index
    shards = tuple(folder + name for name in _shards(_json(read(path), path, UnknownLayout), path))
    if missing := [shard for shard in shards if shard not in paths]:
        raise UnknownLayout(f"{path} names {missing[0]}, which is missing")
    return shards


def read_json(path: Path, error: type[GgezError] = GgezError) -> dict[str, Any]:
    """A JSON object of a model's folder; raises `error`."""
    if path.exists() and not path.is_file():
        raise error(f"{path} is not a file")  # a pipe would be waited for
    try:
        text = read_text(path, MAX_JSON_BYTES)
    except (OSError, ValueError) as problem:
        raise error(f"{path} cannot be read: {problem}") from problem
    return _json(text, path, error)


def _json(text: str, path: Path | str, error: type[GgezError]) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise error(f"{path} cannot be read: {problem}") from problem
    if not isinstance(value, dict):
        raise error(f"{path} is not a JSON object")
    return value


def _missing(index: Path, shard: str) -> BadIndex:
    return BadIndex(
        f"{index} names the shard {shard}, which is missing",
        "The download is incomplete: fetch the folder again.",
    )
