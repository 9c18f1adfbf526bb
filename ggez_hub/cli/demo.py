"""`demo`: the quick start. A pull from a hub on this machine, and its table recomputed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import NEW

if TYPE_CHECKING:
    from ggez_hub.evaluation.comparison import Estimate
    from ggez_hub.hub import Hub
    from ggez_hub.registry.pulling.pull import Pulled
    from ggez_hub.world.demo import Demo


@click.command(
    "demo", short_help="Pull a Thai model from a hub on this machine and recompute its table."
)
@click.option(
    "--region", default="th", show_default=True, help="A region that the demo world serves."
)
@click.option(
    "-o",
    "--out",
    "target",
    type=NEW,
    default=None,
    help="The folder of the model.  [default: ./ggez-demo-REGION]",
)
@output_options
def demo_command(region: str, target: Path | None, out: Output) -> None:
    """Pull a Thai model from a hub on this machine and recompute its table.

    Starts the embedded hub with the demo world, pulls from it over HTTP, then asks every question
    of the table again, from pictures, over the whole grid of betas. The other families follow in
    brief: of the diffusion family a part of the card's evidence is drawn again.
    """
    from ggez_hub.cli.demo_drawings import tell_drawings
    from ggez_hub.cli.demo_families import in_brief_of_others
    from ggez_hub.cli.pulling import Mode, run
    from ggez_hub.cli.resolving import tell_region
    from ggez_hub.hubs import connect
    from ggez_hub.regions import find_region
    from ggez_hub.registry.request import Request

    place = target or Path(f"ggez-demo-{find_region(region).id}")
    request = Request(region, family="embedding")
    tell_region(request, out)
    # The pull's own JSON would be a second document.
    quiet = Output(quiet=True) if out.as_json else out
    with connect("embedded", quiet=out.quiet) as hub:
        pulled = run(request, hub, Mode(place), quiet)
        assert pulled is not None  # noqa: S101 - only a dry run gives nothing
        demo = _recompute(pulled, hub, out)
        picture = _tell(pulled, demo, out)
        others = in_brief_of_others(request, place, hub, quiet)
        drawings = tell_drawings(request.region, hub, out)
    document = {**_document(pulled, demo, picture), "others": others, "drawings": drawings}
    out.document(document)


def _recompute(pulled: Pulled, hub: Hub, out: Output) -> Demo:
    from ggez_hub.cli.demo_families import folders_of
    from ggez_hub.evaluation.task import load_tasks
    from ggez_hub.families import get_family
    from ggez_hub.registry.index.reading import read_pinned_card
    from ggez_hub.resources import recipes
    from ggez_hub.world.demo import recompute

    resolution = pulled.lock.resolution
    tasks = load_tasks(recipes() / "demo")
    (adapter,) = resolution.adapters
    assert adapter.weight is not None  # noqa: S101 - the world's adapters are LoRAs
    folders = folders_of(pulled, hub, tasks[0].dataset)
    card = read_pinned_card(hub, adapter.card).card
    out.line("")
    out.line("Recomputing every figure from pictures:")
    with out.progress("steps") as progress:
        bar = progress.add_task("asking", total=None)
        return recompute(
            folders,
            card,
            tasks,
            get_family(resolution.family),
            resolution.alpha.value,
            adapter.weight,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )


def _tell(pulled: Pulled, demo: Demo, out: Output) -> Path:
    """The table and what follows from it; returns where it was drawn."""
    resolution = pulled.lock.resolution
    names = {demo.beta: "merged", 0.0: "base", 1.0: "unmerged adapter"}
    if demo.beta in {0.0, 1.0}:
        names[demo.beta] = f"{'base' if demo.beta == 0 else 'unmerged adapter'} = merged"
    out.line("")
    out.table(
        ("beta", "English names", f"{demo.languages} names", "GRP", ""),
        [
            (
                f"{row.beta:g}",
                _shown(row.english),
                _shown(row.regional),
                _shown(row.grp),
                names.get(row.beta, ""),
            )
            for row in demo.rows
        ],
        title="The whole grid on test: text-to-image R@1 in %, 95 % intervals over "
        f"{demo.rows[0].english.pictures} pictures; GRP above chance, alpha "
        f"{resolution.alpha.value:.3f}",
    )
    _tell_choice(demo, out)
    _tell_checks(demo, out)
    _tell_verdict(demo, out)
    picture = _draw(pulled, demo)
    out.line(f"The trade-off as a picture: {picture}")
    return picture


def _tell_choice(demo: Demo, out: Output) -> None:
    betas = sorted({0.0, demo.beta, 1.0})
    out.line("")
    out.table(
        ("4-way choice, chance 25", *(f"beta {beta:g}" for beta in betas)),
        [
            (title, *(f"{s.score:.1f} [{s.low:.1f}, {s.high:.1f}]"
                      for s in (scores[beta] for beta in betas)))
            for title, scores in demo.choice.items()
        ],
    )  # fmt: skip


def _tell_checks(demo: Demo, out: Output) -> None:
    out.line("")
    out.line(
        f"{demo.card_equal} of the {demo.card_rows} recomputed figures equal those of the card."
    )
    answers = "gives the same answers" if demo.merged_equal else "DOES NOT GIVE THE SAME ANSWERS"
    out.line(f"The merged folder, loaded from disk, {answers} as base + {demo.beta:g} * Delta.")
    out.line(f"beta chosen again on the validation pictures: {demo.beta_from_validation:g}.")


def _tell_verdict(demo: Demo, out: Output) -> None:
    out.line("")
    out.line(f"Of base, merged and unmerged adapter the best GRP on test is that of: {demo.best}.")
    for rival in demo.rivals:
        sure = (
            "" if rival.lead.excludes_zero else ": the interval includes 0, so it is undetermined"
        )
        out.line(f"  ahead of {rival.label} by {_shown(rival.lead)} points{sure}")
    out.line("These figures measure language and unseen drawing styles, not culture.")


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _draw(pulled: Pulled, demo: Demo) -> Path:
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
        title=f"What {name} gains and English loses",
        global_side="English names, R@1 (%)",
        regional_side=f"{demo.languages} names, R@1 (%)",
        alpha=pulled.lock.resolution.alpha.value,
    )
    picture, _ = draw(points, pulled.folder / "trade-off", labels, demo.beta)
    return picture


def _document(pulled: Pulled, demo: Demo, picture: Path) -> dict[str, object]:
    def shown(estimate: Estimate) -> dict[str, float]:
        return {"value": estimate.value, "low": estimate.low, "high": estimate.high}

    return {
        "out": str(pulled.folder),
        "region": pulled.lock.resolution.region,
        "alpha": pulled.lock.resolution.alpha.value,
        "beta": demo.beta,
        "beta_from_validation": demo.beta_from_validation,
        "grid": [
            {
                "beta": row.beta,
                "global": shown(row.english),
                "regional": shown(row.regional),
                "grp": shown(row.grp),
            }
            for row in demo.rows
        ],
        "best": demo.best,
        "leads": {rival.label: shown(rival.lead) for rival in demo.rivals},
        "card": {"rows": demo.card_rows, "equal": demo.card_equal},
        "merged_equal": demo.merged_equal,
        "picture": str(picture),
    }
