"""The report for people: the README.md of the output, and a dataset card of the Hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import yaml

from ggez_hub.data.report import dropped
from ggez_hub.data.tally import DIMENSIONS


def markdown(document: dict[str, Any]) -> str:
    """The text of a report."""
    return "\n".join(_lines(document))


def _lines(document: dict[str, Any]) -> Iterator[str]:
    counts = document["counts"]
    front = {
        "license": _licence(document["sources"]),
        "tags": ["ggez", f"ggez-region:{document['region']}"],
        "configs": [
            {"config_name": "default", "data_files": [{"split": "train", "path": "data/*.parquet"}]}
        ],
    }
    yield f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n"
    yield f"# Data for {document['region']}, filtered\n"
    yield (
        f"{counts['seen']:,} examples seen, {counts['kept']:,} kept, "
        f"{counts['translated']:,} translations added. Spec `{document['spec_digest'][:16]}`.\n"
    )
    yield "![What was kept, and why not](report.png)\n"
    if document["warnings"]:
        yield "## Warnings\n"
        yield from (f"- {warning}" for warning in document["warnings"])
        yield ""
    yield "## Rules\n"
    yield from (f"    {rule}" for rule in document["rules"])
    yield f"\nReward: {_reward(document['reward'])}. Translator: {document['translator']}.\n"
    yield "## Dropped\n"
    rows = [(stage, reason, f"{count:,}") for stage, reason, count in dropped(document)]
    yield from _table(("stage", "reason", "examples"), rows) if rows else ("Nothing.\n",)
    if document["translation"]:
        yield "## Translation\n"
        pairs = [(name, f"{count:,}") for name, count in document["translation"].items()]
        yield from _table(("outcome", "examples"), pairs)
    for name in DIMENSIONS:
        yield f"## By {name}\n"
        cells = [
            (value, *(f"{row[key]:,}" for key in ("seen", "kept", "translated")))
            for value, row in document["by"][name].items()
        ]
        yield from _table((name, "seen", "kept", "translated"), cells)
    if document["evidence"]:
        yield "## Evidence of the region\n"
        evidence = [
            (name, verdict, f"{count:,}")
            for name, verdicts in document["evidence"].items()
            for verdict, count in verdicts.items()
        ]
        yield from _table(("evidence", "verdict", "examples asked"), evidence)
    yield "## Sources\n"
    sources = [
        (s["repo"], s["revision"][:16], s["license"], "yes" if s["held_out"] else "")
        for s in document["sources"]
    ]
    yield from _table(("source", "revision", "licence", "held out"), sources)
    held = document["held_out"]
    if any(held.values()):
        yield (
            f"Held out: {held['examples']:,} examples, {held['without_picture']:,} of them by their "
            f"text alone; {held['unreadable']:,} could not be read.\n"
        )
    yield "## Samples\n"
    for outcome, samples in document["samples"].items():
        yield f"### {_cell(outcome)}\n"
        texts = [(s["id"], s["language"], s["country"], s["text"], s["note"]) for s in samples]
        yield from _table(("id", "language", "country", "text", "note"), texts)


def _reward(reward: dict[str, Any] | str) -> str:
    if isinstance(reward, str):
        return reward
    agreement = reward["agreement"]
    agreed = (
        f"agreement with people {agreement}"
        if isinstance(agreement, str)
        else f"agrees with people on {agreement['agreement']:.1f} % of {agreement['n']} pairs "
        f"[{agreement['low']:.1f}, {agreement['high']:.1f}]"
    )
    return f"{reward['scorer']} {reward['comparison']} {reward['threshold']:g} ({agreed})"


def _licence(sources: Iterable[dict[str, Any]]) -> str:
    found = {source["license"] for source in sources if not source["held_out"]}
    return found.pop() if len(found) == 1 else "other"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"
    yield ""


def _cell(text: str) -> str:
    """Untrusted text for a table: no markup, no pipes, no lines."""
    flat = " ".join(text.split())
    for character in "\\`*_[]<>|!#":
        flat = flat.replace(character, f"\\{character}" if character != "<" else "&lt;")
    return flat
