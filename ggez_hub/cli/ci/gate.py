"""`ci gate`: whether a merged model is an improvement, from its predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.atomic_files import write_file
from ggez_hub.cli.ci.workflow import output, summary
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import (
    ANYTHING,
    BETA,
    FILE,
    FOLDER,
    NEW_FOLDER,
    out_option,
    policy_option,
)
from ggez_hub.cli.scores import place_of_scores
from ggez_hub.digests import finite
from ggez_hub.errors import GateFailed
from ggez_hub.parity.policy import Policy

if TYPE_CHECKING:
    from ggez_hub.evaluation.gates.outcome import GateReport

HEADER = ("gate", "outcome", "difference", "pictures", "needed")
PUBLISH_AS = {"pass": "proven", "undetermined": "unproven", "fail": None}


@click.command("gate")
@click.argument("place", metavar="DIR_OR_CARD", type=ANYTHING)
@click.option("--recipe", type=FILE, help="Other limits: YAML of `kind: gates`.")
@click.option(
    "--beta",
    "betas",
    multiple=True,
    type=BETA,
    help="Not the chosen one, or that of the pulled folder; of a composition one for each adapter.",
)
@policy_option("By which beta is chosen and judged.  [default: what the card or recipe declares]")
@click.option(
    "--tasks",
    "folder",
    type=FOLDER,
    help="Task files that name the data sets of the tasks on a card.",
)
@click.option("--people", type=FOLDER, help="A scored study: what people said gates too.")
@out_option("Write gate.json and gate.md into this folder too.", NEW_FOLDER, required=False)
@hub_option
@output_options
def gate_command(
    place: Path,
    recipe: Path | None,
    betas: tuple[float, ...],
    policy: str | None,
    folder: Path | None,
    people: Path | None,
    target: Path | None,
    hub: str,
    out: Output,
) -> None:
    """Retention, gain, parse failures, leakage, safety, people: pass, fail or undetermined.

    From the predictions of a results folder, an adapter's folder or a pulled one, on test answers, none of which had
    a part in choosing beta. The gates follow the policy that the card or recipe declares. Exits with 3
    if a gate fails. What is undetermined is published as unproven.
    """
    from ggez_hub.evaluation.benchmarks.task import Task, load_tasks
    from ggez_hub.evaluation.gates.outcome import gate_report, read_limits
    from ggez_hub.evaluation.results.evidence import open_evidence
    from ggez_hub.parity.betas import point
    from ggez_hub.registry.pull.evidence import pulled_adapter

    limits = read_limits(recipe)
    pulled = pulled_adapter(place)
    if pulled is not None and pulled.weight is not None and not betas:
        betas = (pulled.weight,)
    with place_of_scores(place, hub, out) as scores:
        evidence = open_evidence(scores)
    if folder is not None:
        evidence = evidence.with_tasks(load_tasks(folder, Task))
    report = gate_report(
        evidence,
        limits,
        point(betas) if betas else None,
        Policy.parse(policy) if policy else None,
        people,
    )
    document = {
        **report.as_dict(),
        "publish_as": PUBLISH_AS[report.outcome],
        "limits": limits.model_dump(exclude={"kind"}),
    }
    out.table(HEADER, _rows(report), title=_title(report))
    out.line("")
    out.lines(_sentences(report))
    out.line(_verdict(report))
    out.document(document)
    _write(report, document, target)
    if report.outcome == "fail":
        failed = [gate for gate in report.gates if gate.verdict == "fail"]
        raise GateFailed(
            "not passed:\n  " + "\n  ".join(f"{gate.name}: {gate.reason}" for gate in failed),
            "The gates that fail are of the model, not of the run: repeating it changes nothing.",
        )


def _title(report: GateReport) -> str:
    beta = "no beta" if report.beta is None else f"beta {report.beta:g} against the base"
    return (
        f"{beta}, on {report.where}; paired differences in points above chance, 95 % intervals; "
        "pictures needed for 80 % power"
    )


def _rows(report: GateReport) -> list[tuple[str, ...]]:
    return [
        (
            gate.name,
            gate.verdict,
            "-" if gate.difference is None else gate.difference.shown(),
            "-" if gate.difference is None else f"{gate.difference.pictures:,}",
            "-" if gate.pictures_needed is None else f"{gate.pictures_needed:,}",
        )
        for gate in report.gates
    ]


def _sentences(report: GateReport) -> list[str]:
    gates = [
        f"{gate.name}: {gate.verdict}. {gate.reason[0].upper()}{gate.reason[1:]}."
        for gate in report.gates
    ]
    return gates + [f"{line[0].upper()}{line[1:]}." for line in report.lines()]


def _verdict(report: GateReport) -> str:
    publish_as = PUBLISH_AS[report.outcome]
    published = f"to be published as {publish_as}" if publish_as else "not to be published"
    return f"Taken together: {report.outcome}; the improvement is {published}."


def _write(report: GateReport, document: dict[str, object], target: Path | None) -> None:
    """Give the verdict to the steps that follow in a workflow, and write the files."""
    rows = [HEADER, ("---", "---", "---:", "---:", "---:"), *_rows(report)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    said = "\n".join(f"- {line}" for line in _sentences(report))
    text = f"**{_verdict(report)}**\n\n{_title(report)}:\n\n{table}\n\n{said}\n"
    summary(text)
    output("outcome", report.outcome)
    output("publish_as", PUBLISH_AS[report.outcome] or "")
    if target is not None:
        as_json = json.dumps(finite(document), ensure_ascii=False, indent=2, allow_nan=False)
        write_file(target / "gate.json", f"{as_json}\n")
        write_file(target / "gate.md", text)
        output("report", str(target / "gate.json"))
        output("table", str(target / "gate.md"))
