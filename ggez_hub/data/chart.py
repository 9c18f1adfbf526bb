"""The picture of a report: where examples were dropped, and what the rest is made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ggez_hub.data.extras import require
from ggez_hub.evaluation.plot import BASE, CHOSEN, LINE, STYLE

BARS = 10
# The room that fewer bars than these leave empty.
FEWEST = 4
PANELS = ("language", "country", "format")


def draw(document: dict[str, Any], stem: Path) -> tuple[Path, Path]:
    """Write `stem`.png and `stem`.svg and return their paths."""
    require("matplotlib")
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    counts = document["counts"]
    # A dollar in the name of a column is no mathematics.
    with mpl.rc_context({**STYLE, "text.parse_math": False}):
        figure = Figure(figsize=(11, 6.4), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
        FigureCanvasAgg(figure)
        figure.suptitle(
            f"{counts['kept']:,} of {counts['seen']:,} examples kept for {document['region']}"
            + (f", {counts['translated']:,} translations" if counts["translated"] else ""),
            x=0.012,
            ha="left",
            fontsize=13,
            fontweight="bold",
        )
        grid = figure.add_gridspec(2, len(PANELS), height_ratios=(1.1, 1))
        _bars(
            figure.add_subplot(grid[0, :]),
            "Dropped, by stage and reason",
            sorted(
                (
                    (f"{stage}: {reason}", count)
                    for stage, reasons in counts["dropped"].items()
                    for reason, count in reasons.items()
                ),
                key=lambda row: -row[1],
            ),
            CHOSEN,
        )
        for place, name in enumerate(PANELS):
            rows = [
                (value, row["kept"] + row["translated"])
                for value, row in document["by"][name].items()
            ]
            kept = sorted((row for row in rows if row[1]), key=lambda row: -row[1])
            _bars(figure.add_subplot(grid[1, place]), f"Kept, by {name}", kept, BASE)
        # Appended, not substituted: a name such as th-0.5 has no suffix.
        png, svg = (stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "svg"))
        figure.savefig(png, dpi=140, metadata={"Software": None})
        figure.savefig(svg, metadata={"Date": None})
    return png, svg


def _bars(axes: Any, title: str, rows: Sequence[tuple[str, int]], colour: str) -> None:
    axes.set_title(title)
    shown = list(rows[:BARS])
    if rest := sum(count for _, count in rows[BARS:]):
        shown.append(("(others)", rest))
    if not shown:
        axes.set_axis_off()
        axes.annotate("none", (0.5, 0.5), xycoords="axes fraction", ha="center", color=LINE)
        return
    places = range(len(shown))
    axes.barh(places, [count for _, count in shown], color=colour, height=0.7)
    axes.set_yticks(places, [name[:48] for name, _ in shown])
    axes.set_ylim(max(len(shown), FEWEST) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.14)
    for place, (_, count) in enumerate(shown):
        axes.annotate(
            f"{count:,}", (count, place), xytext=(3, 0), textcoords="offset points", va="center",
            fontsize=8, color=LINE,
        )  # fmt: skip
