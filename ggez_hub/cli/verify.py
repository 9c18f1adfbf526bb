"""`verify`: a pulled folder against its lock file, or scores against their predictions."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import ANYTHING, FILE
from ggez_hub.errors import UsageProblem

if TYPE_CHECKING:
    from ggez_hub.evaluation.results.verification import Verification
    from ggez_hub.evaluation.sweep.rerun import RepeatedAnswer


@click.command(
    "verify", short_help="Check a pulled folder against its lock, or scores against predictions."
)
@click.argument("place", metavar="DIR_OR_CARD", type=ANYTHING)
@click.option(
    "--rerun",
    "count",
    type=click.IntRange(min=1),
    default=None,
    metavar="K",
    help="Ask the model K random questions of a results folder again.",
)
@click.option(
    "--recipe",
    type=FILE,
    default=None,
    help="Of --rerun: the recipe of a sweep, instead of what the results say of their origin.",
)
@click.option(
    "--key-variable",
    default=None,
    metavar="NAME",
    help="Of --rerun: the environment variable with the key of an endpoint.",
)
@click.option(
    "--endpoint",
    "endpoints",
    multiple=True,
    metavar="ADDRESS",
    help="Of --rerun: the endpoint that the results name; it is asked only if you name it too.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of --rerun: which K.")
@click.option(
    "--closed",
    type=FILE,
    default=None,
    help="The predictions of the closed part, published after its rotation: recompute it too.",
)
@hub_option
@output_options
def verify_command(
    place: Path,
    count: int | None,
    recipe: Path | None,
    key_variable: str | None,
    endpoints: tuple[str, ...],
    seed: int,
    closed: Path | None,
    hub: str,
    out: Output,
) -> None:
    """Check a pulled folder against its lock, or scores against predictions.

    A pulled folder (ggez.lock): every byte of every output is read. A results folder (results.json)
    or an adapter's folder with its card and evidence: every score, interval, GRP and beta is
    recomputed from the predictions, without a model. With --rerun the model answers some of them again:
    the one that the results name, or that of a recipe.
    """
    from ggez_hub.evaluation.results.evidence import CARD, RESULTS
    from ggez_hub.registry.constants import LOCK_NAME

    if count is None and (recipe is not None or key_variable is not None or endpoints):
        raise UsageProblem(
            "--recipe, --key-variable and --endpoint are for --rerun", "verify DIR --rerun 20"
        )
    if count is not None:
        again = _rerun(place, count, recipe, key_variable, endpoints, seed, hub, out)
        show_scores(place, out, again=again, closed=closed)
        return
    names = (RESULTS, CARD)
    folder = place.is_dir()
    if not folder or (
        not (place / LOCK_NAME).is_file() and any((place / name).is_file() for name in names)
    ):
        show_scores(place, out, closed=closed)
    elif closed is not None:
        raise UsageProblem(f"{place} holds a merge, not scores", "Leave --closed out.")
    else:
        _verify_lock(place, out)


def _verify_lock(folder: Path, out: Output) -> None:
    from ggez_hub.registry.constants import LOCK_NAME
    from ggez_hub.registry.local_merge import merge as merge_card
    from ggez_hub.registry.lock import LockMismatch, MergeLock, differences, read_any_lock
    from ggez_hub.registry.pull import result_card

    lock = read_any_lock(folder / LOCK_NAME)
    found = differences(lock, folder, digests=True)
    if isinstance(lock, MergeLock):
        card = folder / "README.md"
        if card.is_file():
            found += merge_card.unstated(lock.merge, card.read_text(encoding="utf-8"))
        mend = "Merge it again into another folder."
    else:
        card = folder / lock.resolution.family / "README.md"
        if card.is_file():
            found += result_card.unstated(lock.resolution, card.read_text(encoding="utf-8"))
        mend = (
            f"Pull it again: ggez-hub pull --region {lock.resolution.region} --locked --lock "
            f"{shlex.quote(str(folder / LOCK_NAME))} -o ANOTHER_FOLDER"
        )
    out.document({"folder": str(folder), "ok": not found, "differences": found})
    if found:
        raise LockMismatch(f"{folder} is not what its lock says:\n  " + "\n  ".join(found), mend)
    out.line(f"{folder}: {len(lock.outputs)} files are what the lock says")


def _rerun(
    place: Path,
    count: int,
    recipe: Path | None,
    key_variable: str | None,
    endpoints: tuple[str, ...],
    seed: int,
    hub: str,
    out: Output,
) -> tuple[RepeatedAnswer, ...]:
    """Ask again; the outcome of each question, on stdout for people."""
    import tempfile

    from ggez_hub.cli.measurement import Opened, open_origin, open_recipe
    from ggez_hub.evaluation.results.evidence import open_evidence
    from ggez_hub.evaluation.sweep.rerun import TOLERANCE, rerun
    from ggez_hub.hub_connection import connect

    evidence = open_evidence(place)
    with tempfile.TemporaryDirectory() as work, connect(hub, quiet=out.quiet) as server:
        opened = (
            open_recipe(recipe, Path(work), server, cached=False)
            if recipe
            else open_origin(evidence, Path(work), server, key_variable, endpoints)
        )
        models = (
            opened.models_with(evidence.header.parts)
            if isinstance(opened, Opened)
            else opened.models
        )
        found = rerun(evidence, models, opened.tasks, count, seed)
    out.line(f"asked again, drawn by seed {seed}; scores of options may differ by {TOLERANCE:g}:")
    for again in found:
        out.line(f"  {again.cell}: {again.item}: {again.problem or 'the same'}")
    return found


def show_scores(
    place: Path, out: Output, again: tuple[RepeatedAnswer, ...] = (), closed: Path | None = None
) -> None:
    """Recompute and show a results folder or a card; raises GgezError.

    `again` are answers that the model gave anew, `closed` is the file with those of the closed part.
    """
    from ggez_hub.errors import GgezError
    from ggez_hub.evaluation.results.verification import (
        closed_figures,
        verify_evidence,
        with_closed,
    )
    from ggez_hub.evaluation.sweep.part_gains import gains_beside

    found = verify_evidence(place)
    if closed is not None:
        found = with_closed(found, closed)
    gains = gains_beside(found)
    header = found.evidence.header
    changed = [f"{a.cell}: {a.item}: {a.problem}" for a in again if a.problem]
    out.document(
        {
            "place": str(place),
            "ok": not found.problems and not changed,
            "rerun": [
                {"cell": str(a.cell), "item": a.item, "problem": a.problem or None} for a in again
            ],
            "problems": list(found.problems),
            "figures": found.figures,
            "unproven": found.unproven,
            "closed": None
            if header.closed is None
            else {
                "rotation": header.closed.rotation,
                "share": header.closed.share,
                "pictures": header.closed.pictures,
                "figures": closed_figures(header.closed),
                "recomputed": found.closed_answers is not None,
            },
            "region": header.region,
            "alpha": header.alpha.value,
            **found.recomputed,
            "parts": header.parts.model_dump(mode="json") if header.parts else None,
            "by_part": [gain.as_dict() for gain in gains],
        }
    )
    if found.problems:
        raise GgezError(
            f"{place} does not follow from its predictions:\n  " + "\n  ".join(found.problems),
            "Somebody changed a figure or an answer: ask for the predictions of the measurement.",
        )
    if changed:
        raise GgezError(
            f"the model answers otherwise than {place} says:\n  " + "\n  ".join(changed),
            "Somebody changed an answer, or another version of a library computes: compare those.",
        )
    evidence = found.evidence
    answers = sum(map(len, (*evidence.outcomes.values(), *evidence.claims.values())))
    out.line(f"{place}: {found.figures:,} figures follow from {answers:,} answers")
    if found.unproven:
        out.line(
            f"{found.unproven} rows or seeds of the card name no predictions: nobody can check them."
        )
    if (apart := header.closed) is not None:
        told = f"closed (rotation {apart.rotation}, {apart.pictures:,} pictures): "
        count = closed_figures(apart)
        out.line(
            f"{told}{count:,} figures rest on answers that are not published until the rotation changes"
            if found.closed_answers is None
            else f"{told}{count:,} figures follow from {found.closed_answers:,} answers"
        )
    if header.parts is not None:
        out.line(f"every beta is multiplied by part, as {header.parts.name} says:")
        for part in header.parts.parts:
            out.line(f"  {part}")
    _tell(found, out)
    for gain in gains:
        out.line(gain.line())


def _tell(found: Verification, out: Output) -> None:
    from ggez_hub.cli.scores import show_baselines
    from ggez_hub.evaluation.results.breakdown import average_name
    from ggez_hub.evaluation.results.leakage import contamination
    from ggez_hub.parity.betas import from_json

    selection, header = found.selection, found.evidence.header
    if len(header.adapters) > 1:
        out.line(
            f"a point's betas are of {', '.join(a.name for a in header.adapters)}, in this order"
        )
    # With one model there is nothing to choose.
    several = len({cell.beta for cell in found.evidence.outcomes}) > 1
    chosen = selection["beta"] if several else None
    for split, parity in found.recomputed["parity"].items():
        if parity.get("points"):
            _tell_parity(split, parity, chosen, out)
        else:
            out.line(f"{split}: {parity['reason']}")
    out.line("")
    if several and chosen is None:
        out.line(f"No beta can be chosen: {selection['reason']}.")
    elif several:
        out.line(f"beta {from_json(selection['beta']):g}: {selection['reason']}")
    if several:
        for outcome in found.policies:
            out.line(outcome.line())
    left_out = sorted(
        {task for p in found.recomputed["parity"].values() for task in p.get("at_chance", ())}
    )
    if left_out:
        out.line(f"Left out, at chance at every beta on validation: {', '.join(left_out)}")
    for average in sorted({task.average for task in header.tasks.values()}):
        own = [name for name, task in header.tasks.items() if task.average == average]
        alike = len(own) == len(header.tasks)
        out.line(
            f"Average of {'every task' if alike else ', '.join(sorted(own))}: {average_name(average)}"
        )
    show_baselines(found.recomputed["baselines"], out)
    unknown = [
        task for task, state in contamination(header).items() if state == "contamination unknown"
    ]
    if unknown:
        out.line(f"Contamination unknown: {', '.join(sorted(unknown))}")


def _tell_parity(
    split: str, parity: dict[str, Any], beta: float | list[float] | None, out: Output
) -> None:
    from ggez_hub.parity.betas import beta_key, from_json

    points = parity["points"]
    chosen = None if beta is None else beta_key(from_json(beta))
    # Of a composition: the regional side of each adapter's own region, which is not weighed.
    regions = list(next(iter(points.values())).get("q_regional_of", ()))

    def shown(value: dict[str, Any] | None) -> str:
        if value is None:
            return "no items"
        low, high = value["interval"]
        return f"{value['value']:.2f} [{low:.2f}, {high:.2f}]"

    out.line("")
    out.table(
        ("beta", "global", "others", "regional", *(f"of {r}" for r in regions), "GRP", "GRP raw"),
        [
            (
                f"{key}{' (chosen)' if key == chosen else ''}",
                *(shown(point[name]) for name in ("q_global", "q_others", "q_regional")),
                *(shown(point["q_regional_of"][region]) for region in regions),
                shown(point["grp"]),
                f"{point['grp_raw']:.2f}",
            )
            for key, point in points.items()
        ],
        title=f"{split}: {parity['scale']}, 0-100, 95 % intervals clustered by picture; GRP above "
        f"chance, alpha {parity['alpha']:.5f}",
    )
