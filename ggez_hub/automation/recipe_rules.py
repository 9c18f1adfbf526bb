"""What a recipe in a contribution has to be: of a kind that people run, and by the schema of that kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ggez_hub.automation.contribution import Contribution
from ggez_hub.automation.findings import Finding
from ggez_hub.automation.rules import RECIPE, by_line
from ggez_hub.errors import MissingExtra, UsageProblem
from ggez_hub.recipe_file import BadRecipe, kind_of, parse_recipe


def check_recipes(contribution: Contribution) -> Iterator[Finding]:
    """Findings about the recipes that a contribution adds or changes, line by line."""
    for change in contribution.changes:
        if change.text is None or not RECIPE.match(change.path):
            continue
        try:
            kind = kind_of(change.text, change.path)
            if kind not in READERS:
                raise BadRecipe(f"is of the kind {kind!r}, not one of {', '.join(READERS)}")
            READERS[str(kind)](change.text, change.path)
        except MissingExtra as missing:
            yield Finding("hint", change.path, f"its keys are not read here: {missing.message}")
        except UsageProblem as problem:
            yield from by_line(change.path, problem)


def _merge(text: str, path: str) -> None:
    from ggez_hub.registry.local.recipe import MergeRecipe

    parse_recipe(text, path, "merge", MergeRecipe)


def _train(text: str, path: str) -> None:
    from ggez_hub.training.recipe import Named

    try:
        from ggez_hub.training.ways import way_of
    except ModuleNotFoundError as missing:
        raise MissingExtra(str(missing.name), "merge") from missing
    family = parse_recipe(text, path, "train", Named).family
    parse_recipe(text, path, "train", way_of(family).recipe)


def _filter(text: str, path: str) -> None:
    from ggez_hub.data.spec import FilterSpec

    parse_recipe(text, path, "filter", FilterSpec)


def _sweep(text: str, path: str) -> None:
    from ggez_hub.evaluation.sweep import SweepRecipe

    parse_recipe(text, path, "sweep", SweepRecipe)


def _betas(text: str, path: str) -> None:
    from ggez_hub.merging.betas_by_part import BetasByPart

    parse_recipe(text, path, "betas", BetasByPart)


READERS: Mapping[str, Callable[[str, str], None]] = {
    "merge": _merge,
    "train": _train,
    "filter": _filter,
    "sweep": _sweep,
    "betas": _betas,
}
