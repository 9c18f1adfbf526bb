"""`sweep`: base, merged and regional models over the grid of beta, without writing a model."""

from __future__ import annotations

from pathlib import Path

import click

from ggez_hub.cli.measuring import (
    adapter_place,
    cache_option,
    model_folder,
    trained_on,
)
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.task_data import TaskData, find_tasks
from ggez_hub.cli.under_test import ModelPlace

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
@cache_option
@hub_option
@output_options
def sweep_command(recipe: Path, target: Path, cached: bool, hub: str, out: Output) -> None:
    """Measure a model over the grid of beta and choose beta, without writing merged models.

    RECIPE is YAML with `kind: sweep`. `ggez-hub verify DIR` recomputes every figure of the results.
    """
    from ggez_hub.cards import alpha_record
    from ggez_hub.evaluation.benchmark_items import Pool
    from ggez_hub.evaluation.identity import Model
    from ggez_hub.evaluation.prepared import require_both_sides
    from ggez_hub.evaluation.subjects import grid_on
    from ggez_hub.evaluation.subjects.judging import with_judge
    from ggez_hub.evaluation.sweep import SweepRecipe, sweep
    from ggez_hub.families import get_family
    from ggez_hub.hubs import connect
    from ggez_hub.recipe_file import read_recipe
    from ggez_hub.regions import Alpha, alpha, find_region

    asked, here = read_recipe(recipe, "sweep", SweepRecipe), recipe.parent
    region, family = find_region(asked.region), get_family(asked.family)
    suites = [asked.tasks] if isinstance(asked.tasks, str) else asked.tasks
    tasks = find_tasks([str(here / s) if (here / s).is_dir() else s for s in suites])
    given = asked.alpha
    factor = alpha_record(alpha(region) if given is None else Alpha.from_user(given, region))
    data, pictures = (here / f if f is not None else None for f in (asked.data, asked.pictures))
    with connect(hub, quiet=out.quiet) as server:
        base = model_folder(asked.base, here, server)
        adapter = adapter_place(asked.adapter, here, server)
        place = ModelPlace(server, target, cached)
        judge = place.judge(asked.judge) if asked.judge else None
        model = Model(base, (adapter,), family)
        models = grid_on(model, sorted({0.0, *asked.betas}), place.way(family, judge))
        methods = asked.methods or models[0].methods
        source = TaskData(server, data, pictures, methods, Pool(), single=True)
        prepared, _ = source.prepare(tasks, region)
    require_both_sides((task.record.side for task in prepared), region)
    with out.progress("steps") as progress:
        bar = progress.add_task("asking", total=None)
        evidence = sweep(
            models,
            with_judge(prepared, judge),
            region,
            factor,
            target,
            known=place.known,
            trained_on=asked.trained_on or trained_on(adapter),
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    from ggez_hub.cli.verify import show_scores

    show_scores(evidence.place, out)
