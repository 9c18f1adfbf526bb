"""`demo`: the quick start. Pulls from a hub on this machine, and their tables recomputed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import out_option
from ggez_hub.cli.pull_steps import run_pull
from ggez_hub.cli.request import PullOptions, print_region
from ggez_hub.demo.figures import DemoFigures, Folders, recompute
from ggez_hub.demo.hub import ASSETS, DATA
from ggez_hub.demo.world import EMBEDDING, EVIDENCE, DemoFamily, family_folders
from ggez_hub.evaluation.answers.predictions import read_predictions
from ggez_hub.hub import Hub
from ggez_hub.hub_connection import connect
from ggez_hub.parity.intervals import Interval
from ggez_hub.progress import task
from ggez_hub.quantities import counted, interval_text
from ggez_hub.regions import find_region
from ggez_hub.registry.pull.pull import Pulled
from ggez_hub.registry.request import Request


@click.command("demo")
@click.option(
    "--region", default="th", show_default=True, help="A region that the demo world serves."
)
@out_option(
    "The folder of the first model; those of the other families are beside it.  "
    "[default: ./ggez-demo-REGION]",
    required=False,
)
@output_options
def demo_command(region: str, target: Path | None, out: Output) -> None:
    """Pull Thai models from a hub on this machine and recompute their tables.

    Starts the embedded hub with the demo world, pulls a model of each family from it over HTTP, and
    asks it again, from pictures: of the embedding family every question over the full grid of
    betas, of the others a part.
    """
    wanted = find_region(region)
    first = target or Path(f"ggez-demo-{wanted.id}")
    request = Request(region, family=EMBEDDING.family)
    print_region(request, out)
    # A pull's own JSON would be another document.
    quiet = Output(quiet=True) if out.as_json else out
    found = {}
    with connect("embedded", quiet=out.quiet) as hub:
        for place in family_folders(ASSETS):
            part, folder = place.part, first
            if part.family != request.family:
                # A fallback region's adapter is shown of the first family alone.
                if wanted.id not in place.adapters:
                    continue
                out.line("")
                folder = first.with_name(f"{first.name}-{part.family}")
            pulled = run_pull(replace(request, family=part.family), hub, PullOptions(folder), quiet)
            assert pulled is not None  # noqa: S101 - only a dry run returns None
            figures = _recomputed(pulled, part, hub, out)
            _print_figures(pulled, part, figures, out)
            picture = _draw(pulled, part, figures)
            out.line(f"The trade-off as a picture: {picture}")
            found[part.family] = _as_json(pulled, figures, picture)
    out.line("")
    out.line("These figures measure language and unseen drawing styles, not culture.")
    out.document({"region": wanted.id, "families": found})


def _recomputed(pulled: Pulled, part: DemoFamily, hub: Hub, out: Output) -> DemoFigures:
    """The figures of a pulled model, asked again; its parts are fetched as they are pinned."""

    def fetched(repo: str) -> Path:
        kind = "dataset" if repo in DATA.values() else "model"
        found = hub.at_commit(repo, "main", kind)
        return hub.fetch(found.repo, found.revision, found.files, kind)

    resolution = pulled.lock.resolution
    (adapter,) = resolution.adapters
    assert adapter.weight is not None  # noqa: S101 - the world's adapters are LoRAs
    listing = hub.at_commit(adapter.source.repo, adapter.source.revision)
    evidence = [file for file in listing.files if file.path == EVIDENCE]
    answers = hub.fetch(listing.repo, listing.revision, evidence)
    out.line("")
    out.line(f"Asking again, {'every question' if part.complete else 'a part of the questions'}:")
    folders = Folders(
        resolution.merged_into.fetch(hub),
        adapter.source.fetch(hub),
        pulled.model,
        fetched,
    )
    with task("asking") as asking:
        return recompute(
            folders,
            part,
            find_region(resolution.region),
            resolution.alpha.value,
            adapter.weight,
            read_predictions(answers / EVIDENCE),
            progress=asking.update,
        )


def _print_figures(pulled: Pulled, part: DemoFamily, demo: DemoFigures, out: Output) -> None:
    names = {0.0: ["base"], 1.0: ["unmerged adapter"]}
    names.setdefault(demo.beta, []).append("merged")
    out.line("")
    out.table(
        ("beta", "English names", f"{demo.languages} names", "GRP", ""),
        [
            (
                f"{row.beta:g}",
                *(figure.text() for figure in (row.english, row.regional, row.grp)),
                " = ".join(names.get(row.beta, [])),
            )
            for row in demo.rows
        ],
        title=f"{part.family}, {'the full grid' if part.complete else 'a part'} of the test: {part.scored}, "
        f"in %, 95 % intervals over {counted(demo.rows[0].english.pictures, 'picture')}; GRP above chance, alpha "
        f"{pulled.lock.resolution.alpha.value:.3f}",
    )
    if demo.others:
        betas = sorted({0.0, demo.beta, 1.0})
        out.line("")
        out.table(
            ("in another metric", *(f"beta {beta:g}" for beta in betas)),
            [
                (
                    title,
                    *(
                        interval_text(s.score, s.low, s.high, digits=1)
                        for s in (scores[beta] for beta in betas)
                    ),
                )
                for title, scores in demo.others.items()
            ],
        )
    out.line("")
    out.line(f"{demo.equal} of {demo.answers} answers equal those in the adapter's evidence.")
    answers = "gives the same answers" if demo.merged_equal else "DOES NOT GIVE THE SAME ANSWERS"
    out.line(f"The merged folder, loaded from disk, {answers} as base + {demo.beta:g} * Delta.")
    if demo.validated is not None:
        out.line(f"beta chosen again on validation: {demo.validated:g}.")
    out.line(f"Of base, merged and unmerged adapter the best GRP here is that of: {demo.best}.")
    for rival in demo.rivals:
        undetermined = ": the interval includes 0, so it is undetermined"
        sure = "" if rival.lead.excludes_zero else undetermined
        out.line(f"  ahead of {rival.label} by {rival.lead.text()} points{sure}")


def _draw(pulled: Pulled, part: DemoFamily, demo: DemoFigures) -> Path:
    from ggez_hub.evaluation.report.trade_off import Labels, Point, draw

    name = find_region(pulled.lock.resolution.region).name
    points = [Point(row.beta, row.english, row.regional, row.grp) for row in demo.rows]
    labels = Labels(
        title=f"What {name} gains and English loses: {part.name}",
        global_side="English names (%)",
        regional_side=f"{demo.languages} names (%)",
        alpha=pulled.lock.resolution.alpha.value,
    )
    picture = pulled.folder / "trade-off.png"
    draw(points, picture, labels, demo.beta)
    return picture


def _as_json(pulled: Pulled, demo: DemoFigures, picture: Path) -> dict[str, object]:
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


def _figure(estimate: Interval) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}
