"""The report for people: the README.md of the output, and a dataset card of the Hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from ggez_hub.data.report import DUPLICATES_FILE, dropped, unlike_duplicates
from ggez_hub.data.tally import DIMENSIONS, REST
from ggez_hub.evaluation.report.trade_off import BASE, CHOSEN, LINE, saved_figure
from ggez_hub.quantities import counted


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
        f"{counted(counts['seen'], 'example')} seen, {counts['kept']:,} kept, "
        f"{counted(counts['translated'], 'translation')} added. Spec `{document['spec_digest'][:16]}`.\n"
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
    if unlike := unlike_duplicates(document):
        yield f"{unlike.capitalize()}; `{DUPLICATES_FILE}` has each.\n"
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
            f"Held out: {counted(held['examples'], 'example')}, {held['without_picture']:,} of them by their "
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
        else f"agrees with people on {agreement['agreement']:.1f} % of {counted(agreement['n'], 'pair')} "
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


BARS = 10
# The room that fewer bars than these leave empty.
FEWEST = 4
# Characters of a name that are shown.
LONGEST = 48
PANELS = ("language", "country", "format")


def draw(document: dict[str, Any], stem: Path) -> tuple[Path, Path]:
    """Write `stem`.png and `stem`.svg and return their paths."""
    # Appended, not substituted: a name such as th-0.5 has no suffix.
    png, svg = (stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg"))
    counts = document["counts"]
    title = (
        f"{counts['kept']:,} of {counted(counts['seen'], 'example')} kept for {document['region']}"
    )
    if counts["translated"]:
        title += f", {counted(counts['translated'], 'translation')}"
    # A dollar in the name of a column is not mathematics.
    style = {"text.parse_math": False}
    with saved_figure([png, svg], title, (11, 6.4), 140, "data", **style) as figure:
        # Two halves, so that long names above leave no room empty below.
        halves: Any = figure.subfigures(2, 1, height_ratios=(1.1, 1))
        upper, lower = halves
        _bars(
            upper.subplots(),
            "Dropped, by stage and reason",
            sorted(
                ((f"{stage}: {reason}", count) for stage, reason, count in dropped(document)),
                key=lambda row: -row[1],
            ),
            CHOSEN,
        )
        for axes, name in zip(lower.subplots(1, len(PANELS)), PANELS, strict=True):
            rows = [
                (value, row["kept"] + row["translated"])
                for value, row in document["by"][name].items()
            ]
            kept = sorted((row for row in rows if row[1]), key=lambda row: -row[1])
            added = " or added" if counts["translated"] else ""
            _bars(axes, f"Kept{added}, by {name}", kept, BASE)
    return png, svg


def _bars(axes: Any, title: str, rows: Sequence[tuple[str, int]], colour: str) -> None:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    axes.set_title(title)
    named = [row for row in rows if row[0] != REST]
    shown = named[:BARS]
    if rest := sum(count for _, count in rows) - sum(count for _, count in shown):
        shown.append((REST, rest))
    if not shown:
        axes.set_axis_off()
        axes.annotate("none", (0.5, 0.5), xycoords="axes fraction", ha="center", color=LINE)
        return
    places = range(len(shown))
    axes.barh(places, [count for _, count in shown], color=colour, height=0.7)
    axes.set_yticks(places, [_label(name) for name, _ in shown])
    axes.set_ylim(max(len(shown), FEWEST) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.2)
    axes.set_xlabel("examples", fontsize=8, color=LINE)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    for place, (_, count) in enumerate(shown):
        axes.annotate(
            f"{count:,}",
            (count, place),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=LINE,
        )


def _label(name: str) -> str:
    """A name as the font can draw it: what it lacks, and what is too long, is left out."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    # The font comes with matplotlib: it has no letters of Thai, for one.
    glyphs: Any = get_font(findfont(FontProperties()))
    parts = groupby(name, key=lambda character: bool(glyphs.get_char_index(ord(character))))
    drawn = "".join("".join(part) if there else "…" for there, part in parts)
    half = LONGEST // 2
    return drawn if len(drawn) <= LONGEST else f"{drawn[:half]}…{drawn[-half:]}"
