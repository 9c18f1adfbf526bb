"""`ci pin`, `retune`, `measure`, `publish`, `affected`: what the registry does without a contribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cli.ci.workflow import clone_option, keep_option, program_commit, summary
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.trust import signing_option
from ggez_hub.errors import GgezError, first_line
from ggez_hub.hub_connection import connect
from ggez_hub.quantities import counted

if TYPE_CHECKING:
    from ggez_hub.automation.commit_pins import LoosePin
    from ggez_hub.registry.trust.signing import SigningKey


@click.command("pin")
@click.argument(
    "files",
    metavar="[FILE]...",
    nargs=-1,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@clone_option
@click.option("--check", "only_check", is_flag=True, help="List what is not pinned; write nothing.")
@hub_option
@output_options
def pin_command(
    files: tuple[Path, ...], repository: Path, only_check: bool, hub: str, out: Output
) -> None:
    """Replace `main` by its current commit, in cards and recipes.

    All accepted cards and recipes of the clone if no file is named, and the image of its jobs: the
    tag gets the digest that its registry reports. Comments and form stay. What differs from what
    others record (recipes/expected.yaml) is printed; what the hub has is written. A file one of
    whose repositories cannot be asked is left unchanged; --check ends with 1 if anything is not
    pinned.
    """
    from ggez_hub.automation.budget import PLACE
    from ggez_hub.automation.commit_pins import NotPinned, Pinner, pinnable
    from ggez_hub.automation.container_image import pin_image

    places = list(files) or pinnable(repository)
    budget = None if files or not (repository / PLACE).is_file() else repository / PLACE
    if only_check:
        _require_pins(places, budget, out)
        return
    pinned: list[LoosePin] = []
    refused = []
    with connect(hub, quiet=True) as server:
        pinner = Pinner(server)
        for file in places:
            try:
                changed = pinner.pin(file)
            except NotPinned as problem:
                refused.append(problem.message)
                continue
            for loose in changed:
                out.line(f"{file} line {loose.line}: {loose.repo}@{pinner.commit(loose)}")
            pinned += changed
    for text in pinner.differ:
        out.line(f"differs: {text}")
    image = None
    if budget is not None:
        try:
            if image := pin_image(budget):
                out.line(f"{budget}: {image}")
        except NotPinned as problem:
            refused.append(problem.message)
    out.document(
        {
            "pinned": [_as_dict(loose) for loose in pinned],
            "differ": pinner.differ,
            "image": image,
            "refused": refused,
        }
    )
    if refused:
        raise GgezError(
            "these files stay as they were:\n  " + "\n  ".join(refused),
            "Of a gated repository ask for access on its page, and set HF_TOKEN.",
        )


def _require_pins(places: Sequence[Path], budget: Path | None, out: Output) -> None:
    """List what is not pinned; raises GgezError if there is anything."""
    from ggez_hub.automation.commit_pins import loose_places
    from ggez_hub.automation.container_image import loose_image

    found = [loose for file in places for loose in loose_places(file)]
    for loose in found:
        out.line(f"{loose.file} line {loose.line}: {loose.repo} at main")
    image = loose_image(budget) if budget is not None else None
    if image is not None:
        out.line(f"{budget}: the image {image} by its tag")
    out.document({"unpinned": [_as_dict(loose) for loose in found], "image": image})
    if image is not None and not found:
        raise GgezError(f"the image {image} is not pinned", "`ggez-hub ci pin` does it.")
    if found:
        raise GgezError(
            f"{counted(len(found), 'repository is', 'repositories are')} not pinned in "
            f"{counted(len({f.file for f in found}), 'file')}",
            "`ggez-hub ci pin` writes their commits.",
        )


def _as_dict(loose: LoosePin) -> dict[str, object]:
    return {"file": str(loose.file), "line": loose.line, "repo": loose.repo}


@click.command("retune")
@clone_option
@click.option("--release", help="Of the KOF index.  [default: the newest there is]")
@click.option("--year", type=int, help="Of the release.  [default: its latest]")
@click.option("--dry-run", is_flag=True, help="Open nothing; print what would change.")
@hub_option
@output_options
def retune_command(
    repository: Path, release: str | None, year: int | None, dry_run: bool, hub: str, out: Output
) -> None:
    """Open a pull request for each accepted card whose alpha is of an older release or year.

    Releases are committed as kof/<year>.csv. beta is chosen again from the curves that the index
    has, without evaluation. Run again, it opens nothing twice.
    """
    from ggez_hub.automation.git_changes import import_committed
    from ggez_hub.automation.github import GitHub
    from ggez_hub.automation.registry_pull_requests import alpha_updates
    from ggez_hub.parity.betas import as_json

    newest = import_committed(repository)
    github = None if dry_run else GitHub.of_environment()
    lines, document = [], []
    with connect(hub, quiet=True) as server:
        for update in alpha_updates(repository, server, release or newest, year):
            state, url = ("found", None) if github is None else github.propose(update.proposal)
            before, after, choice = None, None, "no curve"
            if update.retuned is not None:
                taken, after = update.retuned.taken, as_json(update.retuned.beta)
                before = None if taken is None else as_json(taken)
                chosen = "none" if taken is None else f"{taken:g}"
                choice = f"beta {chosen} to {update.retuned.beta:g}"
            lines.append(
                f"{update.proposal.path}: alpha {update.before.value:.5f} to "
                f"{update.after.value:.5f}, {choice}: {state}{f' {url}' if url else ''}"
            )
            document.append(
                {
                    "card": update.proposal.path,
                    "alpha_before": update.before.value,
                    "alpha": update.after.value,
                    "beta_before": before,
                    "beta": after,
                    "state": state,
                    "pull_request": url,
                }
            )
    if not lines:
        lines = [
            f"Nothing changes: every active card has the alpha of release {release or newest}."
        ]
    out.lines(lines)
    summary("\n".join(f"- {line}" for line in lines) + "\n")
    out.document({"release": release or newest, "cards": document})


WORK = click.option("--work", required=True, type=click.Path(path_type=Path, file_okay=False))


@click.command("measure")
@clone_option
@WORK
@keep_option
@hub_option
@output_options
def measure_command(repository: Path, work: Path, keep: Path | None, hub: str, out: Output) -> None:
    """Measure what was accepted and is new; publish nothing.

    Models of strangers are run here, so this step gets no token that writes. `ci publish` with the
    same --work takes what was measured.
    """
    from ggez_hub.automation.budget import read_budget
    from ggez_hub.automation.indexed_cards import indexed_cards
    from ggez_hub.automation.publication import Publisher

    with connect(hub, quiet=True) as server:
        budget, evaluator = read_budget(repository), program_commit(repository)
        publisher = Publisher(repository, server, work, budget, evaluator, out.line, keep)
        found = publisher.measure(indexed_cards(server))
    (work / "evidence").mkdir(parents=True, exist_ok=True)
    out.document({path: outcome.standing for path, outcome in found.items()})


@click.command("publish")
@clone_option
@WORK
@keep_option
@click.option(
    "--merged",
    multiple=True,
    metavar="CARD",
    help="Publish this card's merged weights although they are large.",
)
@click.option(
    "--large",
    is_flag=True,
    envvar="GGEZ_LARGE",
    help="This machine merges what a runner of GitHub cannot.",
)
@signing_option
@hub_option
@output_options
def publish_command(
    repository: Path,
    work: Path,
    keep: Path | None,
    merged: tuple[str, ...],
    large: bool,
    by: SigningKey | None,
    hub: str,
    out: Output,
) -> None:
    """Measure what was accepted, publish the index with its evidence, push the results.

    Merged weights below the budget's merged_gb, else the adapter form. In a run with an identity
    each repository is written by its own Trusted Publisher's token, else by HF_TOKEN.
    """
    from ggez_hub.automation.budget import read_budget
    from ggez_hub.automation.publication import Publisher
    from ggez_hub.automation.result_repository import Pusher

    budget = read_budget(repository)
    on_request = frozenset(path for path in merged if path)
    with connect(hub, quiet=True) as server:
        publisher = Publisher(
            repository, server, work, budget, program_commit(repository), out.line, keep, by
        )
        pusher = Pusher(server, budget, work / "results", out.line, on_request, large, by)
        done, standings = publisher.publish(pusher)
    out.line(f"index @ {done.revision[:12]}: {counted(done.built.cards, 'card')}")
    for standing in standings:
        place = f"{standing.form} form at {standing.place}" if standing.place else "no result"
        reason = f": {standing.reason}" if standing.reason else ""
        out.line(f"{standing.path}: {place}{reason}")
    out.document({"index": done.revision, "cards": [asdict(s) for s in standings]})


# In one run: a stranger's lock names what it likes.
MOST_MARKED = 10


@click.command("affected")
@click.option("--dry-run", is_flag=True, help="Open nothing; print what is affected.")
@signing_option
@hub_option
@output_options
def affected_command(dry_run: bool, by: SigningKey | None, hub: str, out: Output) -> None:
    """Open a pull request at each published merge that was made of what was yanked, or is gone.

    It marks the merge's card, or takes the mark off where the yank was lifted, and signs again what
    this key or workflow had signed. At most 10 new ones in one run; run again, it opens nothing
    twice.
    """
    from huggingface_hub.errors import HfHubHTTPError

    from ggez_hub.automation.affected_pull_requests import propose_mark
    from ggez_hub.registry.affected import affected_merges

    document = []
    opened = 0
    with connect(hub, quiet=True) as server:
        found = affected_merges(server)
        for repo, reason in found.unreadable:
            out.line(f"{repo}: {reason}")
        for merge in found.merges:
            state = "lifted" if merge.is_lifted else "affected"
            url, why = None, "; ".join(map(str, merge.causes))
            if not dry_run:
                try:
                    done = propose_mark(merge, server, by)
                    state, url = done.state, done.url
                except (GgezError, HfHubHTTPError) as problem:
                    state, why = "left", first_line(problem)
            out.line(f"{merge.repo}: {state}{f' {url}' if url else ''} ({why})")
            document.append({**asdict(merge), "state": state, "pull_request": url})
            opened += state == "opened"
            if opened == MOST_MARKED:
                out.line(f"{MOST_MARKED} are opened: the others wait for the next run")
                break
    if not document:
        out.line("No published merge is affected.")
    summary("\n".join(f"- {each['repo']}: {each['state']}" for each in document) + "\n")
    out.document({"merges": document})
