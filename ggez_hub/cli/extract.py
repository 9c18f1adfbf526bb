"""`extract`: an adapter from a full fine-tune."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import FOLDER, Number, out_option
from ggez_hub.errors import UsageProblem
from ggez_hub.families import detect_family, get_family
from ggez_hub.progress import task
from ggez_hub.quantities import counted

if TYPE_CHECKING:
    from ggez_hub.merging.extraction import Extraction

WORST = 5


@click.command("extract")
@click.option("--base", required=True, type=FOLDER, help="The folder of the base.")
@click.option("--finetuned", required=True, type=FOLDER, help="The same model, trained further.")
@click.option(
    "--rank", metavar="R|auto", help="The rank of the LoRA, or as much as --energy needs."
)
@click.option(
    "--energy",
    type=Number(0, 1, min_open=True),
    default=0.99,
    show_default=True,
    help="With --rank auto: the share of each module's squared difference that is kept.",
)
@click.option("--task-vector", is_flag=True, help="The complete difference in place of a LoRA.")
@click.option("--family", help="Found by the layout of the folder if left out.")
@out_option()
@output_options
def extract_command(
    base: Path,
    finetuned: Path,
    rank: str | None,
    energy: float,
    task_vector: bool,
    family: str | None,
    target: Path,
    out: Output,
) -> None:
    """Extract a LoRA or a task vector from a full fine-tune.

    Linear, embedding and convolution layers become a LoRA; norms and biases are saved completely.
    What a LoRA cannot hold is listed, and counts as error.
    """
    if (rank is None) != task_vector:
        raise UsageProblem(
            "what should be extracted?", "Give either --rank R, --rank auto or --task-vector."
        )
    wanted = _rank(rank)
    from ggez_hub.merging.extraction import extract_lora, extract_task_vector

    chosen = get_family(family) if family else detect_family(base)
    with task("extracting") as extracting:
        if task_vector:
            report = extract_task_vector(base, finetuned, target, chosen, extracting.update)
        else:
            report = extract_lora(
                base, finetuned, target, chosen, wanted, energy, extracting.update
            )
    _print(report, target, out)
    out.document(
        {
            "out": str(target),
            "family": chosen.name,
            "bytes": report.nbytes,
            "relative_error": report.relative,
            "tensors": [
                {"tensor": e.tensor, "rank": e.rank or None, "relative_error": e.relative}
                for e in report.extracted
            ],
            "left_out": [{"tensor": x.tensor, "reason": x.reason} for x in report.left_out],
        }
    )


def _rank(text: str | None) -> int | None:
    """The number, or None for auto and for a task vector; raises UsageProblem."""
    if text in {None, "auto"}:
        return None
    if text is None or not text.isdecimal() or int(text) < 1:
        raise UsageProblem(f"{text!r} is not a rank", "Give a number from 1, or auto.")
    return int(text)


def _print(report: Extraction, target: Path, out: Output) -> None:
    ranks = [e.rank for e in report.extracted if e.rank]
    spread = f"rank {min(ranks)}" if ranks else "complete tensors"
    if ranks and max(ranks) > min(ranks):
        spread += f" to {max(ranks)}"
    out.line(
        f"{target}: {counted(len(report.extracted), 'tensor')} ({len(ranks)} as LoRA, {spread}), "
        f"{report.nbytes / 1e6:.1f} MB, relative error {report.relative:.3g}"
    )
    worst = sorted((e for e in report.extracted if e.error), key=lambda e: -e.relative)[:WORST]
    if worst:
        rows = [(e.tensor, str(e.rank or "complete"), f"{e.relative:.3g}") for e in worst]
        out.table(("largest errors", "rank", "relative error"), rows)
    for tensor in report.left_out:
        out.line(f"left out: {tensor.tensor}: {tensor.reason}")
    if report.left_out:
        out.line("These stay as the base has them; --task-vector takes everything.")
