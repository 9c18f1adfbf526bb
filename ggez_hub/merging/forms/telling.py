"""How it is told what loads an adapter: as lines of Python, a table, or JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ggez_hub.merging.forms.facts import Facts
from ggez_hub.merging.forms.runtimes import RUNTIMES, Answer


def answers(facts: Facts) -> dict[str, Answer]:
    """What each program makes of the adapter, by its name."""
    return {name: answer(facts) for name, answer in RUNTIMES.items()}


def shown_status(answer: Answer) -> str:
    """The answer in a word or two."""
    return "flag needed" if answer.status == "flag" else answer.status


def loading_lines(facts: Facts) -> tuple[str, ...]:
    """The Python that loads the adapter in its own library."""
    return next((a.lines for a in answers(facts).values() if a.status == "yes"), ())


def as_list(facts: Facts) -> list[dict[str, Any]]:
    """All answers as JSON: runtime, status, reason, lines."""
    return [
        {"runtime": name, **asdict(answer), "lines": list(answer.lines)}
        for name, answer in answers(facts).items()
    ]


def as_markdown(facts: Facts) -> str:
    """All answers as a table, and below it the lines of those that need other lines."""
    found = answers(facts)
    rows = [f"| {name} | {shown_status(a)} | {a.reason} |" for name, a in found.items()]
    table = "\n".join(["| program | loads it | |", "|---|---|---|", *rows])
    loading = loading_lines(facts)
    others = [
        line
        for name, answer in found.items()
        if answer.lines and answer.lines != loading
        for line in (f"# {name}", *answer.lines)
    ]
    return table + ("\n\n```\n" + "\n".join(others) + "\n```" if others else "")
