"""What `demo` shows of a family: its table, and what follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.cli.output import Output

if TYPE_CHECKING:
    from ggez_hub.evaluation.comparison import Estimate
    from ggez_hub.registry.pulling.pull import Pulled
    from ggez_hub.world.demo import Demo
    from ggez_hub.world.parts import Part


def tell(pulled: Pulled, part: Part, demo: Demo, out: Output) -> Path:
    """The table and what follows from it; returns where it was drawn."""
    names = {0.0: ["base"], 1.0: ["unmerged adapter"]}
    names.setdefault(demo.beta, []).append("merged")
    out.line("")
    out.table(
        ("beta", "English names", f"{demo.languages} names", "GRP", ""),
        [
            (
                f"{row.beta:g}",
                *(_shown(figure) for figure in (row.english, row.regional, row.grp)),
                " = ".join(names.get(row.beta, [])),
            )
            for row in demo.rows
        ],
        title=f"{part.family}, {'the whole grid' if part.whole else 'a part'} of the test: {part.scored}, "
        f"in %, 95 % intervals over {demo.rows[0].english.pictures} pictures; GRP above chance, alpha "
        f"{pulled.lock.resolution.alpha.value:.3f}",
    )
    _tell_others(demo, out)
    _tell_checks(demo, out)
    _tell_verdict(demo, out)
    picture = _draw(pulled, part, demo)
    out.line(f"The trade-off as a picture: {picture}")
    return picture


def document(pulled: Pulled, demo: Demo, picture: Path) -> dict[str, object]:
    """The same for programs."""
    return {
        "out": str(pulled.folder),
        "alpha": pulled.lock.resolution.alpha.value,
        "beta": demo.beta,
        "beta_from_validation": demo.validated,
        "grid": [
            {
                "beta": row.beta,
                "global": _figure(row.english),
                "regional": _figure(row.regional),
                "grp": _figure(row.grp),
            }
            for row in demo.rows
        ],
        "best": demo.best,
        "leads": {rival.label: _figure(rival.lead) for rival in demo.rivals},
        "answers": {"asked": demo.answers, "equal": demo.equal},
        "merged_equal": demo.merged_equal,
        "picture": str(picture),
    }


def _tell_others(demo: Demo, out: Output) -> None:
    if not demo.others:
        return
    betas = sorted({0.0, demo.beta, 1.0})
    out.line("")
    out.table(
        ("in another metric", *(f"beta {beta:g}" for beta in betas)),
        [
            (title, *(f"{s.score:.1f} [{s.low:.1f}, {s.high:.1f}]"
                      for s in (scores[beta] for beta in betas)))
            for title, scores in demo.others.items()
        ],
    )  # fmt: skip


def _tell_checks(demo: Demo, out: Output) -> None:
    out.line("")
    out.line(f"{demo.equal} of {demo.answers} answers equal those in the adapter's evidence.")
    answers = "gives the same answers" if demo.merged_equal else "DOES NOT GIVE THE SAME ANSWERS"
    out.line(f"The merged folder, loaded from disk, {answers} as base + {demo.beta:g} * Delta.")
    if demo.validated is not None:
        out.line(f"beta chosen again on validation: {demo.validated:g}.")


def _tell_verdict(demo: Demo, out: Output) -> None:
    out.line(f"Of base, merged and unmerged adapter the best GRP here is that of: {demo.best}.")
    for rival in demo.rivals:
        sure = (
            "" if rival.lead.excludes_zero else ": the interval includes 0, so it is undetermined"
        )
        out.line(f"  ahead of {rival.label} by {_shown(rival.lead)} points{sure}")


def _draw(pulled: Pulled, part: Part, demo: Demo) -> Path:
    from ggez_hub.evaluation.plot import Interval, Labels, Point, draw
    from ggez_hub.regions import find_region

    def interval(estimate: Estimate) -> Interval:
        return Interval(estimate.value, estimate.low, estimate.high)

    name = find_region(pulled.lock.resolution.region).name
    points = [
        Point(row.beta, interval(row.english), interval(row.regional), interval(row.grp))
        for row in demo.rows
    ]
    labels = Labels(
        title=f"What {name} gains and English loses: {part.name}",
        global_side="English names (%)",
        regional_side=f"{demo.languages} names (%)",
        alpha=pulled.lock.resolution.alpha.value,
    )
    picture, _ = draw(points, pulled.folder / "trade-off", labels, demo.beta)
    return picture


def _figure(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
