"""One sink for what commands say: data on stdout, everything else on stderr."""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

import click

from ggez_hub.finite import finite

if TYPE_CHECKING:
    from rich.progress import Progress


# Control characters but for tab and newline: an escape sequence moves the cursor, sets the title,
# writes to the clipboard. What turns the order of the text around it (Unicode UAX #9). And bytes of
# a file's name that are no text, which no stream takes.
COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    """The text with each character that a terminal would obey written out, as `\\x1b`."""
    return COMMANDS.sub(lambda found: _written_out(found[0]), text)


def plain_json(text: str) -> str:
    """A JSON document that says the same without such characters."""
    return COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _written_out(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Output:
    """How this command speaks: to people, as one JSON document, or hardly at all.

    Nothing that a terminal would obey leaves it, whoever wrote the text.

    `said` collects what was said to people.
    """

    as_json: bool = False
    quiet: bool = False
    said: list[str] = field(default_factory=list)

    @property
    def for_people(self) -> bool:
        """Whether prose and tables are wanted on stdout."""
        return not (self.as_json or self.quiet)

    def line(self, text: str = "") -> None:
        """A line of the answer, for people."""
        if self.for_people:
            self.said.append(text)
            click.echo(plain(text))

    def note(self, text: str) -> None:
        """A remark that is not the answer; it goes to stderr."""
        if not self.quiet:
            click.echo(plain(text), err=True)

    def document(self, value: Any) -> None:
        """The answer as JSON, null for NaN; printed only with --json."""
        if self.as_json:
            text = json.dumps(finite(value), ensure_ascii=False, indent=2, allow_nan=False)
            click.echo(plain_json(text))

    def table(
        self,
        header: Sequence[str],
        rows: Iterable[Sequence[str]],
        title: str = "",
        *,
        figures: bool = True,
    ) -> None:
        """A table for people; the first column is text, the others are `figures`: right-aligned.

        Without rows there is none.
        """
        rows = list(rows)
        if not (self.for_people and rows):
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        if title:
            self.line(title)
        table = Table(box=None, pad_edge=False)
        for number, name in enumerate(header):
            right = figures and number > 0
            table.add_column(name, justify="right" if right else "left", no_wrap=right)
        for row in rows:
            # Square brackets in a name are no markup.
            table.add_row(*(Text(plain(cell)) for cell in row))
        # A pipe has no width: nothing is cut there.
        width = None if sys.stdout.isatty() else 240
        console = Console(highlight=False, width=width, color_system=None)
        with console.capture() as drawn:
            console.print(table)
        self.line(drawn.get().removesuffix("\n"))

    def progress(self, unit: Literal["bytes", "steps"] = "bytes") -> Progress:
        """A progress display on stderr, live only on a terminal."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (
            [DownloadColumn()]
            if unit == "bytes"
            else [MofNCompleteColumn(), TimeRemainingColumn(elapsed_when_finished=True)]
        )
        console = Console(stderr=True)
        return Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            *columns,
            console=console,
            transient=True,
            disable=self.quiet or not console.is_terminal,
        )


def output_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command --json, --quiet and --debug; it receives them as `out: Output`."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
    @click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(command)
    def wrapper(*args: Any, as_json: bool, quiet: bool, debug: bool, **kwargs: Any) -> R:
        context = click.get_current_context()
        context.meta["ggez_hub.debug"] = debug
        return command(*args, out=Output(as_json=as_json, quiet=quiet), **kwargs)

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
