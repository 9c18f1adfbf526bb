"""The table that follows from the answers, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from experiments.content.answers import Results, merge_name
from experiments.content.frontier import along, area, lead
from experiments.content.models import ADAPTER, BASE, SIDES, Comparison, compare
from experiments.content.redraws import LEAST_SEEDS, Redraws, interval, redraw
from experiments.content.scores import Scores, grp, scores_of

ALPHAS: Mapping[str, float] = {"th": 0.373971, "southeast-asia": 0.433700}
"""`ggez-hub alpha REGION`, KOF release 2025, year 2023."""


def table_of(family: str, results: Results) -> str:
    """All tables of a family."""
    test = scores_of(results, test=True)
    redraws = redraw(test.values) if len(results.seeds) >= LEAST_SEEDS else None
    parts: list[str] = [_head(family, results, test)]
    for region, alpha in ALPHAS.items():
        found = compare(results, alpha)
        parts += [
            f"## alpha = {alpha:.4f} ({region})",
            "\n".join(_overall(found, test, redraws)),
            "### GRP of one model minus that of another",
            "\n".join(_differences(found, redraws)),
        ]
    parts += ["## Every beta, mean over the seeds", "\n".join(_grid(test))]
    parts += ["## The frontier", "\n".join(_areas(results, test, redraws))]
    parts += ["## Negative control", "\n".join(_control(results, test, redraws))]
    parts += [
        "## Names of others that are answered with a regional concept",
        "\n".join(_stolen(results)),
    ]
    parts += [
        f"## Every seed, alpha = {ALPHAS['th']:.4f} (th)",
        "\n".join(_by_seed(results, compare(results, ALPHAS["th"]), test)),
    ]
    return "\n\n".join(parts) + "\n"


def _head(family: str, results: Results, test: Scores) -> str:
    counts = {side: found.shape[-1] for side, found in test.values.items()}
    seeds = _seeds([seed.number for seed in results.seeds])
    drawn = (
        "Intervals are 95 %: seeds and concepts are both drawn anew."
        if len(results.seeds) >= LEAST_SEEDS
        else f"There are fewer than {LEAST_SEEDS} seeds: no interval is given, and every seed is printed below."
    )
    return f"""\
# {family}: {seeds}

Test: {counts["others"]} concepts outside the region, {counts["regional"]} inside, {counts["control"]} that no model has seen. Each is answered with one
of {len(results.gallery):,}: chance is {100 * results.chance:.2f} %. Q is the share of right answers in per cent; GRP and retention are computed after
chance is taken out. {drawn}"""


def _overall(found: Comparison, test: Scores, redraws: Redraws | None) -> Iterator[str]:
    yield from _header("model", "beta", "Q_others", "Q_regional", "GRP", "retention")
    base = found.models[0]
    for model in found.models:
        others, regional = model.means()
        outside = base.means()[0]
        cells = [test.raw(others.mean()), test.raw(regional.mean())]
        figures = [*map(float, cells), float(grp(found.alpha, others, regional).mean())]
        figures.append(float(100 * others.mean() / outside.mean()))
        drawn: list[NDArray[np.float64]] | None = None
        if redraws is not None:
            own = [redraws.means(side, model.values[side]) for side in SIDES]
            of_base = redraws.means("others", base.values["others"])
            drawn = [
                *map(test.raw, own),
                grp(found.alpha, own[0], own[1]),
                100 * own[0] / of_base,
            ]
        shown = _with_intervals(figures, drawn)
        if drawn is not None:
            for place, side in enumerate(drawn[:2]):
                # Of a score above chance the interval is above it.
                if interval(side)[0] <= 100 * test.chance:
                    shown[place] += " (at chance)"
        yield _row(model.name, _betas(model.betas), *shown)
    if found.undetermined:
        yield f"\n`keep` is undetermined for {_seeds(found.undetermined)}: the base is at chance outside the region."


_PAIRS = (
    ("merge, parity", "base"),
    ("merge, parity", "adapter"),
    ("merge, parity", "averaged outputs"),
    ("merge, parity", "joint fine-tune"),
    ("merge, keep", "base"),
    ("merge, keep", "adapter"),
    ("merge, keep", "averaged outputs"),
    ("merge, keep", "joint fine-tune"),
    ("averaged outputs", "joint fine-tune"),
)


def _differences(found: Comparison, redraws: Redraws | None) -> Iterator[str]:
    yield from _header("model", "minus", "GRP", "seeds above 0")
    for name, other in _PAIRS:
        first, second = found.of(name), found.of(other)
        if first is None or second is None:
            continue
        by_seed = grp(
            found.alpha,
            *(a - b for a, b in zip(first.means(), second.means(), strict=True)),
        )
        drawn = None
        if redraws is not None:
            sides = [
                redraws.means(side, first.values[side] - second.values[side]) for side in SIDES
            ]
            drawn = [grp(found.alpha, sides[0], sides[1])]
        (cell,) = _with_intervals([float(by_seed.mean())], drawn, signed=True)
        yield _row(name, other, cell, f"{(by_seed > 0).sum()} of {len(by_seed)}")


def _grid(test: Scores) -> Iterator[str]:
    yield from _header("beta", "Q_others", "Q_regional", *(f"GRP ({r})" for r in ALPHAS))
    others, regional = (test.grid(side).mean(axis=(0, 2)) for side in SIDES)
    for place, beta in enumerate(test.betas):
        yield _row(
            f"{beta:g}",
            *(f"{float(test.raw(side[place])):.2f}" for side in (others, regional)),
            *(f"{float(grp(a, others[place], regional[place])):.2f}" for a in ALPHAS.values()),
        )


def _areas(results: Results, test: Scores, redraws: Redraws | None) -> Iterator[str]:
    sides = [test.grid(side)[:, along(test.betas)] for side in SIDES]
    means = [side.mean(axis=-1) for side in sides]
    yield """\
The area between the merges (beta 0 to 1) and the straight line from base to adapter, in shares of the triangle above the line
(1 would keep all that the base has outside and gain all that the adapter has inside; 0 is what sending prompts to base or
adapter at random gives).
"""
    yield from _header("seed", "area")
    for seed, value in zip(results.seeds, area(means[0], means[1]), strict=True):
        yield _row(str(seed.number), _figure(value, "+.3f"))
    everything = [mean.mean(axis=0, keepdims=True) for mean in means]
    drawn = None
    if redraws is not None:
        drawn = [
            np.stack([redraws.means(name, side[:, k]) for k in range(side.shape[1])], axis=-1)
            for name, side in zip(SIDES, sides, strict=True)
        ]
    redrawn = None if drawn is None else [area(drawn[0], drawn[1])]
    (cell,) = _with_intervals([float(area(*everything)[0])], redrawn, signed=True, digits=3)
    yield _row("mean curve", cell)
    yield """
How far the two models that need more than a merge are above the merges: points of Q_regional at the same Q_others.
"""
    yield from _header("model", "above the frontier")
    for name, model in (("averaged outputs", "average"), ("joint fine-tune", "joint")):
        if model not in test.models:
            continue
        values = [test.of(side, model) for side in SIDES]
        point = [np.array([value.mean()]) for value in values]
        redrawn = None
        if redraws is not None and drawn is not None:
            own = [redraws.means(side, v) for side, v in zip(SIDES, values, strict=True)]
            redrawn = [lead(drawn[0], drawn[1], own[0], own[1])]
        figure = float(lead(everything[0], everything[1], point[0], point[1])[0])
        yield _row(name, *_with_intervals([figure], redrawn, signed=True))


def _control(results: Results, test: Scores, redraws: Redraws | None) -> Iterator[str]:
    new = _names_of_new_words(results, test)
    yield f"""\
Right answers in per cent. No model has been shown the concepts of the control; {new.sum()} of them have names that share no word with a name
outside the control. Expected at chance.
"""
    yield from _header("model", "Q_control", "of which no shared word", "Q_regional")
    shown = {
        "base": BASE,
        "merge at 0.5": merge_name(0.5),
        "adapter": ADAPTER,
        "joint fine-tune": "joint",
    }
    # Concepts of new words are redrawn among themselves.
    unknown = {"new": test.values["control"][..., new]}
    apart = None if redraws is None else redraw(unknown)
    for name, model in shown.items():
        parts = [
            (test.of("control", model), redraws, "control"),
            (unknown["new"][:, test.models.index(model)], apart, "new"),
            (test.of("regional", model), redraws, "regional"),
        ]
        cells = []
        for values, draws, side in parts:
            drawn = None if draws is None else [test.raw(draws.means(side, values))]
            cells += _with_intervals([float(test.raw(values.mean()))], drawn)
        yield _row(name, *cells)


def _names_of_new_words(results: Results, test: Scores) -> NDArray[np.bool_]:
    """(control,): whether no word of the name is in a name outside the control."""
    learnt = {
        word
        for candidate in results.gallery
        if candidate.side != "control"
        for word in _words(candidate.name)
    }
    names = [results.gallery[place].name for place in test.concepts["control"]]
    return np.array([learnt.isdisjoint(_words(name)) for name in names])


def _words(name: str) -> list[str]:
    return re.findall(r"\w+", name.casefold())


def _stolen(results: Results) -> Iterator[str]:
    yield from _header("model", "share, mean over the seeds (%)")
    sides = np.array([candidate.side for candidate in results.gallery])
    first = results.seeds[0].answers
    asked = first.is_test & (sides[first.question] == "others")
    for place, model in enumerate(first.models):
        share = np.mean(
            [
                (sides[seed.answers.answer[place, asked]] == "regional").mean()
                for seed in results.seeds
            ]
        )
        yield _row(model, f"{100 * share:.2f}")


def _by_seed(results: Results, found: Comparison, test: Scores) -> Iterator[str]:
    yield from _header("seed", "model", "beta", "Q_others", "Q_regional", "GRP", "retention")
    outside = found.models[0].means()[0]
    for place, seed in enumerate(results.seeds):
        for model in found.models:
            others, regional = (side[place] for side in model.means())
            yield _row(
                str(seed.number),
                model.name,
                f"{model.betas[place]:g}" if model.betas else "",
                f"{float(test.raw(others)):.2f}",
                f"{float(test.raw(regional)):.2f}",
                f"{float(grp(found.alpha, others, regional)):.2f}",
                f"{100 * others / outside[place]:.1f}",
            )


def _with_intervals(
    figures: Sequence[float],
    drawn: Sequence[NDArray[np.float64]] | None,
    *,
    signed: bool = False,
    digits: int = 2,
) -> list[str]:
    sign = "+" if signed else ""
    if drawn is None:
        return [_figure(value, f"{sign}.{digits}f") for value in figures]
    cells = []
    for value, redrawn in zip(figures, drawn, strict=True):
        if np.isnan([value, *redrawn]).any():
            cells.append("undetermined")
            continue
        low, high = (_figure(end, f"{sign}.{digits}f") for end in interval(redrawn))
        ends = f" [{low}, {high}]" if low != high else ""
        cells.append(_figure(value, f"{sign}.{digits}f") + ends)
    return cells


def _seeds(numbers: Sequence[int]) -> str:
    listed = ", ".join(map(str, numbers))
    return f"seed {listed}" if len(numbers) == 1 else f"{len(numbers)} seeds ({listed})"


def _figure(value: float, form: str) -> str:
    # Without the sign of a zero that rounding left.
    return "undetermined" if np.isnan(value) else f"{round(value, 9) + 0.0:{form}}"


def _betas(betas: Sequence[float]) -> str:
    """`0.4`, or `0.3-0.5` where seeds differ."""
    if not betas:
        return ""
    low, high = min(betas), max(betas)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _header(*cells: str) -> Iterator[str]:
    yield _row(*cells)
    yield "|" + "---|" * len(cells)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
