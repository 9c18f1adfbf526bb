"""The inputs of `merge`: from its options, or from a recipe and the hub that it names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from ggez_hub.errors import UsageProblem
from ggez_hub.extras import without_collections
from ggez_hub.quantities import counted

if TYPE_CHECKING:
    from ggez_hub.merging.betas_by_part import BetasByPart
    from ggez_hub.registry.local_merge.inputs import ModelSource, WeightedSource


T = TypeVar("T")


@dataclass(frozen=True)
class MergeInputs:
    """A merge whose base and adapters are on this machine."""

    base: ModelSource
    adapters: Sequence[WeightedSource]
    method: str
    family: str | None
    variant: str | None
    out_dtype: str | None


def of_options(
    base: Path,
    adapters: Sequence[Path],
    betas: Sequence[float],
    method: str,
    family: str | None,
    variant: str | None,
    parts: Sequence[Path] = (),
    out_dtype: str | None = None,
) -> MergeInputs:
    """The merge of folders; betas and files of betas by part are one for each, or one for all.

    Raises UsageProblem.
    """
    with without_collections():
        from ggez_hub.registry.local_merge.inputs import WeightedSource, on_disk

    count = len(adapters)
    each_beta = _for_each(betas, count, "betas", "--beta")
    each_parts = _for_each(parts or [None], count, "files of betas by part", "--betas")
    weighted = [
        WeightedSource(on_disk(path), beta, read_parts(own) if own else None)
        for path, beta, own in zip(adapters, each_beta, each_parts, strict=True)
    ]
    return MergeInputs(on_disk(base), weighted, method, family, variant, out_dtype)


def _for_each(values: Sequence[T], count: int, what: str, option: str) -> Sequence[T]:
    if len(values) not in {1, count}:
        raise UsageProblem(
            f"{counted(count, 'adapter')} and {len(values)} {what}",
            f"Give one {option} for each --adapter, or one for all.",
        )
    return [values[0]] * count if len(values) == 1 else values


def read_parts(path: Path) -> BetasByPart:
    """A file of `kind: betas`; raises UsageProblem."""
    from ggez_hub.merging.betas_by_part import BetasByPart
    from ggez_hub.recipe_file import read_recipe

    return read_recipe(path, "betas", BetasByPart)


@contextmanager
def of_recipe(path: Path, hub: str, form: str, *, quiet: bool) -> Iterator[MergeInputs]:
    """The merge of a recipe; what it names on the hub `hub` is fetched into the cache.

    Of the base only what the form of the result reads: an adapter form needs mostly no weights.
    Raises UsageProblem, and what fetching raises.
    """
    from ggez_hub.cli.models import note_unexpected
    from ggez_hub.merging.forms import require_one
    from ggez_hub.recipe_file import read_recipe
    from ggez_hub.registry.contribution.adapter_files import find_base
    from ggez_hub.registry.local_merge.inputs import (
        MergeRecipe,
        WeightedSource,
        fetch_adapter,
        fetch_base_files,
        on_disk,
    )
    from ggez_hub.registry.result_forms import get_form

    recipe, here = read_recipe(path, "merge", MergeRecipe), path.parent
    parts = [read_parts(here / a.betas) if a.betas else None for a in recipe.adapters]
    if form != "merged":
        require_one(form, len(recipe.adapters))
    names = [recipe.base, *(adapter.adapter for adapter in recipe.adapters)]
    paths = {named: here / Path(named).expanduser() for named in names}
    places = {named: on_disk(path) for named, path in paths.items() if path.exists()}
    # Names are checked before a hub is asked.
    remote = {named: repository_of(named, here) for named in paths if named not in places}
    family: str | None = recipe.family
    with TemporaryDirectory(prefix="ggez-hub-") as staging:
        if remote:
            from ggez_hub.hub_connection import connect

            with connect(hub, quiet=quiet) as server:
                base = None
                if recipe.base in remote:
                    repo, revision = remote.pop(recipe.base)
                    name = f"{repo}@{revision}"
                    base = find_base(server, name, recipe.family, recipe.variant)
                    note_unexpected(base.at, revision)
                for number, (named, place) in enumerate(remote.items(), 1):
                    folder = Path(staging) / f"adapter-{number}"
                    places[named] = fetch_adapter(server, *place, folder)
                if base is not None:
                    reads = get_form(form).reads(
                        [places[a.adapter].path for a in recipe.adapters], by_part=any(parts)
                    )
                    folder = Path(staging) / "base"
                    places[recipe.base] = fetch_base_files(server, base, folder, reads)
                    family = base.family.name
        weighted = [
            WeightedSource(places[a.adapter], a.beta, own)
            for a, own in zip(recipe.adapters, parts, strict=True)
        ]
        base_place, how = places[recipe.base], (recipe.variant, recipe.out_dtype)
        yield MergeInputs(base_place, weighted, recipe.method, family, *how)


def repository_of(named: str, here: Path) -> tuple[str, str]:
    """A repository and its revision, named in a recipe in the folder `here`; raises UsageProblem."""
    from ggez_hub.registry.local_merge.inputs import repository

    found = repository(named)
    if found is None:
        raise UsageProblem(
            f"{named!r} is neither a path in {here} nor a repository at a revision",
            "Write a path relative to the recipe, or org/name@revision.",
        )
    return found
