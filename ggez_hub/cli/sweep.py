"""`sweep`: base, merged and regional models over the grid of beta, without writing a model."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cli.models import cache_option, card_of
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import FILE, NEW_FOLDER

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ggez_hub.cli.measurement import Opened


@click.command("sweep")
@click.argument("recipe", type=FILE)
@click.option(
    "-o",
    "--out",
    "target",
    required=True,
    type=NEW_FOLDER,
    help="The results folder; one of this very sweep is completed.",
)
@cache_option
@hub_option
@output_options
def sweep_command(recipe: Path, target: Path, cached: bool, hub: str, out: Output) -> None:
    """Measure a model over the grid of beta and choose beta, without writing merged models.

    RECIPE is YAML with `kind: sweep`; several adapters are swept together, and each file of betas by
    part that it names is swept beside the plain betas. `ggez-hub verify DIR`
    recomputes every figure of the results.
    """
    from ggez_hub.cards import alpha_record
    from ggez_hub.cli.measurement import open_recipe
    from ggez_hub.evaluation.sweep.run import sweep
    from ggez_hub.hub_connection import connect
    from ggez_hub.regions import Alpha, alpha

    with connect(hub, quiet=out.quiet) as server:
        opened = open_recipe(recipe, target, server, cached=cached)
    given, region = opened.recipe.alpha, opened.region
    factor = alpha(region) if given is None else Alpha.from_user(given, region)
    swept = [
        (opened.models, target, opened.origin, None),
        *((own.models, own.results, own.origin, own.parts) for own in opened.by_part),
    ]
    with out.progress("steps") as progress:
        for models, results, origin, parts in swept:
            bar = progress.add_task("asking" if parts is None else parts.name, total=None)
            sweep(
                models,
                opened.tasks,
                region,
                alpha_record(factor),
                results,
                known=opened.place.known,
                adapters=opened.adapters,
                parts=parts,
                joint=opened.joint if parts is None else None,
                trained_on=opened.trained_on,
                origin=origin,
                policy=opened.recipe.policy,
                progress=partial(_advance, progress, bar),
            )
    from ggez_hub.cli.verify import show_scores

    show_scores(target, out)
    out.line("")
    for step in _next_steps(target, opened):
        out.line(step)


def _advance(progress: Progress, bar: TaskID, done: int, total: int) -> None:
    progress.update(bar, completed=done, total=total)


def _next_steps(results: Path, opened: Opened) -> list[str]:
    """The commands that put the results onto the cards of the adapters."""
    steps, cards = [], []
    for adapter in opened.found:
        folder = adapter.path if adapter.path.is_dir() else None
        if adapter.repo is not None:
            name = adapter.repo.partition("/")[2]
            steps.append(f"hf download {adapter.repo} --local-dir {name}")
            cards.append(name)
        elif folder is None or card_of(folder) is None:
            steps.append(
                f"ggez-hub card init {shlex.quote(str(adapter.path))} --region {opened.region.id} "
                "--base ORG/NAME"
            )
            cards.append("CARD" if folder is None else shlex.quote(str(folder)))
        else:
            cards.append(shlex.quote(str(folder)))
    command = "measure" if len(cards) == 1 else "joint"
    steps.append(f"ggez-hub card {command} {shlex.quote(str(results))} {' '.join(cards)}")
    card = "adapter's card" if len(cards) == 1 else "adapters' cards"
    return [f"Put it on the {card}:", *(f"  {step}" for step in steps)]
