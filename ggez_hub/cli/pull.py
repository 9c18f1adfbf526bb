"""`pull`, `resolve` and `search`: a base model adapted to a region, and what there is to pull."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import NEW, out_option
from ggez_hub.cli.request import PullOptions, index_option, print_region, request_options
from ggez_hub.cli.resolution import print_resolution, print_table, resolution_json
from ggez_hub.cli.trust import TrustOptions, signing_option, trust_options
from ggez_hub.digests import sha256_file
from ggez_hub.errors import UsageProblem
from ggez_hub.families import get_family
from ggez_hub.hub_connection import connect
from ggez_hub.regions import fallback_chain, find_region
from ggez_hub.registry.pull.target import require_pullable
from ggez_hub.registry.request import IndexChoice, Request

if TYPE_CHECKING:
    from ggez_hub.registry.index.entries import IndexEntry

offline_option = click.option(
    "--offline", is_flag=True, help="Ask no hub: use the cache only (HF_HUB_OFFLINE=1)."
)


@click.command("pull")
@request_options
@out_option("A new folder.  [default: ./ggez-REGION]", required=False)
@click.option("--locked", is_flag=True, help="Resolve nothing: take what the lock file pins.")
@click.option(
    "--lock", "lock_file", type=NEW, help="The lock file of --locked.  [default: OUT/ggez.lock]"
)
@click.option("--dry-run", is_flag=True, help="Print what would be done and what it costs.")
@click.option(
    "--explain",
    is_flag=True,
    help="Every candidate with its reason, what each policy chooses, and all loading lines.",
)
@click.option("--show-licenses", is_flag=True, help="All that the licences ask.")
@click.option("--verify", is_flag=True, help="Read every byte of a folder that is there already.")
@click.option(
    "--merge-here", is_flag=True, help="Merge here, although others have published the result."
)
@click.option("--push", "repo", metavar="ORG/NAME", help="Publish the result there.")
@click.option("--private", is_flag=True, help="Make the repository of --push private.")
@click.option("--pr", is_flag=True, help="With --push: open a pull request instead of committing.")
@signing_option
@trust_options
@offline_option
@hub_option
@output_options
def pull_command(
    request: Request,
    target: Path | None,
    trusted: TrustOptions,
    hub: str,
    out: Output,
    **options: Any,
) -> None:
    """Pull a base model adapted to a region, merged and ready to load.

    Finds the region's adapter on the hub, chooses beta by Global-Regional Parity, merges through
    mergekit, and writes OUT/FAMILY/ with a lock file beside it.
    """
    given = PullOptions(target or Path(f"ggez-{find_region(request.region).id}"), **options)
    if given.lock_file is not None and not given.locked:
        raise UsageProblem("--lock names the lock file of --locked", "Add --locked.")
    if given.offline and given.repo is not None:
        raise UsageProblem("--push needs the hub, which --offline forbids to ask")
    if given.pr and given.repo is None:
        raise UsageProblem("--pr is for --push", "Name the repository: --push ORG/NAME --pr")

    if not given.dry_run:
        require_pullable(given.target)

    from ggez_hub.cli.pull_cache import answer_from_cache

    with connect(hub, quiet=out.quiet, offline=given.offline) as connected:
        server = trusted.on(connected)
        if given.is_plain and answer_from_cache(request, server, given.target, out):
            return
        print_region(request, out)
        from ggez_hub.cli.pull_steps import run_pull

        run_pull(request, server, given, out)


@click.command("resolve")
@request_options
@trust_options
@offline_option
@hub_option
@output_options
def resolve_command(
    request: Request, trusted: TrustOptions, offline: bool, hub: str, out: Output
) -> None:
    """Show what a pull would take, and why.

    Every candidate with its reason. Nothing is written.
    """
    from ggez_hub.cli.pull_steps import plan_or_ask

    print_region(request, out)
    with connect(hub, quiet=out.quiet, offline=offline) as server:
        # Nothing will be fetched, of whatever size.
        planned = plan_or_ask(request, trusted.on(server), None, out, costs_only=True)
    print_resolution(planned, out, explain=True, licences=True)
    print_table(planned.table, out, explain=True)
    out.document(resolution_json(planned.resolution, planned))


@click.command("search")
@click.option("--region", help="Only adapters that serve this region.")
@click.option("--family", help="Such as embedding, diffusion or vlm.")
@click.option(
    "--sha256", "file", metavar="FILE", help="Only adapters with this file, or this sha256."
)
@index_option
@trust_options
@hub_option
@output_options
def search_command(
    region: str | None,
    family: str | None,
    file: str | None,
    index: IndexChoice | None,
    trusted: TrustOptions,
    hub: str,
    out: Output,
) -> None:
    """List the adapters on a hub, by region and family.

    They are those of the hub's index, or of the index that ggez-hub ships if the hub has none. With
    --sha256: those that contain a file, with who published and registered them.
    """
    from ggez_hub.registry.index.search import known_entries

    if family is not None:
        get_family(family)
    sha256 = _sha256(file) if file else None
    chain = [r.id for r in fallback_chain(find_region(region))] if region else None
    with connect(hub, quiet=out.quiet) as server:
        listing = known_entries(trusted.on(server), index, chain, file_sha256=sha256)
        found = [
            entry
            for entry in listing.entries
            if family in {None, entry.summary.family}
            and (chain is None or entry.summary.region in chain)
        ]
        # Who registered them stands in the cards alone.
        rows = [
            _as_dict(entry) | (_registration(entry, sha256) if sha256 else {}) for entry in found
        ]
    if listing.shipped:
        out.note(f"{listing.shipped}.")
    rows.sort(key=lambda row: (row["region"], row["adapter"]))
    if sha256:
        out.line(f"sha256 {sha256}")
    columns = ["adapter", "region", "family", "kind", "level", "licence", "status"]
    columns += ["file", "published_by", "registered_by"] if sha256 else []
    out.table(
        [name.replace("_", " ") for name in columns],
        [[row[name] for name in columns] for row in rows],
        figures=False,
        optional=("level", "kind", "licence", "family", *(("region", "file") if sha256 else ())),
    )
    if not rows:
        out.line(
            "No accepted adapter has this file, as far as the cards name their files."
            if sha256
            else "The index holds no such adapter."
        )
    state = {entry.repo: entry.summary.state for entry in found}
    out.document([row | {"status": state[row["adapter"]]} for row in rows])


def _sha256(file: str) -> str:
    """The sha256 of a file, or the one that was given instead; raises UsageProblem."""
    path = Path(file)
    if path.is_file():
        return sha256_file(path)
    if not re.fullmatch("[0-9a-fA-F]{64}", file):
        raise UsageProblem(
            f"--sha256 {file}: there is no such file", "Give a file, or the 64 digits of a sha256."
        )
    return file.lower()


def _as_dict(entry: IndexEntry) -> dict[str, Any]:
    summary = entry.summary
    return {
        "adapter": entry.repo,
        **summary.model_dump(include={"region", "family", "kind", "level"}),
        "licence": summary.license,
        "base": summary.base_repo,
        "index": "shipped" if entry.card.repo_type == "package" else "hub",
        "status": summary.status,
        "reason": summary.reason,
        "superseded_by": summary.superseded_by,
    }


def _registration(entry: IndexEntry, sha256: str) -> dict[str, Any]:
    """The file's name in the adapter, and who answers for the card; raises NotFit."""
    from ggez_hub.cards.values import UNKNOWN

    card = entry.document.card
    records = {} if card.files == UNKNOWN else card.files
    return {
        "file": next((path for path, record in records.items() if record.sha256 == sha256), None),
        "published_by": card.published_by,
        "registered_by": card.registered_by,
        "registered": entry.summary.registered,
    }
