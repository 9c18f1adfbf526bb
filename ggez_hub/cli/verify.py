"""`verify`: a pulled folder against its lock file, or scores against their predictions."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from httpx2 import HTTPError
from huggingface_hub.errors import HfHubHTTPError

from ggez_hub.cli.errors import explain
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import ANYTHING, FILE
from ggez_hub.cli.people import print_study
from ggez_hub.cli.scores import print_scores
from ggez_hub.cli.trust import signatures_option
from ggez_hub.command_line import command_line
from ggez_hub.errors import GgezError, MissingExtra, UsageProblem
from ggez_hub.hub.listings import Signatures
from ggez_hub.hub_connection import connect
from ggez_hub.quantities import counted
from ggez_hub.registry.constants import CARD_NAME, LOCK_NAME
from ggez_hub.registry.lock import (
    MAX_LOCK_BYTES,
    Lock,
    MergeLock,
    differences,
    locks_in,
    parse_any_lock,
    read_any_lock,
    unstated,
)
from ggez_hub.text_files import read_text

if TYPE_CHECKING:
    from ggez_hub.evaluation.sweep.rerun import RepeatedAnswer


@click.command("verify")
@click.argument("place", metavar="DIR_OR_CARD", type=ANYTHING)
@click.option(
    "--rerun",
    "count",
    type=click.IntRange(min=1),
    metavar="K",
    help="Ask the model K random questions of a results folder again.",
)
@click.option(
    "--recipe",
    type=FILE,
    help="Of --rerun: the recipe of a sweep, instead of the origin that the results record.",
)
@click.option(
    "--key-variable",
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
    help="The predictions of the closed part, published after its rotation: recompute it too.",
)
@click.option(
    "--owner", metavar="OWNER", help="Of a signature: for whom on a hub its signer has to sign."
)
@signatures_option
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
    owner: str | None,
    signatures: Signatures | None,
    hub: str,
    out: Output,
) -> None:
    """Check a pulled folder against its lock, or scores against predictions.

    A pulled folder (ggez.lock), or the model in it: every byte of every output is read. A results folder (results.json)
    or an adapter's folder with its card and evidence: every score, interval, GRP and beta is
    recomputed from the predictions, without a model. A study (scores.json): every score of people, from its ratings.
    With --rerun the model answers some of them again: the one that the results name, or that of a
    recipe. A folder with a signature (model.sig, by ggez-hub or any program of OpenSSF Model
    Signing) is compared with it, and its signer with trust.yaml. What a folder was made of and the
    hub's index has yanked since is printed.
    """
    from ggez_hub.evaluation.people.scores import SCORES
    from ggez_hub.evaluation.results.evidence import CARD, RESULTS
    from ggez_hub.registry.trust.gate_results import RESULT_FILE, verify_gates
    from ggez_hub.registry.trust.policy import read_policy

    if count is None and (recipe is not None or key_variable is not None or endpoints):
        raise UsageProblem(
            "--recipe, --key-variable and --endpoint are for --rerun", "verify DIR --rerun 20"
        )
    if count is not None:
        again = _rerun(place, count, recipe, key_variable, endpoints, seed, hub, out)
        print_scores(place, out, again=again, closed=closed)
        return
    asked = signatures or read_policy().signatures
    signed = None
    try:
        signed = _verify_signature(place, owner, asked, out)
        if asked != "off" and (place / RESULT_FILE).is_file():
            by, outcome = verify_gates(place, owner)
            out.line(f"{place}: the gates are {outcome}, as measured and signed by {by.name}")
    except MissingExtra as missing:
        if asked == "required":
            raise
        out.note(f"warning: the signature of {place} was not checked: {missing.hint}")
    names = (RESULTS, CARD)
    is_study = any((place / name).is_file() for name in (SCORES, "study.json"))
    if is_study and not (place / RESULTS).is_file():
        print_study(place, out)
        return
    locks = locks_in(place)
    if signed and not (place / RESULTS).is_file():
        # A published folder is flat: its signature covers lock and weights alike.
        since = _print_yanked(locks, hub, out)
        out.document(
            {"folder": str(place), "ok": True, "signer": signed, "differences": [], **since}
        )
        return
    if not locks and (not place.is_dir() or any((place / name).is_file() for name in names)):
        print_scores(place, out, closed=closed)
    elif not locks:
        raise GgezError(
            f"{place} holds neither {LOCK_NAME} nor {RESULTS} nor a card ({CARD})",
            "Give the folder that `pull`, `merge`, `eval` or `sweep` wrote, or an adapter's.",
        )
    elif closed is not None:
        raise UsageProblem(f"{place} holds a merge, not scores", "Leave --closed out.")
    else:
        _verify_locks(locks, hub, out)


def _verify_signature(place: Path, owner: str | None, asked: Signatures, out: Output) -> str | None:
    """Who signed a folder; None where nobody did, nor has to. Raises BadSignature, MissingExtra."""
    from ggez_hub.registry.trust.checks import UNSIGNED, verify_folder
    from ggez_hub.registry.trust.statement import SIGNATURE_FILE, BadSignature

    file = place / SIGNATURE_FILE
    if asked == "off":
        return None
    if not file.is_file():
        if asked == "required":
            raise BadSignature(f"{place} is not signed", UNSIGNED)
        return None
    found = verify_folder(place, file, owner)
    when = f" on {found.signed:%Y-%m-%d}" if found.signed else ""
    count = sum(1 for _ in found.manifest.resource_descriptors())
    out.line(
        f"{place}: {counted(count, 'file is', 'files are')} as signed{when} by {found.signer.name}, "
        f"who signs for {', '.join(found.signer.owners)}"
    )
    return found.signer.name


def _verify_locks(locks: Sequence[Path], hub: str, out: Output) -> None:
    """Compare the files beside lock files with them; `locks` are those of one folder."""
    folder, found, count, fix = locks[0].parent, [], 0, ""
    for file in locks:
        lock, wrong, way_out = _verified(file)
        found += wrong
        count += len(lock.outputs)
        fix = fix or (way_out if wrong else "")
    since = _print_yanked(locks, hub, out)
    out.document({"folder": str(folder), "ok": not found, "differences": found, **since})
    if found:
        names = " and ".join(file.name for file in locks)
        what = "its lock says" if len(locks) == 1 else f"{names} say"
        raise GgezError(f"{folder} is not what {what}:\n  " + "\n  ".join(found), fix)
    many = "locks say" if len(locks) > 1 else "lock says"
    out.line(f"{folder}: {counted(count, 'file is', 'files are')} what the {many}")


def _print_yanked(locks: Sequence[Path], hub: str, out: Output) -> dict[str, Any]:
    """Print which ingredients the hub's index has yanked since; `yanked` is None where that is unknown."""
    from ggez_hub.registry.affected import ingredients, yanked_among
    from ggez_hub.registry.index.search import known_entries

    try:
        read = [parse_any_lock(read_text(f, MAX_LOCK_BYTES), f.name) for f in locks]
        if not any(map(ingredients, read)):
            return {}
        with connect(hub, quiet=out.quiet) as server:
            index = known_entries(server, None, ())
    except UsageProblem:
        raise
    except (GgezError, HfHubHTTPError, HTTPError, OSError) as problem:
        out.note(f"what was yanked since is not known: {explain(problem).message}")
        return {"yanked": None}
    if index.shipped:
        out.note(
            f"{server.endpoint} has no index: yanks since the release of ggez-hub are not known"
        )
    causes = dict.fromkeys(cause for lock in read for cause in yanked_among(lock, index.yanked))
    for cause in causes:
        out.note(f"warning: {cause}")
    return {"yanked": [asdict(cause) for cause in causes]}


def _verified(file: Path) -> tuple[Lock | MergeLock, list[str], str]:
    """A lock, how the files beside it differ from it, and the way out."""
    from ggez_hub.cards.readme import read_readme
    from ggez_hub.registry.local_merge import merge
    from ggez_hub.registry.pull import result_card

    lock, folder = read_any_lock(file), file.parent
    family = "" if isinstance(lock, MergeLock) else lock.resolution.family
    if family and not (folder / family).exists():
        # As it was published: flat, and its card may have been marked since.
        flat = {name.removeprefix(f"{family}/"): record for name, record in lock.outputs.items()}
        flat.pop(CARD_NAME, None)
        lock, family = lock.model_copy(update={"outputs": flat}), ""
    found = differences(lock, folder)
    if isinstance(lock, MergeLock):
        card, provenance = folder / CARD_NAME, merge.provenance(lock.merge)
        fix = "Merge it again into another folder."
    else:
        card = folder / family / CARD_NAME
        provenance = result_card.provenance(lock.resolution)
        options = {"--region": lock.resolution.region, "--locked": True, "--lock": file}
        again = command_line("pull", options | {"-o": f"{folder}-again"})
        fix = f"Pull it again, with the --hub that it came from: {again}"
    if card.is_file():
        found += unstated(provenance, read_readme(card.parent))
    return lock, found, fix


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
    from ggez_hub.cli.measurement import open_origin, open_recipe
    from ggez_hub.evaluation.results.evidence import open_evidence
    from ggez_hub.evaluation.sweep.rerun import TOLERANCE, rerun

    evidence = open_evidence(place)
    with tempfile.TemporaryDirectory() as work, connect(hub, quiet=out.quiet) as server:
        opened = (
            open_recipe(recipe, Path(work), server, cached=False)
            if recipe
            else open_origin(evidence, Path(work), server, key_variable, endpoints)
        )
        models = opened.models_with(evidence.header.parts)
        found = rerun(evidence, models, opened.tasks, count, seed)
    out.line(f"asked again, drawn by seed {seed}; scores of options may differ by {TOLERANCE:g}:")
    for again in found:
        out.line(f"  {again.cell}: {again.item}: {again.problem or 'the same'}")
    return found
