"""Types of what is typed: paths that lead somewhere, and numbers that are numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click


class Place(click.Path):
    """A path. An empty one is refused: mostly it is a variable of the shell that is not set."""

    def __init__(
        self, *, exists: bool = False, file_okay: bool = True, dir_okay: bool = True
    ) -> None:
        super().__init__(exists=exists, file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """A number in a range. NaN and infinity are none: comparisons let them through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


ANYTHING = Place(exists=True)
FILE = Place(exists=True, dir_okay=False)
FOLDER = Place(exists=True, file_okay=False)
NEW = Place()
NEW_FILE = Place(dir_okay=False)
NEW_FOLDER = Place(file_okay=False)

BETA = Number(min=0)
SHARE = Number(0, 1)
POINTS = Number(0, 100)

betas_option = click.option(
    "--betas",
    "parts",
    multiple=True,
    type=FILE,
    help="YAML with `kind: betas`: patterns of tensor names with a beta of their own; every other "
    "tensor takes --beta. One for each adapter, or one for all.",
)

as_option = click.option(
    "--as",
    "form",
    default="merged",
    show_default=True,
    metavar="merged|peft|diffusers|kohya",
    help="A merged model, or the adapter with beta folded in.",
)
