"""`sweep`: base, merged and regional models over the grid of beta, without writing a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cli.measuring import model_folder, trained_on
from ggez_hub.cli.output import Output, hub_option, output_options

if TYPE_CHECKING:
    from ggez_hub.evaluation.sweep import Place, SweepRecipe
    from ggez_hub.evaluation.task import Task
    from ggez_hub.hub import Hub

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("sweep")
@click.argument("recipe", type=FILE)
@click.option(
    "-o",
    "--out",
    "target",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The results folder; one of this very sweep is completed.",
)
@hub_option
@output_options
def sweep_command(recipe: Path, target: Path, hub: str, out: Output) -> None:
    """Measure a model over the grid of beta and choose beta, without writing merged models.

    RECIPE is YAML with `kind: sweep`. `ggez-hub verify DIR` recomputes every figure of the results.
    """
    from ggez_hub.cards import alpha_record
    from ggez_hub.evaluation.sweep import SweepRecipe, sweep, tasks_for
    from ggez_hub.evaluation.task import load_tasks
    from ggez_hub.families import get_family
    from ggez_hub.hubs import connect
    from ggez_hub.recipe_file import read_recipe
    from ggez_hub.regions import Alpha, alpha, find_region

    asked = read_recipe(recipe, "sweep", SweepRecipe)
    region = find_region(asked.region)
    tasks = tasks_for(load_tasks(recipe.parent / asked.tasks), region)
    given = asked.alpha
    factor = alpha_record(alpha(region) if given is None else Alpha.from_user(given, region))
    with connect(hub, quiet=out.quiet) as server:
        place = _place(asked, recipe.parent, tasks, server)
        with out.progress("steps") as progress:
            bar = progress.add_task("asking", total=None)
            evidence = sweep(
                place,
                get_family(asked.family),
                tasks,
                region,
                factor,
                target,
                betas=asked.betas,
                trained_on=asked.trained_on or trained_on(place.adapter),
                progress=lambda done, total: progress.update(bar, completed=done, total=total),
            )
    from ggez_hub.cli.verify import show_scores

    show_scores(evidence.place, out)


def _place(asked: SweepRecipe, here: Path, tasks: tuple[Task, ...], hub: Hub) -> Place:
    from ggez_hub.evaluation.sweep import Place

    if asked.data is not None:
        data = here / asked.data
    else:
        dataset = tasks[0].dataset
        at = hub.at_commit(dataset.repo, dataset.revision, "dataset")
        wanted = {path for task in tasks for path in task.splits.values()}
        files = [file for file in at.files if file.path in wanted]
        data = hub.fetch(at.repo, at.revision, files, "dataset")
    return Place(model_folder(asked.base, here, hub), model_folder(asked.adapter, here, hub), data)
