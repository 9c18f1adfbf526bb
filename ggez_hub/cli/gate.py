"""`ci gate`: whether a merged model may be published as an improvement."""

from __future__ import annotations

from pathlib import Path

import click

from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import ANYTHING, BETA, FILE, FOLDER


@click.command("gate")
@click.argument("place", metavar="DIR_OR_CARD", type=ANYTHING)
@click.option("--recipe", type=FILE, default=None, help="Other limits: YAML of `kind: gates`.")
@click.option(
    "--beta",
    "betas",
    multiple=True,
    type=BETA,
    help="Not the chosen one; of a composition one for each adapter.",
)
@click.option(
    "--tasks",
    "folder",
    type=FOLDER,
    default=None,
    help="Task files that say which data sets the tasks of a card are of.",
)
@output_options
def gate_command(
    place: Path, recipe: Path | None, betas: tuple[float, ...], folder: Path | None, out: Output
) -> None:
    """Retention, regional gain, parse failures, leakage: pass, fail or undetermined.

    From the predictions of a results folder or an adapter's folder, on answers that had no part in
    choosing beta. Ends with 3 if a gate fails. What is undetermined is published as unproven.
    """
    from ggez_hub.errors import GateFailed
    from ggez_hub.evaluation.betas import as_json, point
    from ggez_hub.evaluation.evidence import open_evidence
    from ggez_hub.evaluation.gates import gates, overall, read_limits
    from ggez_hub.evaluation.held_out import held_out
    from ggez_hub.evaluation.task import load_tasks

    limits = read_limits(recipe)
    evidence = open_evidence(place)
    if folder is not None:
        evidence = evidence.with_tasks(load_tasks(folder))
    compared = held_out(evidence, point(betas) if betas else None)
    found = gates(compared, evidence, limits)
    outcome = overall(found)
    standing = {"pass": "proven", "undetermined": "unproven", "fail": None}[outcome]
    out.table(
        ("gate", "outcome", "difference", "has to exceed", "shows"),
        [
            (
                gate.name,
                gate.verdict,
                "-"
                if gate.difference is None
                else f"{gate.difference.value:+.2f} "
                f"[{gate.difference.low:+.2f}, {gate.difference.high:+.2f}]",
                "-" if gate.threshold is None else f"{gate.threshold:+.2f}",
                "-" if gate.detectable is None else f"{gate.detectable:.2f}",
            )
            for gate in found
        ],
        title=f"beta {compared.beta:g} against the base, on {compared.where}; paired differences "
        "in points, 95 % intervals",
    )
    out.line("")
    for gate in found:
        out.line(f"{gate.name}: {gate.verdict}. {gate.reason[0].upper()}{gate.reason[1:]}.")
    published = f"to be published as {standing}" if standing else "not to be published"
    out.line(f"Taken together: {outcome}; the improvement is {published}.")
    out.document(
        {
            "outcome": outcome,
            "publish_as": standing,
            "beta": as_json(compared.beta),
            "on": compared.where,
            "limits": limits.model_dump(exclude={"kind"}),
            "gates": [gate.as_dict() for gate in found],
        }
    )
    if outcome == "fail":
        failed = [gate for gate in found if gate.verdict == "fail"]
        raise GateFailed(
            "not passed:\n  " + "\n  ".join(f"{gate.name}: {gate.reason}" for gate in failed),
            "The gates that fail are of the model, not of the run: repeating it changes nothing.",
        )
