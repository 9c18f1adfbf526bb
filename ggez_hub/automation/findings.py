"""What is found in a contribution, as annotations and a comment on GitHub."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """Something to fix (`error`) or to know (`hint`), in a file, at a line if there is one."""

    level: Literal["error", "hint"]
    path: str
    message: str
    line: int | None = None

    def annotation(self) -> str:
        """The workflow command that shows it beside the file on GitHub."""
        kind = "error" if self.level == "error" else "notice"
        path = _escaped(self.path).replace(":", "%3A").replace(",", "%2C")
        line = f",line={self.line}" if self.line else ""
        return f"::{kind} file={path}{line}::{_escaped(self.message)}"


@dataclass(frozen=True)
class Findings:
    """All findings of a contribution."""

    found: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.found if f.level == "error")

    @property
    def hints(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.found if f.level == "hint")

    def markdown(self) -> str:
        """Errors and hints apart, as short as a comment should be."""
        head = "**The contribution is well-formed.** A maintainer looks at it next."
        if count := len(self.errors):
            head = (
                f"**{count} {'thing' if count == 1 else 'things'} to fix.** Push again; this "
                "comment changes with it."
            )
        parts = [head, _list("To fix", self.errors), _list("To know", self.hints)]
        return "\n\n".join(part for part in parts if part) + "\n"


def _list(title: str, found: Iterable[Finding]) -> str:
    lines = [
        f"- {as_code(f.path)}{f' line {f.line}' if f.line else ''}: {as_code(f.message)}"
        for f in found
    ]
    return f"{title}:\n" + "\n".join(lines) if lines else ""


def as_code(text: str) -> str:
    """A stranger's text as code on one line, without links, mentions or markup."""
    flat = " ".join(text.split()).replace("`", "'")
    return f"`{flat[:500]}`"


def _escaped(text: str) -> str:
    """Escaped as a workflow command's data: GitHub's toolkit, command.ts."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
