"""The inputs of `merge`: from its options, or from a recipe and the hub that it names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ggez_hub.errors import UsageProblem
from ggez_hub.hub_connection import connect

if TYPE_CHECKING:
    from ggez_hub.merging.betas_by_part import BetasByPart
    from ggez_hub.registry.local_merge.inputs import ModelSource, WeightedSource
    from ggez_hub.registry.local_merge.recipe import MergeRecipe


@dataclass(frozen=True)
class MergeInputs:
    """A merge whose base and adapters are on this machine."""

    base: ModelSource
    adapters: Sequence[WeightedSource]
    method: str
    family: str | None
    variant: str | None


def of_options(
    base: Path,
    adapters: Sequence[Path],
    betas: Sequence[float],
    method: str,
    family: str | None,
    variant: str | None,
    parts: Sequence[Path] = (),
) -> MergeInputs:
    """The merge of folders with a beta for each, or one for all; raises UsageProblem.

    `parts` are files of betas by part, which are given likewise.
    """
    from ggez_hub.registry.local_merge.inputs import WeightedSource, on_disk

    if len(betas) == 1:
        betas = [*betas] * len(adapters)
    if len(betas) != len(adapters):
        raise UsageProblem(
            f"{len(adapters)} adapters and {len(betas)} betas",
            "Give one --beta for each --adapter, or one for all.",
        )
    weighted = [
        WeightedSource(on_disk(path), beta, own)
        for path, beta, own in zip(
            adapters, betas, parts_for_each(parts, len(adapters)), strict=True
        )
    ]
    return MergeInputs(on_disk(base), weighted, method, family, variant)


def parts_for_each(paths: Sequence[Path], count: int) -> list[BetasByPart | None]:
    """The betas by part of each of `count` adapters: a file for each, one for all, or none.

    Raises BadRecipe, and UsageProblem for another number of files.
    """
    if len(paths) not in {0, 1, count}:
        raise UsageProblem(
            f"{count} adapters and {len(paths)} files of betas by part",
            "Give one --betas for each --adapter, or one for all.",
        )
    found = [read_parts(path) for path in paths]
    return [*found] * count if len(found) == 1 else [*found] or [None] * count


def read_parts(path: Path) -> BetasByPart:
    """A file of `kind: betas`; raises BadRecipe."""
    from ggez_hub.merging.betas_by_part import BetasByPart
    from ggez_hub.recipe_file import read_recipe

    return read_recipe(path, "betas", BetasByPart)


@contextmanager
def of_recipe(path: Path, hub: str, form: str, *, quiet: bool) -> Iterator[MergeInputs]:
    """The merge of a recipe; what it names on the hub `hub` is fetched into the cache.

    Of the base only what the form of the result reads: an adapter form needs no weights, mostly.

    Raises BadRecipe, UsageProblem for a place that is neither a path nor a repository, and what
    fetching raises.
    """
    from ggez_hub.recipe_file import read_recipe
    from ggez_hub.registry.local_merge.recipe import MergeRecipe

    recipe = read_recipe(path, "merge", MergeRecipe)
    parts = [a.betas and read_parts(path.parent / a.betas) for a in recipe.adapters]
    with TemporaryDirectory(prefix="ggez-hub-") as staging:
        found = _found(recipe, path.parent, hub, form, Path(staging), quiet=quiet)
        adapters = [
            replace(adapter, parts=own or None)
            for adapter, own in zip(found.adapters, parts, strict=True)
        ]
        yield replace(found, adapters=adapters)


def _found(
    recipe: MergeRecipe, here: Path, hub: str, form: str, place: Path, *, quiet: bool
) -> MergeInputs:
    from ggez_hub.merging.forms import require_one
    from ggez_hub.registry.contribution.base_model import find_base
    from ggez_hub.registry.local_merge.inputs import (
        WeightedSource,
        fetch_adapter,
        fetch_base_files,
        on_disk,
    )
    from ggez_hub.registry.result_forms import get_form

    if form != "merged":
        require_one(form, len(recipe.adapters))
    local = {
        named: here / Path(named).expanduser()
        for named in (recipe.base, *(adapter.adapter for adapter in recipe.adapters))
        if (here / Path(named).expanduser()).exists()
    }
    places = {named: on_disk(path) for named, path in local.items()}
    wanted, base = get_form(form), places.get(recipe.base)
    family: str | None = recipe.family
    remote = [a.adapter for a in recipe.adapters if a.adapter not in places]
    if base is None or remote:
        # Names are checked before a hub is asked.
        repos = {named: _repository(named, here) for named in (recipe.base, *remote)
                 if named not in places}  # fmt: skip
        with connect(hub, quiet=quiet) as server:
            if base is None:
                name = "@".join(repos[recipe.base])
                found = find_base(server, name, recipe.family, recipe.variant)
            for number, named in enumerate(dict.fromkeys(remote), 1):
                places[named] = fetch_adapter(server, *repos[named], place / f"adapter-{number}")
            if base is None:
                reads = wanted.reads(
                    [places[a.adapter].path for a in recipe.adapters],
                    by_part=any(a.betas for a in recipe.adapters),
                )
                base = fetch_base_files(server, found, place / "base", reads)
                family = found.family.name
    weighted = [WeightedSource(places[a.adapter], a.beta) for a in recipe.adapters]
    return MergeInputs(base, weighted, recipe.method, family, recipe.variant)


def _repository(named: str, here: Path) -> tuple[str, str]:
    from ggez_hub.registry.local_merge.recipe import repository

    found = repository(named)
    if found is None:
        raise UsageProblem(
            f"{named!r} is neither a path in {here} nor a repository at a revision",
            "Write a path relative to the recipe, or org/name@revision.",
        )
    return found
