"""`demo`: the quick start. Pulls from a hub on this machine, and their tables recomputed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import NEW

if TYPE_CHECKING:
    from ggez_hub.demo.figures import DemoFigures, Folders
    from ggez_hub.demo.world import DemoFamily
    from ggez_hub.hub import Hub
    from ggez_hub.parity.intervals import Interval
    from ggez_hub.registry.pull.pull import Pulled


def tell(pulled: Pulled, part: DemoFamily, demo: DemoFigures, out: Output) -> Path:
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


def document(pulled: Pulled, demo: DemoFigures, picture: Path) -> dict[str, object]:
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


def _tell_others(demo: DemoFigures, out: Output) -> None:
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


def _tell_checks(demo: DemoFigures, out: Output) -> None:
    out.line("")
    out.line(f"{demo.equal} of {demo.answers} answers equal those in the adapter's evidence.")
    answers = "gives the same answers" if demo.merged_equal else "DOES NOT GIVE THE SAME ANSWERS"
    out.line(f"The merged folder, loaded from disk, {answers} as base + {demo.beta:g} * Delta.")
    if demo.validated is not None:
        out.line(f"beta chosen again on validation: {demo.validated:g}.")


def _tell_verdict(demo: DemoFigures, out: Output) -> None:
    out.line(f"Of base, merged and unmerged adapter the best GRP here is that of: {demo.best}.")
    for rival in demo.rivals:
        sure = (
            "" if rival.lead.excludes_zero else ": the interval includes 0, so it is undetermined"
        )
        out.line(f"  ahead of {rival.label} by {_shown(rival.lead)} points{sure}")


def _draw(pulled: Pulled, part: DemoFamily, demo: DemoFigures) -> Path:
    from ggez_hub.evaluation.report.trade_off import Labels, Point, draw
    from ggez_hub.regions import find_region

    name = find_region(pulled.lock.resolution.region).name
    points = [Point(row.beta, row.english, row.regional, row.grp) for row in demo.rows]
    labels = Labels(
        title=f"What {name} gains and English loses: {part.name}",
        global_side="English names (%)",
        regional_side=f"{demo.languages} names (%)",
        alpha=pulled.lock.resolution.alpha.value,
    )
    picture, _ = draw(points, pulled.folder / "trade-off", labels, demo.beta)
    return picture


def _figure(estimate: Interval) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _shown(estimate: Interval) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


@click.command(
    "demo", short_help="Pull Thai models from a hub on this machine and recompute their tables."
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
    help="The folder of the first model; the other families' lie beside it.  "
    "[default: ./ggez-demo-REGION]",
)
@output_options
def demo_command(region: str, target: Path | None, out: Output) -> None:
    """Pull Thai models from a hub on this machine and recompute their tables.

    Starts the embedded hub with the demo world, pulls a model of each family from it over HTTP, and
    asks it again, from pictures: of the embedding family every question over the whole grid of
    betas, of the others a part.
    """
    from ggez_hub.cli.pull_steps import Mode, run
    from ggez_hub.cli.request import tell_region
    from ggez_hub.demo.hub import ASSETS
    from ggez_hub.demo.world import family_folders
    from ggez_hub.hub_connection import connect
    from ggez_hub.regions import find_region
    from ggez_hub.registry.request import Request

    asked = find_region(region)
    first = target or Path(f"ggez-demo-{asked.id}")
    request = Request(region, family="embedding")
    tell_region(request, out)
    # A pull's own JSON would be another document.
    quiet = Output(quiet=True) if out.as_json else out
    found = {}
    with connect("embedded", quiet=out.quiet) as hub:
        for place in family_folders(ASSETS):
            part, folder = place.part, first
            if part.family != request.family:
                # A fallback region's adapter is shown of the first family alone.
                if asked.id not in place.adapters:
                    continue
                out.line("")
                folder = first.with_name(f"{first.name}-{part.family}")
            pulled = run(replace(request, family=part.family), hub, Mode(folder), quiet)
            assert pulled is not None  # noqa: S101 - only a dry run gives nothing
            demo = _asked_again(pulled, part, hub, out)
            picture = tell(pulled, part, demo, out)
            found[part.family] = document(pulled, demo, picture)
    out.line("")
    out.line("These figures measure language and unseen drawing styles, not culture.")
    out.document({"region": asked.id, "families": found})


def _asked_again(pulled: Pulled, part: DemoFamily, hub: Hub, out: Output) -> DemoFigures:
    from ggez_hub.demo.figures import recompute
    from ggez_hub.demo.world import EVIDENCE
    from ggez_hub.evaluation.answers.predictions import read_predictions
    from ggez_hub.regions import find_region

    resolution = pulled.lock.resolution
    (adapter,) = resolution.adapters
    assert adapter.weight is not None  # noqa: S101 - the world's adapters are LoRAs
    listing = hub.at_commit(adapter.source.repo, adapter.source.revision)
    answers = hub.fetch(
        listing.repo, listing.revision, [f for f in listing.files if f.path == EVIDENCE]
    )
    out.line("")
    out.line(f"Asking again, {'every question' if part.whole else 'a part of the questions'}:")
    with out.progress("steps") as progress:
        bar = progress.add_task("asking", total=None)
        return recompute(
            _folders(pulled, hub),
            part,
            find_region(resolution.region),
            resolution.alpha.value,
            adapter.weight,
            read_predictions(answers / EVIDENCE),
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )


def _folders(pulled: Pulled, hub: Hub) -> Folders:
    """Where the parts of a pulled model lie, fetched as they are pinned."""
    from ggez_hub.demo.figures import Folders
    from ggez_hub.demo.hub import DATA
    from ggez_hub.registry.pull.pull import fetch_pinned

    resolution = pulled.lock.resolution

    def fetched(repo: str) -> Path:
        kind = "dataset" if repo in DATA.values() else "model"
        found = hub.at_commit(repo, "main", kind)
        return hub.fetch(found.repo, found.revision, found.files, kind)

    return Folders(
        base=fetch_pinned(resolution.merged_into, hub),
        adapter=fetch_pinned(resolution.adapters[0].source, hub),
        merged=pulled.model,
        lies=fetched,
    )
