"""What the commands of `hub` share: the folder of the hub, and counts of bytes."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from ggez_hub.cli.parameters import FOLDER
from ggez_hub.errors import GgezError, UsageProblem

if TYPE_CHECKING:
    from ggez_hub.embedded import HubStore

R = TypeVar("R")

_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


class ByteCount(click.ParamType[int]):
    """A number of bytes: `500GB`, `1.5T`, `1000`."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?) ?([KMGT]?)B?", str(value), re.IGNORECASE)
        if found is None:
            self.fail(f"{value!r} is not a number of bytes such as 500GB", param, ctx)
        return int(float(found[1]) * _UNITS[found[2].upper()])


@contextmanager
def opened(root: Path) -> Iterator[HubStore]:
    """The hub of a folder; its refusals are errors of the command."""
    from ggez_hub.embedded import HubError, HubStore

    if not (root / "hub.sqlite3").exists():
        raise UsageProblem(
            f"{root} is not the folder of a hub", "Give the folder that `ggez-hub serve` has."
        )
    try:
        with HubStore.open(root) as store:
            yield store
    except HubError as error:
        kind = UsageProblem if error.status < 500 else GgezError
        raise kind(error.message) from error


def store_option(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command `--root`; it receives the open hub as `store: HubStore`."""

    @click.option("--root", required=True, type=FOLDER, help="The folder of the hub.")
    @functools.wraps(command)
    def wrapper(*args: Any, root: Path, **options: Any) -> R:
        with opened(root) as store:
            return command(*args, store=store, **options)

    return wrapper
