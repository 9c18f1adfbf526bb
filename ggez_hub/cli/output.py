"""The output of commands: data on stdout, everything else on stderr."""

from __future__ import annotations

import functools
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import click

from ggez_hub.digests import finite
from ggez_hub.progress import show_progress
from ggez_hub.text_files import COMMANDS

P = ParamSpec("P")
R = TypeVar("R")


# In the meta of click's context: whether the command was given --quiet.
QUIET = "ggez_hub.quiet"


def plain(text: str) -> str:
    """The text with each character that a terminal would obey written as `\\x1b` or `\\u202e`."""

    def escaped(found: re.Match[str]) -> str:
        code = ord(found[0])
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"

    return COMMANDS.sub(escaped, text)


def _fitted(
    header: Sequence[str], rows: Sequence[Sequence[str]], optional: Sequence[str], width: int
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """A table without the optional columns that a width has no room for."""
    from rich.cells import cell_len

    sizes = {
        name: max(cell_len(name), *(cell_len(row[n]) for row in rows))
        for n, name in enumerate(header)
    }
    shown = list(header)
    for name in optional:
        # Two spaces between columns.
        if sum(sizes[kept] + 2 for kept in shown) - 2 > width:
            shown.remove(name)
    places = [list(header).index(name) for name in shown]
    return shown, [[row[n] for n in places] for row in rows]


@dataclass(frozen=True)
class Output:
    """Where a command prints: for people, as one JSON document, or only errors.

    Characters that a terminal would obey are escaped. `said` collects what was printed for people.
    """

    as_json: bool = False
    quiet: bool = False
    said: list[str] = field(default_factory=list)

    @property
    def for_people(self) -> bool:
        return not (self.as_json or self.quiet)

    def line(self, text: str = "") -> None:
        if self.for_people:
            self.said.append(text)
            click.echo(plain(text))

    def lines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.line(text)

    def note(self, text: str) -> None:
        """Print a remark on stderr."""
        if not self.quiet:
            click.echo(plain(text), err=True)

    def document(self, value: Any) -> None:
        """Print the answer as JSON, null for NaN, if --json was given."""
        if self.as_json:
            text = json.dumps(finite(value), ensure_ascii=False, indent=2, allow_nan=False)
            click.echo(COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text))

    def table(
        self,
        header: Sequence[str],
        rows: Iterable[Sequence[str]],
        title: str = "",
        *,
        figures: bool = True,
        optional: Sequence[str] = (),
    ) -> None:
        """Print a table for people, if it has rows; `figures` aligns all but the first column right.

        `optional` columns are left out, in this order, where the terminal is too narrow for all. No
        name or figure is ever cut: what is too long is folded.
        """
        rows = list(rows)
        if not (self.for_people and rows):
            return
        # A pipe has no width: nothing is folded there.
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 240
        header, rows = _fitted(header, rows, optional, width)
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        if title:
            self.line(title)
        table = Table(box=None, pad_edge=False)
        for number, name in enumerate(header):
            right = figures and number > 0
            table.add_column(
                name, justify="right" if right else "left", no_wrap=right, overflow="fold"
            )
        for row in rows:
            # Text: square brackets in a name are not markup.
            table.add_row(*(Text(plain(cell)) for cell in row))
        console = Console(highlight=False, width=width, color_system=None)
        with console.capture() as drawn:
            console.print(table)
        self.line(drawn.get().removesuffix("\n"))


def output_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command --json, --quiet and --debug; it receives them as `out: Output`."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
    @click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(command)
    def wrapper(*args: Any, as_json: bool, quiet: bool, debug: bool, **kwargs: Any) -> R:
        context = click.get_current_context()
        context.meta["ggez_hub.debug"] = debug
        context.meta[QUIET] = quiet
        out = Output(as_json=as_json, quiet=quiet)
        with show_progress(None if quiet else out.note):
            return command(*args, out=out, **kwargs)

    return wrapper


def hub_option(command: Callable[P, R]) -> Callable[P, R]:
    """Give a command `--hub hf|embedded|URL`; it receives it as `hub: str`."""
    return click.option(
        "--hub",
        default="hf",
        show_default=True,
        metavar="hf|embedded|URL",
        help="Where models come from: the Hugging Face Hub, the hub on this machine, or an address.",
    )(command)
