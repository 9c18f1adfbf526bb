"""The pages of the documentation as blocks: what a reader types, and what has to come of it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "experiments").glob("*/README.md"),
    ]
)
FENCE = re.compile(r"^( *)(`{3,})(\w*)$")
NOTE = re.compile(r"^ *<!-- (not run|file|figures): (.+) -->$")
NUMBER = re.compile(r"\d[\d,.]*\d|\d")


@dataclass(frozen=True)
class Command:
    """A line that a reader types, and the lines that the page shows after it."""

    words: tuple[str, ...]
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """A fenced block, with what the note above it says.

    file     its text is the content of that file
    not_run  why it is not run
    figures  why its figures may be others on another machine
    """

    line: int
    language: str
    text: str
    not_run: str = ""
    file: str = ""
    figures: str = ""

    def commands(self) -> list[Command]:
        """The commands of a `console` block."""
        found: list[Command] = []
        lines = self.text.replace("\\\n", " ").splitlines()
        for line in lines:
            if line.startswith("$ "):
                found.append(Command(tuple(shlex.split(line[2:], comments=True)), ()))
            elif found:
                found[-1] = Command(found[-1].words, (*found[-1].shown, line))
        return found


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, with the note that stands above each."""
    found: list[Block] = []
    note, opened, lines = ("", ""), None, list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = FENCE.match(line)
        if opened is None and fence:
            opened, lines = (number, fence[1], fence[2], fence[3]), []
        elif opened is not None and line == opened[1] + opened[2]:
            kind, said = note
            text = "".join(f"{row.removeprefix(opened[1])}\n" for row in lines)
            found.append(
                Block(
                    opened[0], opened[3], text,
                    **({kind.replace(" ", "_"): said} if kind else {}),
                )
            )  # fmt: skip
            opened, note = None, ("", "")
        elif opened is not None:
            lines.append(line)
        elif line.strip():
            remark = NOTE.match(line)
            note = (remark[1], remark[2]) if remark else ("", "")
    return found


def matches(shown: tuple[str, ...], printed: str, *, any_figures: bool = False) -> bool:
    """Whether a page shows what was printed; `...` stands for anything, also for lines.

    With `any_figures` numbers, signs, the width of columns and the chosen line may be others.
    """
    expected = _plain(shown, any_figures=any_figures)
    actual = _plain(printed.splitlines(), any_figures=any_figures)
    return re.fullmatch(re.escape(expected).replace(r"\.\.\.", ".*"), actual, re.DOTALL) is not None


def _plain(lines: Iterable[str], *, any_figures: bool) -> str:
    text = "\n".join(line.rstrip() for line in lines).strip()
    if not any_figures:
        return text
    text = NUMBER.sub("N", text.replace(" (chosen)", ""))
    return re.sub(r"[ ]+", " ", re.sub(r"[+-]?N", "N", text))
