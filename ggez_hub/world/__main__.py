"""`python -m ggez_hub.world`: build the demo world's models and data from published packages."""

from __future__ import annotations

from pathlib import Path

import click

from ggez_hub.errors import GgezError
from ggez_hub.world import diffusion, embedding, vlm

ASSETS = Path(__file__).parent / "assets"
FAMILIES = {"embedding": embedding, "vlm": vlm, "diffusion": diffusion}

_family = click.option(
    "--family", type=click.Choice(list(FAMILIES)), required=True, help="The family to build."
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
    FAMILIES[family].build(output, seed)


@main.command()
@click.option("--family", type=click.Choice(["embedding"]), required=True)
@_out
@click.option(
    "--seed", "chosen", type=int, multiple=True, default=(0, 1, 2), help="May be repeated."
)
def seeds(family: str, output: Path, chosen: tuple[int, ...]) -> None:
    """Train base and `th` with several seeds (0, 1, 2) and write their scores over beta."""
    embedding.measure_seeds(output, chosen)


@main.command()
@_family
@_out
def cards(family: str, output: Path) -> None:
    """Measure the family's adapters over the grid and write its cards with their evidence."""
    from ggez_hub.world.cards import write_cards
    from ggez_hub.world.diffusion import cards as diffusion_cards

    if family == "diffusion":
        diffusion_cards.write_cards(output)
    else:
        write_cards(output, family)


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
    from ggez_hub.world.acceptance import acceptable_cards

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
