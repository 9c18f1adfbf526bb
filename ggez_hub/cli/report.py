"""`report`: one page with everything that a card or results folder shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.atomic_files import write_file
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import ANYTHING, FILE, FOLDER, NEW_FILE, out_option
from ggez_hub.cli.scores import place_of_scores
from ggez_hub.errors import UsageProblem
from ggez_hub.hardware import size_text
from ggez_hub.hub_connection import connect

if TYPE_CHECKING:
    from ggez_hub.evaluation.report.examples import Material


@click.command("report")
@click.argument("place", metavar="DIR_OR_CARD", type=ANYTHING)
@out_option(kind=NEW_FILE)
@click.option("--recipe", type=FILE, help="Limits of the gates, as in `ci gate`.")
@click.option("--tasks", "task_folder", type=FOLDER, help="The task files.")
@click.option("--data", type=FOLDER, help="With --tasks: their data, for pictures.")
@click.option("--people", type=FOLDER, help="A scored study: what people said, on the page too.")
@click.option(
    "--questions",
    is_flag=True,
    help="Show questions with their pictures, from the origin that the results record.",
)
@hub_option
@output_options
def report_command(
    place: Path,
    target: Path,
    recipe: Path | None,
    task_folder: Path | None,
    data: Path | None,
    people: Path | None,
    questions: bool,
    hub: str,
    out: Output,
) -> None:
    """Write scores, parity and gates to one HTML page.

    It opens without a network. Everything on it is recomputed from the predictions of a results
    folder or an adapter's folder; of a pulled folder those of its adapter, from the hub.
    """
    from ggez_hub.evaluation.benchmarks.task import Task, load_tasks
    from ggez_hub.evaluation.gates.outcome import read_limits
    from ggez_hub.evaluation.report.contents import contents
    from ggez_hub.evaluation.report.examples import prepared_tasks, task_files
    from ggez_hub.evaluation.report.page import page
    from ggez_hub.evaluation.results.evidence import open_evidence
    from ggez_hub.registry.task_data import origin_tasks

    if data is not None and task_folder is None:
        raise UsageProblem("--data needs --tasks, which define how it is read")
    limits = read_limits(recipe)
    with place_of_scores(place, hub, out) as scores:
        evidence = open_evidence(scores)
    material: Material | None = None
    if task_folder is not None:
        tasks = load_tasks(task_folder, Task)
        evidence = evidence.with_tasks(tasks)
        material = task_files(tasks, data) if data else None
    if questions:
        with connect(hub, quiet=out.quiet) as server:
            material = prepared_tasks(origin_tasks(evidence, server))
    text = page(contents(evidence, limits, material, people))
    write_file(target, text)
    out.line(f"{target}: {size_text(len(text.encode()))}, opens without a network")
    out.document({"page": str(target), "bytes": len(text.encode())})
