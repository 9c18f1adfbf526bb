"""The picture of a report: where examples were dropped, and what the rest is made of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from ggez_hub.data.report import dropped
from ggez_hub.data.tally import REST
from ggez_hub.evaluation.report.trade_off import BASE, CHOSEN, LINE, picture_files, saved_figure

BARS = 10
# The room that fewer bars than these leave empty.
FEWEST = 4
# Characters of a name that are shown.
LONGEST = 48
PANELS = ("language", "country", "format")


def draw(document: dict[str, Any], stem: Path) -> tuple[Path, Path]:
    """Write `stem`.png and `stem`.svg and return their paths."""
    counts = document["counts"]
    title = f"{counts['kept']:,} of {counts['seen']:,} examples kept for {document['region']}"
    if counts["translated"]:
        title += f", {counts['translated']:,} translations"
    # A dollar in the name of a column is not mathematics.
    style = {"text.parse_math": False}
    with saved_figure(stem, title, (11, 6.4), 140, "data", **style) as figure:
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
    return picture_files(stem)


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
            f"{count:,}", (count, place), xytext=(3, 0), textcoords="offset points", va="center",
            fontsize=8, color=LINE,
        )  # fmt: skip


def _label(name: str) -> str:
    """A name as the font can draw it: what it lacks, and what is too long, is left out."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    # The font comes with matplotlib: it has no letters of Thai, for one.
    glyphs: Any = get_font(findfont(FontProperties()))
    parts = groupby(name, key=lambda character: bool(glyphs.get_char_index(ord(character))))
    drawn = "".join("".join(part) if there else "…" for there, part in parts)
    half = LONGEST // 2
    return drawn if len(drawn) <= LONGEST else f"{drawn[:half]}…{drawn[-half:]}"
