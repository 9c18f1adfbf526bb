"""The picture of a beta grid for where no script runs, as the card of an adapter on the Hub: what the
region gains, what the world loses, and parity. Pages draw it by `ggez_hub.charts`.

It knows numbers and labels, neither cards nor models.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.atomic_files import atomic_file
from ggez_hub.cards.curve import MeasuredCurve
from ggez_hub.errors import MissingExtra, UsageProblem
from ggez_hub.extras import require
from ggez_hub.parity.betas import single
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.intervals import Interval, estimate_grp, estimate_score
from ggez_hub.parity.moments import GLOBAL, REGIONAL
from ggez_hub.regions import find_region

PICTURE = "evidence/trade-off.png"
# Okabe and Ito's colours, which people with any colour vision can tell apart.
LINE, BASE, CHOSEN, UNMERGED = "#5b6770", "#0072b2", "#d55e00", "#009e73"

STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a949c",
    "axes.grid": True,
    "grid.color": "#e6e9eb",
    "axes.axisbelow": True,
    "legend.frameon": False,
    # The same numbers give the same SVG.
    "svg.hashsalt": "ggez-hub",
}


@dataclass(frozen=True)
class Point:
    """One beta: the score of each side on its own scale, and normalised parity."""

    beta: float
    q_global: Interval
    q_regional: Interval
    grp: Interval


@dataclass(frozen=True)
class Labels:
    """The texts of the picture; `alpha` is in the title of the parity panel."""

    title: str
    global_side: str
    regional_side: str
    alpha: float


def draw(points: Sequence[Point], picture: Path, labels: Labels, chosen: float | None) -> None:
    """Write a PNG.

    Left: the two sides against each other, a point for each beta. Right: parity against beta. The
    base (beta 0), the unmerged adapter (beta 1) and the `chosen` beta are marked; `chosen` is None
    where no beta was chosen. Raises UsageProblem for no points or a chosen beta that is not there.
    """
    ordered = sorted(points, key=lambda point: point.beta)
    if not ordered:
        raise UsageProblem("there are no points to draw")
    if chosen is not None and chosen not in {point.beta for point in ordered}:
        raise UsageProblem(f"the chosen beta {chosen:g} is not a point of the grid")

    marks = _marks(ordered, chosen)
    with saved_figure([picture], labels.title, (10.5, 4.8), 160, "eval") as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        _trade_off(left, ordered, marks, labels)
        _parity(right, ordered, marks, labels)
        handles, names = left.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower left", ncols=len(names), handletextpad=0.3)


@contextmanager
def saved_figure(
    pictures: Iterable[Path],
    title: str,
    size: tuple[float, float],
    dpi: int,
    extra: str,
    **style: Any,
) -> Iterator[Any]:
    """A figure of `size` inches by matplotlib, which is in `extra`, that is written to each of `pictures` at the end.

    Their suffixes say how: .png or .svg. The same figure gives the same bytes.
    """
    require(extra, "matplotlib")
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    settings: dict[Any, Any] = {**STYLE, **style}
    with mpl.rc_context(settings):
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))
        FigureCanvasAgg(figure)
        figure.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold")
        yield figure
        for picture in pictures:
            kind = picture.suffix.removeprefix(".")
            # What would differ from one time to the next.
            metadata = {"Software" if kind == "png" else "Date": None}
            with atomic_file(picture) as partial:
                figure.savefig(partial, format=kind, dpi=dpi, metadata=metadata)


def _marks(points: Sequence[Point], chosen: float | None) -> dict[float, dict[str, Any]]:
    """How the marked betas look; where two roles meet in one point, one mark names both."""
    roles: dict[float, list[str]] = {}
    for beta, role in ((0.0, "base"), (1.0, "unmerged adapter"), (chosen, "chosen")):
        if beta is not None and any(point.beta == beta for point in points):
            roles.setdefault(beta, []).append(role)
    looks = {
        "base": {"color": BASE, "marker": "s", "s": 60},
        "unmerged adapter": {"color": UNMERGED, "marker": "D", "s": 56},
        "chosen": {"color": CHOSEN, "marker": "*", "s": 210},
    }
    common = {"edgecolors": "white", "linewidths": 0.9, "zorder": 4}
    return {
        beta: {"label": f"{' and '.join(names)} (β = {beta:g})", **looks[names[-1]], **common}
        for beta, names in sorted(roles.items())
    }


def _trade_off(
    axes: Any, points: Sequence[Point], marks: dict[float, dict[str, Any]], labels: Labels
) -> None:
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2.5, foreground="white")]
    x, y = [p.q_global for p in points], [p.q_regional for p in points]
    axes.errorbar(
        [v.value for v in x],
        [v.value for v in y],
        xerr=_reach(x),
        yerr=_reach(y),
        fmt="-o",
        color=LINE,
        ecolor="#b4bdc4",
        elinewidth=0.9,
        linewidth=1.6,
        markersize=4,
        zorder=2,
    )
    for point in points:
        place = (point.q_global.value, point.q_regional.value)
        mark = marks.get(point.beta)
        if mark:
            axes.scatter(*place, **mark)
        axes.annotate(
            f"{point.beta:g}",
            place,
            xytext=(7, 6),
            textcoords="offset points",
            fontsize=8.5 if mark else 7.5,
            fontweight="bold" if mark else "normal",
            color=mark["color"] if mark else LINE,
            path_effects=halo,
            zorder=5,
        )
    axes.set_title("The trade-off over β")
    axes.set_xlabel(labels.global_side)
    axes.set_ylabel(labels.regional_side)


def _parity(
    axes: Any, points: Sequence[Point], marks: dict[float, dict[str, Any]], labels: Labels
) -> None:
    betas = [point.beta for point in points]
    axes.fill_between(
        betas, [p.grp.low for p in points], [p.grp.high for p in points], color="#e3e7ea", lw=0
    )
    axes.plot(betas, [p.grp.value for p in points], "-o", color=LINE, linewidth=1.6, markersize=4)
    for point in points:
        if mark := marks.get(point.beta):
            axes.scatter(point.beta, point.grp.value, **mark)
    if min(p.grp.low for p in points) < 0:
        axes.axhline(0, color=LINE, linewidth=0.9, linestyle=":")
        axes.annotate("chance", (betas[-1], 0), ha="right", va="bottom", fontsize=8, color=LINE)
    axes.set_title(f"Parity, chance = 0, α = {labels.alpha:.3g}")
    axes.set_xlabel("β, the weight of the adapter")
    axes.set_ylabel("GRP (normalised), 95 % interval")


def _reach(values: Sequence[Interval]) -> tuple[list[float], list[float]]:
    """What matplotlib wants of an interval: how far it reaches below and above."""
    return [v.value - v.low for v in values], [v.high - v.value for v in values]


def curve_picture(
    measured: MeasuredCurve | None, alpha: float, region: str, beta: float | None
) -> bytes | None:
    """A PNG of the trade-off on the test side, with `beta` marked; the same curve gives the same bytes.

    None where the curve shows no trade-off there, or matplotlib is not installed: a picture is worth
    no failed publication.
    """
    try:
        curve = ParityCurve.of(measured, "test", region)
    except NoCurve:
        return None
    labels = Labels(
        title=f"{find_region(curve.region).name}: the region against the world",
        global_side=f"global side, {curve.scale}",
        regional_side=f"regional side, {curve.scale}",
        alpha=alpha,
    )
    points = [
        Point(
            single(point),
            estimate_score(curve.moments, GLOBAL, index),
            estimate_score(curve.moments, REGIONAL, index),
            estimate_grp(curve.moments, alpha, index),
        )
        for index, point in enumerate(curve.betas)
    ]
    chosen = None if beta is None or curve.index(beta) is None else beta
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "picture.png")
        try:
            draw(points, picture, labels, chosen)
        except MissingExtra:
            return None
        return picture.read_bytes()
