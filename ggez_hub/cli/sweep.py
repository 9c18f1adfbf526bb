"""`sweep`: base, merged and regional models over the grid of beta, without writing a model."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cards import alpha_record
from ggez_hub.cli.asked_measurements import AskedSweep
from ggez_hub.cli.engine import SHARDS_OF_A_MODEL, engine_options, refuse_endpoints
from ggez_hub.cli.measurement_plan import planned
from ggez_hub.cli.models import cache_option, card_of
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import FILE, NEW_FOLDER, out_option
from ggez_hub.cli.scores import print_scores
from ggez_hub.command_line import command_line
from ggez_hub.execution import Engine
from ggez_hub.hub_connection import connect
from ggez_hub.progress import task
from ggez_hub.regions import Alpha, alpha

if TYPE_CHECKING:
    from ggez_hub.cli.measurement import OpenedSweep


@click.command("sweep")
@click.argument("recipe", type=FILE)
@out_option("The results folder; one of this very sweep is completed.", NEW_FOLDER)
@engine_options(SHARDS_OF_A_MODEL, "eval")
@cache_option
@hub_option
@output_options
def sweep_command(
    recipe: Path,
    target: Path,
    engine: Engine,
    shards: int | None,
    only_plan: bool,
    cached: bool,
    hub: str,
    out: Output,
) -> None:
    """Measure a model over the grid of beta and choose beta, without writing merged models.

    RECIPE is YAML with `kind: sweep`; several adapters are swept together, and each file of betas by
    part that it names is swept beside the plain betas. `ggez-hub verify DIR`
    recomputes every figure of the results.
    """
    from ggez_hub.cli.measurement import open_recipe
    from ggez_hub.evaluation.sweep.run import sweep
    from ggez_hub.evaluation.sweep.tasks import answer_tasks

    place, here = target.absolute(), recipe.absolute().parent
    with connect(hub, quiet=out.quiet) as server:
        opened = open_recipe(recipe, target, server, cached=cached)
        refuse_endpoints(engine, opened.recipe.judge)
        asked = AskedSweep(opened.recipe.placed(here), here, place, hub, cached)
        points = [opened.points(grid) for grid in opened.grids]
        is_over = planned(
            points, opened.stored, opened.data_bytes, engine, shards, asked.inputs, out, only_plan
        )
    if is_over:
        return
    given, region = opened.recipe.alpha, opened.region
    factor = alpha(region) if given is None else Alpha.from_user(given, region)
    with answer_tasks(engine, asked, shards, place, points) as tasks:
        for number, grid in enumerate(opened.grids):
            with task(grid.parts.name if grid.parts else "asking") as asking:
                sweep(
                    grid.models,
                    opened.tasks,
                    region,
                    alpha_record(factor),
                    grid.results,
                    known=opened.source.known,
                    adapters=opened.adapters,
                    parts=grid.parts,
                    joint=opened.joint_of(grid),
                    trained_on=opened.trained_on,
                    held_out=opened.held_out,
                    origin=grid.origin,
                    policy=opened.recipe.policy,
                    progress=asking.update,
                    before=partial(tasks.answer, number, points[number]) if tasks else None,
                )
    print_scores(target, out)
    out.line("")
    out.lines(_next_steps(target, opened))


def _next_steps(results: Path, opened: OpenedSweep) -> list[str]:
    """The commands that put the results onto the cards of the adapters."""
    steps, cards = [], []
    for adapter in opened.found:
        folder = adapter.path if adapter.path.is_dir() else None
        if adapter.repo is not None:
            name = adapter.repo.partition("/")[2]
            steps.append(f"hf download {adapter.repo} --local-dir {name}")
            cards.append(name)
        elif folder is None or card_of(folder) is None:
            about = {"--region": opened.region.id, "--base": "ORG/NAME"}
            steps.append(command_line("card init", {"": adapter.path, **about}))
            cards.append("CARD" if folder is None else shlex.quote(str(folder)))
        else:
            cards.append(shlex.quote(str(folder)))
    command = "measure" if len(cards) == 1 else "joint"
    steps.append(f"ggez-hub card {command} {shlex.quote(str(results))} {' '.join(cards)}")
    card = "adapter's card" if len(cards) == 1 else "adapters' cards"
    return [f"Put it on the {card}:", *(f"  {step}" for step in steps)]
