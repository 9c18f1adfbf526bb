"""`demo`: the world's other families in brief, each pulled and asked again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.cli.output import Output

if TYPE_CHECKING:
    from ggez_hub.evaluation.comparison import Estimate
    from ggez_hub.evaluation.task import Dataset
    from ggez_hub.hub import Hub
    from ggez_hub.registry.pulling.pull import Pulled
    from ggez_hub.registry.request import Request
    from ggez_hub.world.brief import Brief
    from ggez_hub.world.demo import Folders
    from ggez_hub.world.place import Place


def folders_of(pulled: Pulled, hub: Hub, dataset: Dataset) -> Folders:
    """Where the parts of a pulled model lie, fetched as they are pinned."""
    from ggez_hub.registry.pulling.pull import fetch_pinned
    from ggez_hub.world.demo import Folders

    resolution = pulled.lock.resolution
    data = hub.at_commit(dataset.repo, dataset.revision, "dataset")
    return Folders(
        base=fetch_pinned(resolution.merged_into, hub),
        adapter=fetch_pinned(resolution.adapters[0].source, hub),
        merged=pulled.model,
        data=hub.fetch(data.repo, data.revision, data.files, "dataset"),
    )


def in_brief_of_others(
    request: Request, place: Path, hub: Hub, out: Output
) -> dict[str, dict[str, object]]:
    """Pull each other family that serves the region beside `place`, and show its table."""
    from ggez_hub.cli.pulling import Mode, run
    from ggez_hub.regions import find_region
    from ggez_hub.world.place import places
    from ggez_hub.world.seed import ASSETS

    region, found = find_region(request.region).id, {}
    for other in places(ASSETS):
        family = other.part.family
        if family == request.family or region not in other.adapters:
            continue
        out.line("")
        target = place.with_name(f"{place.name}-{family}")
        pulled = run(replace(request, family=family), hub, Mode(target), out)
        assert pulled is not None  # noqa: S101 - only a dry run gives nothing
        brief = _asked_again(pulled, hub, other, out)
        found[family] = _told(pulled, brief, out)
    return found


def _asked_again(pulled: Pulled, hub: Hub, other: Place, out: Output) -> Brief:
    from ggez_hub.evaluation.predictions import read_predictions
    from ggez_hub.evaluation.task import load_tasks
    from ggez_hub.families import get_family
    from ggez_hub.registry.index.reading import read_pinned_card
    from ggez_hub.resources import recipes
    from ggez_hub.world.brief import in_brief
    from ggez_hub.world.cards import EVIDENCE
    from ggez_hub.world.prose import prose_of

    resolution = pulled.lock.resolution
    (adapter,) = resolution.adapters
    assert adapter.weight is not None  # noqa: S101 - the world's adapters are LoRAs
    tasks = load_tasks(recipes() / other.part.tasks)
    listing = hub.at_commit(adapter.source.repo, adapter.source.revision)
    answers = hub.fetch(
        listing.repo, listing.revision, [f for f in listing.files if f.path == EVIDENCE]
    )
    with out.progress("steps") as progress:
        bar = progress.add_task("asking", total=None)
        return in_brief(
            folders_of(pulled, hub, tasks[0].dataset),
            read_pinned_card(hub, adapter.card).card,
            tasks,
            get_family(resolution.family),
            prose_of(other.part),
            resolution.alpha.value,
            adapter.weight,
            read_predictions(answers / EVIDENCE),
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )


def _told(pulled: Pulled, brief: Brief, out: Output) -> dict[str, object]:
    resolution = pulled.lock.resolution
    beta = resolution.adapters[0].weight
    names = {0.0: ["base"], 1.0: ["unmerged adapter"]}
    names.setdefault(beta or 0.0, []).append("merged")
    out.line("")
    out.table(
        ("beta", "English names", "regional names", "GRP", ""),
        [
            (
                f"{row.beta:g}",
                *(_shown(figure) for figure in (row.english, row.regional, row.grp)),
                " = ".join(names.get(row.beta, [])),
            )
            for row in brief.rows
        ],
        title=f"{resolution.family}: one of four names for a picture in %, chance 25, 95 % intervals "
        f"over {brief.pictures} pictures, a part of the test; the card has all",
    )
    out.line(
        f"{brief.answers_equal} of {brief.answers} answers equal those in the adapter's evidence."
    )
    same = "gives the same answers" if brief.merged_equal else "DOES NOT GIVE THE SAME ANSWERS"
    out.line(f"The merged folder, loaded from disk, {same} as base + {beta:g} * Delta.")
    return {
        "out": str(pulled.folder),
        "beta": beta,
        "pictures": brief.pictures,
        "grid": [
            {
                "beta": row.beta,
                "global": _figure(row.english),
                "regional": _figure(row.regional),
                "grp": _figure(row.grp),
            }
            for row in brief.rows
        ],
        "answers": {"asked": brief.answers, "equal": brief.answers_equal},
        "merged_equal": brief.merged_equal,
    }


def _figure(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
