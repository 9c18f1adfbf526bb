"""`python -m experiments.content`: run a seed, or make table and plot from the kept answers."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from experiments.content.answers import RESULTS, read_results, write_gallery, write_seed

FAMILIES = ("embedding", "diffusion")

_family = click.option("--family", type=click.Choice(FAMILIES), required=True)
_results = click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    default=RESULTS,
    show_default="beside the code",
)


@click.group()
def main() -> None:
    """Does merging pay where the region is content and every question is in English?"""


@main.command()
@_family
@_results
@click.argument("seeds", nargs=-1, type=int, required=True)
def run(family: str, results: Path, seeds: tuple[int, ...]) -> None:
    """Train and ask the models of SEEDS, one after the other. Needs the [world] extra and npm."""
    from demo_world.schedule import use_one_thread

    use_one_thread()
    trained = import_module(f"experiments.content.{family}")
    for number in seeds:
        seed = trained.answer(number)
        write_gallery(results / family, trained.gallery())
        write_seed(results / family, seed)
        click.echo(f"{family} seed {number}: {seed.record['seconds']} s")


@main.command()
@_results
def table(results: Path) -> None:
    """Print every table, computed from the kept answers, and write each beside them."""
    from experiments.content.table import table_of

    for family in FAMILIES:
        if not _is_measured(results / family):
            continue
        text = table_of(family, read_results(results / family))
        (results / family / "table.md").write_text(text, encoding="utf-8")
        click.echo(text)


@main.command()
@_results
def plot(results: Path) -> None:
    """Draw the frontier of every family. Needs the [eval] extra."""
    from experiments.content.plot import draw_frontier

    for family in FAMILIES:
        if _is_measured(results / family):
            path = results / family / "frontier.svg"
            draw_frontier(family, read_results(results / family), path)
            click.echo(path)


def _is_measured(folder: Path) -> bool:
    return any(folder.glob("seed-*.npz"))


if __name__ == "__main__":
    main()
