"""`humans new`, `serve`, and the raters of a study: `invite`, `raters`, `revoke`, `forget`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import FILE, FOLDER, NEW_FOLDER, listening_options, out_option
from ggez_hub.errors import UsageProblem
from ggez_hub.hub import Hub
from ggez_hub.hub_connection import connect
from ggez_hub.humans.assignment import queue, raters_needed
from ggez_hub.humans.store import Store
from ggez_hub.humans.study import Side, Study, read_study
from ggez_hub.quantities import counted

SIDES = click.Choice(["global", "regional"])
KINDS = click.Choice(["person", "simulated"])
ADDRESS = "http://127.0.0.1:8000"


@click.command("new")
@click.argument("file", metavar="STUDY.yaml", type=FILE)
@out_option("A new folder for the study.", NEW_FOLDER, required=False)
@click.option(
    "--plan", is_flag=True, help="Print how many judgements are needed; no model is asked."
)
@hub_option
@output_options
def new_command(file: Path, target: Path | None, plan: bool, hub: str, out: Output) -> None:
    """Make a study from a YAML file: models, items and outputs, pinned by their digests.

    Models are asked on this machine, unless the items or a results folder have their outputs.
    """
    from ggez_hub.humans.pinning import make_study

    if target is None and not plan:
        raise UsageProblem("a study needs a folder", f"ggez-hub humans new {file} -o DIR")
    with connect(hub, quiet=out.quiet) as server:
        if plan or target is None:
            print_plan(file, server, out)
            return
        study = make_study(file, target, server)
    _print_study(study, target, out)


def print_plan(file: Path, hub: Hub, out: Output) -> None:
    """Print what a study can show before it is made."""
    from ggez_hub.humans.pinning import plan_study
    from ggez_hub.humans.power import plan

    found = plan(plan_study(file, hub))
    out.document(asdict(found))
    out.line(
        f"To show {found.difference:g} points of {found.model} over {found.other} "
        f"({found.measure}) in {found.target:.0%} of repetitions:"
    )
    rows = [("as the study is", found.planned)]
    rows += [("needed", found.needed)] if found.needed else []
    out.table(
        ("", "items", "raters", "judgements", "power", "points shown"),
        [
            (
                name,
                f"{w.items:,}",
                f"{w.raters:,}",
                f"{w.judgements:,}",
                f"{w.power:.0%}",
                f"{w.shown:.1f}",
            )
            for name, w in rows
        ],
    )
    if found.needed is None:
        out.line("A study cannot have so many items: nothing shows a difference as small as this.")
    groups = ", ".join(f"{side} in {language}" for side, language in found.groups)
    out.line(f"Groups of raters: {groups}. Judgements include repeats and gold.")
    out.line(f"Assumed: of the variance of a judgement {found.spread}.")


def _print_study(study: Study, folder: Path, out: Output) -> None:
    gold = sum(item.gold is not None for item in study.items)
    groups = _groups(study)
    out.document(
        {
            "study": study.digest,
            "folder": str(folder),
            "items": len(study.items) - gold,
            "gold": gold,
            "models": {model.name: model.digest for model in study.models},
            "raters": [{"side": s, "language": t, "needed": n} for (s, t), n in groups.items()],
        }
    )
    out.line(
        f"{study.name}: {counted(len(study.items) - gold, 'item')} and {gold} of gold, design "
        f"{study.design.name}, digest {study.digest}"
    )
    out.table(
        ("model", "role", "sha256"),
        [(m.name, m.role, m.digest) for m in study.models],
        figures=False,
    )
    out.table(
        ("raters", "language", "needed"),
        [(side, language, str(needed)) for (side, language), needed in groups.items()],
    )
    side, language = next(iter(groups))
    out.line(f"Next: ggez-hub humans invite {folder} --side {side} --language {language} -n 1")


def _groups(study: Study) -> dict[tuple[Side, str], int]:
    """Side and language -> how many raters of them give every set its judgements."""
    return {
        (side, language): raters_needed(study, side, language)
        for side in study.rater_sides
        for language in study.raters[side]
    }


@click.command("invite")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--side", type=SIDES, required=True, help="Where the raters are from.")
@click.option("--language", required=True, metavar="TAG", help="In which they work: th, en, ...")
@click.option("--kind", type=KINDS, default="person", show_default=True,
              help="simulated: for scripts; their ratings are never used for ranking or gates.")  # fmt: skip
@click.option(
    "-n",
    "count",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="How many raters.",
)
@click.option(
    "--address", default=ADDRESS, show_default=True, help="Where raters reach `humans serve`."
)
@output_options
def invite_command(
    folder: Path, side: Side, language: str, kind: Any, count: int, address: str, out: Output
) -> None:
    """Invite raters: a link for each, which is printed now and never again."""
    study = read_study(folder)
    groups = _groups(study)
    if (side, language) not in groups:
        known = ", ".join(f"--side {s} --language {tag}" for s, tag in groups)
        raise UsageProblem(f"the study has no raters of {side} in {language}", f"Raters: {known}.")
    store = Store(folder)
    links = [f"{address.rstrip('/')}/r/{store.invite(side, language, kind)}" for _ in range(count)]
    out.document({"links": links})
    out.lines(links)
    people = sum(
        (r.side, r.language, r.kind, r.revoked) == (side, language, kind, False)
        for r in store.raters()
    )
    out.note(f"{people} of the {groups[side, language]} raters that the study needs are invited")


@click.command("raters")
@click.argument("folder", metavar="DIR", type=FOLDER)
@output_options
def raters_command(folder: Path, out: Output) -> None:
    """List the raters of a study, by pseudonym, with their progress."""
    study, store = read_study(folder), Store(folder)
    raters = store.raters()
    rows: list[dict[str, Any]] = [
        {
            "rater": rater.id,
            "side": rater.side,
            "language": rater.language,
            "kind": rater.kind,
            "country": rater.country,
            "judged": len(store.judged(rater.id)),
            "of": len(queue(study, rater.side, rater.language, rater.number)),
            "state": "revoked" if rater.revoked else "taking part" if rater.consent else "invited",
        }
        for rater in raters
    ]
    invited = Counter((r.side, r.language) for r in raters if not r.revoked and r.kind == "person")
    groups = [
        {"side": side, "language": language, "invited": invited[side, language], "needed": needed}
        for (side, language), needed in _groups(study).items()
    ]
    out.document({"raters": rows, "groups": groups})
    for listed in (rows, groups):
        if listed:
            cells = [["-" if v is None else str(v) for v in row.values()] for row in listed]
            out.table([*listed[0]], cells, figures=False)


@click.command("revoke")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.argument("rater")
@output_options
def revoke_command(folder: Path, rater: str, out: Output) -> None:
    """Withdraw an invitation; what the rater has judged stays."""
    read_study(folder)
    Store(folder).revoke(rater)
    out.document({"revoked": rater})
    out.line(f"{rater} can judge no more")


@click.command("forget")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.argument("rater")
@output_options
def forget_command(folder: Path, rater: str, out: Output) -> None:
    """Delete a rater and every judgement of theirs, and files that may hold them."""
    read_study(folder)
    # First, so that a forgotten rater is in none of them whenever this is cut off; and what was written
    # meanwhile.
    _remove_scores(folder)
    try:
        Store(folder).forget(rater)
    finally:
        _remove_scores(folder)
    out.document({"forgotten": rater})
    out.line(f"{rater} is forgotten; what was exported or published before is still elsewhere")
    out.line(f"Next: ggez-hub humans score {folder}")


@click.command("serve")
@click.argument("folder", metavar="DIR", type=FOLDER)
@listening_options
@click.option(
    "--address",
    metavar="URL",
    help="The address at which raters reach it, of a proxy that sends Host and X-Forwarded-For.",
)
@output_options
def serve_command(folder: Path, host: str, port: int, address: str | None, out: Output) -> None:
    """Serve a study to its raters: a page for phones and computers, in their languages.

    Each rater opens the link of an invitation (humans invite). Every judgement is on the disk
    before the next item is shown. Ctrl-C ends it; it can be started again at any time.
    """
    from ggez_hub.humans.server import serve

    def announce(url: str) -> None:
        out.line(url)
        out.document({"address": url, "study": str(folder.absolute())})

    serve(folder, host, port, address, announce)


def _remove_scores(folder: Path) -> None:
    """Remove the ratings and scores of a study, and what is on its way to them."""
    from ggez_hub.evaluation.people.ratings import RATINGS
    from ggez_hub.evaluation.people.scores import SCORES

    for name in (RATINGS, SCORES):
        for path in (folder / name, *folder.glob(f".{name}.*.partial")):
            path.unlink(missing_ok=True)
