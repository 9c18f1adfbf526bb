"""Sets of weights in a folder: one file or an index of shards, plain or a variant such as fp16.

A folder may hold several sets of the same model, of which a library loads one: the plain one, or
that of `variant=`: https://huggingface.co/docs/diffusers/using-diffusers/loading#checkpoint-variants.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.weights import read_header

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
