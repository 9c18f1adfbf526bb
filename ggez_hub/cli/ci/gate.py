"""`ci gate`: whether a merged model may be published as an improvement."""

from __future__ import annotations

from pathlib import Path

import click

from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import ANYTHING, BETA, FILE, FOLDER, policy_option
from ggez_hub.errors import GateFailed
from ggez_hub.parity.choice import Policy


@click.command("gate")
@click.argument("place", metavar="DIR_OR_CARD", type=ANYTHING)
@click.option("--recipe", type=FILE, help="Other limits: YAML of `kind: gates`.")
@click.option(
    "--beta",
    "betas",
    multiple=True,
    type=BETA,
    help="Not the chosen one; of a composition one for each adapter.",
)
@policy_option("By which beta is chosen and judged.  [default: what the card or recipe declares]")
@click.option(
    "--tasks",
    "folder",
    type=FOLDER,
    help="Task files that name the data sets of the tasks on a card.",
)
@output_options
def gate_command(
    place: Path,
    recipe: Path | None,
    betas: tuple[float, ...],
    policy: str | None,
    folder: Path | None,
    out: Output,
) -> None:
    """Retention, gain, parse failures, leakage: pass, fail or undetermined.

    From the predictions of a results folder or an adapter's folder, on test answers, none of which had
    a part in choosing beta. The gates follow the policy that the card or recipe declares. Exits with 3
    if a gate fails. What is undetermined is published as unproven.
    """
    from ggez_hub.evaluation.benchmarks.task import Task, load_tasks
    from ggez_hub.evaluation.gates.outcome import gate_report, read_limits
    from ggez_hub.evaluation.results.evidence import open_evidence
    from ggez_hub.parity.betas import point

    limits = read_limits(recipe)
    evidence = open_evidence(place)
    if folder is not None:
        evidence = evidence.with_tasks(load_tasks(folder, Task))
    report = gate_report(
        evidence, limits, point(betas) if betas else None, Policy.parse(policy) if policy else None
    )
    out.table(
        ("gate", "outcome", "difference", "pictures", "needed"),
        [
            (
                gate.name,
                gate.verdict,
                "-" if gate.difference is None else gate.difference.shown(),
                "-" if gate.difference is None else f"{gate.difference.pictures:,}",
                "-" if gate.pictures_needed is None else f"{gate.pictures_needed:,}",
            )
            for gate in report.gates
        ],
        title=("no beta" if report.beta is None else f"beta {report.beta:g} against the base")
        + f", on {report.where}; paired differences in "
        "points above chance, 95 % intervals; pictures needed for 80 % power",
    )
    out.line("")
    for gate in report.gates:
        out.line(f"{gate.name}: {gate.verdict}. {gate.reason[0].upper()}{gate.reason[1:]}.")
    for line in report.lines():
        out.line(f"{line[0].upper()}{line[1:]}.")
    publish_as = {"pass": "proven", "undetermined": "unproven", "fail": None}[report.outcome]
    published = f"to be published as {publish_as}" if publish_as else "not to be published"
    out.line(f"Taken together: {report.outcome}; the improvement is {published}.")
    out.document(
        {
            **report.as_dict(),
            "publish_as": publish_as,
            "limits": limits.model_dump(exclude={"kind"}),
        }
    )
    if report.outcome == "fail":
        failed = [gate for gate in report.gates if gate.verdict == "fail"]
        raise GateFailed(
            "not passed:\n  " + "\n  ".join(f"{gate.name}: {gate.reason}" for gate in failed),
            "The gates that fail are of the model, not of the run: repeating it changes nothing.",
        )
