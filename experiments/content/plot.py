"""The frontier as a picture."""

from __future__ import annotations

from pathlib import Path

from experiments.content.answers import Results
from experiments.content.frontier import along
from experiments.content.models import SIDES, compare
from experiments.content.scores import scores_of
from experiments.content.table import ALPHAS

_MARKS = {
    "merge, parity": ("o", "tab:blue"),
    "merge, keep": ("D", "tab:cyan"),
    "averaged outputs": ("^", "tab:green"),
    "joint fine-tune": ("s", "tab:red"),
}


def draw_frontier(family: str, results: Results, path: Path) -> None:
    """Write an SVG: outside the region against inside, the mean over seeds and every seed."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "content", "svg.fonttype": "none", "font.size": 10})
    from matplotlib import pyplot as plt

    test = scores_of(results, test=True)
    by_seed = [test.raw(test.grid(side).mean(axis=-1)) for side in SIDES]
    x, y = (side.mean(axis=0) for side in by_seed)
    figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
    for seed_x, seed_y in zip(*by_seed, strict=True):
        axes.plot(seed_x, seed_y, color="tab:blue", alpha=0.2, linewidth=0.8)
    inside = along(test.betas)
    ends = [inside[0], inside[-1]]
    axes.plot(x[ends], y[ends], "k--", linewidth=1, label="base or adapter at random")
    axes.plot(x, y, ".-", color="tab:blue", label="merge, mean over seeds")
    for place, beta in enumerate(test.betas):
        axes.annotate(
            f"{beta:g}",
            (x[place], y[place]),
            textcoords="offset points",
            xytext=(-4, -11),
            fontsize=7,
            ha="right",
        )
    for model in compare(results, ALPHAS["th"]).models:
        if model.name in _MARKS:
            marker, colour = _MARKS[model.name]
            others, regional = (float(test.raw(side.mean())) for side in model.means())
            axes.plot(
                others,
                regional,
                marker,
                color=colour,
                markersize=8,
                markeredgecolor="black",
                linestyle="none",
                label=model.name,
                zorder=3,
            )
    axes.set_xlabel("right outside the region (%)")
    axes.set_ylabel("right inside the region (%)")
    count = len(results.seeds)
    axes.set_title(f"{family}: {count} seed{'s' * (count > 1)}, beta beside the points")
    axes.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
