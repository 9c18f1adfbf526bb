"""`python -m demo_world`: build the demo world's models and data from published packages."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from ggez_hub.demo.hub import ASSETS
from ggez_hub.demo.world import DEMO_FAMILIES
from ggez_hub.errors import GgezError

_family = click.option(
    "--family", type=click.Choice(list(DEMO_FAMILIES)), required=True, help="The family to build."
)
_out = click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=ASSETS,
    show_default="the package's assets",
    help="The folder that receives the family's folders.",
)


@click.group()
def main() -> None:
    """Build the demo world. Needs the [world] extra, npm, and a network."""


@main.command()
@_family
@_out
@click.option(
    "--seed", type=int, default=0, show_default=True, help="The committed world is seed 0."
)
def build(family: str, output: Path, seed: int) -> None:
    """Train the family's base and adapters, and write its data set."""
    import_module(f"demo_world.{family}").build(output, seed)


@main.command()
@_family
@_out
@click.argument(
    "built",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
def seeds(family: str, output: Path, built: tuple[Path, ...]) -> None:
    """Measure base and `th` of folders that `build -o FOLDER --seed N` wrote, over beta.

    `cards` then puts them on the cards.
    """
    from demo_world.cards import code_commit
    from demo_world.seeds import measure_seeds

    measure_seeds(output, DEMO_FAMILIES[family], built, code_commit())


@main.command()
@_family
@_out
def cards(family: str, output: Path) -> None:
    """Measure the family's adapters over the grid and write its cards with their evidence."""
    from demo_world.cards import write_cards

    write_cards(output, family)


@main.command()
@_family
@_out
def rewrite(family: str, output: Path) -> None:
    """Write the family's adapter cards anew from the answers that are there."""
    from demo_world.cards import rewrite_cards

    rewrite_cards(output, family)


@main.command()
@_family
@_out
def baselines(family: str, output: Path) -> None:
    """Write the baselines of the merge on the family's cards, from the evidence that is there."""
    from demo_world.baselines import record_baselines

    for card in record_baselines(output, family):
        click.echo(card)


@main.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    show_default=True,
)
def accept(output: Path) -> None:
    """Write the adapters' cards below cards/ of a registry, as it accepts them."""
    from demo_world.cards import acceptable_cards

    for path, text in acceptable_cards().items():
        place = output / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8", newline="\n")
        click.echo(path)


if __name__ == "__main__":
    try:
        main()
    except GgezError as problem:
        raise SystemExit(f"error: {problem.message}\n{problem.hint}") from None
