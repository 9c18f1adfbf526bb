"""`demo`: the quick start. Pulls from a hub on this machine, and their tables recomputed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import NEW

if TYPE_CHECKING:
    from ggez_hub.hub import Hub
    from ggez_hub.registry.pulling.pull import Pulled
    from ggez_hub.world.demo import Demo, Folders
    from ggez_hub.world.parts import Part


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
    from ggez_hub.cli.demo_table import document, tell
    from ggez_hub.cli.pulling import Mode, run
    from ggez_hub.cli.resolving import tell_region
    from ggez_hub.hubs import connect
    from ggez_hub.regions import find_region
    from ggez_hub.registry.request import Request
    from ggez_hub.world.place import places
    from ggez_hub.world.seed import ASSETS

    asked = find_region(region)
    first = target or Path(f"ggez-demo-{asked.id}")
    request = Request(region, family="embedding")
    tell_region(request, out)
    # A pull's own JSON would be another document.
    quiet = Output(quiet=True) if out.as_json else out
    found = {}
    with connect("embedded", quiet=out.quiet) as hub:
        for place in places(ASSETS):
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


def _asked_again(pulled: Pulled, part: Part, hub: Hub, out: Output) -> Demo:
    from ggez_hub.evaluation.predictions import read_predictions
    from ggez_hub.regions import find_region
    from ggez_hub.world.demo import recompute
    from ggez_hub.world.place import EVIDENCE

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
    from ggez_hub.registry.pulling.pull import fetch_pinned
    from ggez_hub.world.demo import Folders
    from ggez_hub.world.seed import DATA

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
