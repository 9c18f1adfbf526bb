"""Types of parameters, and the options that several commands have."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")


class Place(click.Path):
    """A path. An empty one is refused: mostly it is a variable of the shell that is not set."""

    def __init__(
        self, *, exists: bool = False, file_okay: bool = True, dir_okay: bool = True
    ) -> None:
        super().__init__(exists=exists, file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty", param, ctx)
        if re.match(r"[a-z][a-z0-9+.-]+://", str(value)):
            self.fail(f"{value} is an address; this is a path of a file or folder here", param, ctx)
        return super().convert(value, param, ctx)


class AdapterPlace(Place):
    """The path of an adapter. `DIR:NAME` is the one of that name in a folder of several.

    PEFT saves an adapter in a folder of its name, but the one that is called `default`.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        folder, separator, name = str(value).rpartition(":")
        if separator and folder and name and not Path(value).exists():
            named = Path(folder) if name == "default" else Path(folder) / name
            if Path(folder).is_dir() and not (named / "adapter_config.json").is_file():
                found = sorted(
                    path.parent.name for path in Path(folder).glob("*/adapter_config.json")
                )
                if (Path(folder) / "adapter_config.json").is_file():
                    found.insert(0, "default")
                there = f"it holds {', '.join(found)}" if found else "it holds no adapters of PEFT"
                self.fail(f"{folder} has no adapter {name!r}: {there}", param, ctx)
            value = str(named)
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """A finite number in a range; NaN passes every comparison, so it is refused here."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


class YearSpan(click.ParamType[tuple[int, int]]):
    """The first and the last of some years: 1970-2023; or one year."""

    name = "span of years"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        found = re.fullmatch(r"([0-9]{4})(?:-([0-9]{4}))?", str(value))
        if found is None:
            self.fail(f"{value!r} is not a span of years such as 1970-2023", param, ctx)
        return int(found[1]), int(found[2] or found[1])


ANYTHING = Place(exists=True)
ADAPTER = AdapterPlace(exists=True)
FILE = Place(exists=True, dir_okay=False)
FOLDER = Place(exists=True, file_okay=False)
NEW = Place()
NEW_FILE = Place(dir_okay=False)
NEW_FOLDER = Place(file_okay=False)

BETA = Number(min=0)
SHARE = Number(0, 1)
POINTS = Number(0, 100)
YEARS = YearSpan()

betas_option = click.option(
    "--betas",
    "parts",
    multiple=True,
    type=FILE,
    help="YAML with `kind: betas`: patterns of tensor names with a beta of their own; every other "
    "tensor takes --beta. One for each adapter, or one for all.",
)


def region_argument(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command a region as its argument, or as `--region` as elsewhere: `region: str | None`."""

    @click.argument("region", required=False)
    @click.option("--region", "option", help="The same as the argument.")
    @functools.wraps(command)
    def wrapper(*args: Any, region: str | None, option: str | None, **options: Any) -> R:
        if region is not None and option is not None:
            raise click.UsageError("Give REGION or --region, not both.")
        return command(*args, region=region if option is None else option, **options)

    return wrapper


def out_option(
    text: str | None = None, kind: Place = NEW, *, required: bool = True
) -> Callable[[F], F]:
    """`-o`, `--out`: where the command writes; it receives it as `target`."""
    return click.option("-o", "--out", "target", type=kind, required=required, help=text)


def listening_options(command: F) -> F:
    """`--host` and `--port`: where a server listens."""
    host = click.option(
        "--host", default="127.0.0.1", show_default=True, help="The address to listen on."
    )
    port = click.option(
        "--port",
        default=8000,
        show_default=True,
        type=click.IntRange(0, 65535),
        help="0 takes a free one.",
    )
    return host(port(command))


def policy_option(text: str) -> Callable[[F], F]:
    """`--policy`: how beta is chosen."""
    return click.option("--policy", metavar="parity|keep[=0.98]", help=text)


out_dtype_option = click.option(
    "--out-dtype",
    type=click.Choice(["bfloat16"]),
    help="What a base in float8 is stored as, since a float8 is too coarse for what an adapter adds: its "
    "scales are multiplied in.",
)


def as_option(*more: str) -> Callable[[F], F]:
    """`--as`: the forms that a merge can have, and `more`."""
    return click.option(
        "--as",
        "form",
        default="merged",
        show_default=True,
        metavar="|".join(("merged", "peft", "diffusers", "kohya", *more)),
        help="A merged model, or the adapter with beta folded in"
        + ("; or both with a router by the prompt's language." if more else "."),
    )
