"""What tasks do in tests: functions of a module, since other processes import them."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

from ggez_hub.errors import MissingExtra


def write(folder, number):
    """Leave a file, and a line for each time that this task ran."""
    with (folder / f"ran-{number}").open("a") as file:
        file.write("x")
    (folder / f"done-{number}").write_text(str(number * number))


def write_slowly(folder, number):
    time.sleep(0.2)
    write(folder, number)


def write_when_let(folder, number):
    """All but the first two wait for a file."""
    while number >= 2 and not (folder / "let").exists():
        time.sleep(0.05)
    write(folder, number)


def write_when(other, folder, number):
    """Wait until another file is there."""
    while not other.exists():
        time.sleep(0.05)
    write(folder, number)


def die_once(folder, number):
    """Task 2 is killed the first time."""
    first = folder / "first"
    if number == 2 and not first.exists():
        first.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    write(folder, number)


def die(folder, number):
    """Task 2 is killed each time, as for lack of memory."""
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    write(folder, number)


def refuse(folder, number):
    """Task 1 raises an error whose class has parameters of its own, unless it was fixed."""
    if number == 1 and not (folder / "fixed").exists():
        raise MissingExtra("a_library", "scale")
    write(folder, number)


class Odd(Exception):
    def __init__(self, *, need):
        super().__init__(need)


def raise_odd(_, number):
    raise Odd(need=number)


def fill_disk(folder, number):
    """Task 1 finds the disk full, unless there is room again."""
    if number == 1 and not (folder / "fixed").exists():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "done-1"))
    write(folder, number)


def fill(folder, number):
    """Task 1 writes until there is no room, and leaves what it wrote."""
    if number == 1:
        with (folder / "large").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 12))
    write(folder, number)


def results(folder: Path):
    return {path.name: path.read_text() for path in sorted(folder.glob("done-*"))}
