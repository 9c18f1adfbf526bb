"""`export` and `import`: results in the formats of other harnesses, and theirs as results."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import ANYTHING, BETA, FOLDER, NEW_FOLDER, out_option
from ggez_hub.errors import UsageProblem
from ggez_hub.hub_connection import connect
from ggez_hub.quantities import counted


class PointFolder(click.ParamType[tuple[float, Path]]):
    """A folder with runs of the model at a beta: 0.5=results/MODEL."""

    name = "beta=folder"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, Path]:
        beta, _, folder = str(value).partition("=")
        if not folder:
            self.fail(
                f"{value!r} is not a beta and a folder, such as 0.5=results/MODEL", param, ctx
            )
        place: Path = FOLDER.convert(folder, param, ctx)
        return BETA.convert(beta, param, ctx), place


@click.command("import")
@click.argument("points", metavar="BETA=FOLDER...", nargs=-1, required=True, type=PointFolder())
@click.option(
    "--card", "card_place", required=True, type=ANYTHING, help="The adapter's folder, or its card."
)
@out_option("The results folder.", NEW_FOLDER)
@output_options
def import_command(
    points: tuple[tuple[float, Path], ...], card_place: Path, target: Path, out: Output
) -> None:
    """Read runs of SEA-HELM into a results folder, for `card measure`, `verify` and `report`.

    BETA=FOLDER is OUTPUT_DIR/MODEL of SEA-HELM, with the runs of base + BETA * adapter; 0 is the
    base. CVQA, WorldCuisines, MaRVL and XM3600 are read, every run of them.
    """
    from ggez_hub.cards import read_card
    from ggez_hub.evaluation.sea_helm.results import write_run_results
    from ggez_hub.evaluation.sea_helm.runs import read_runs
    from ggez_hub.evaluation.sea_helm.scores import BOOTSTRAPS, aggregate

    if len({beta for beta, _ in points}) < len(points):
        raise UsageProblem("a beta is there twice", "Name each beta once: 0=BASE 0.5=MERGED")
    card = read_card(card_place / "README.md" if card_place.is_dir() else card_place).card
    found = {beta: read_runs(folder) for beta, folder in sorted(points)}
    write_run_results(found, card, target)
    figures = {f"{beta:g}": aggregate(runs.answers) for beta, runs in found.items()}
    rows = []
    for beta, runs in found.items():
        for own in runs.answers:
            task = figures[f"{beta:g}"][own.language][own.config.competency]["tasks"][own.name]
            counts = (str(len(own.items)), str(len(own.worth)))
            error = f"{task['mean']:.2f} ± {task['stderr']:.2f}"
            rows.append((f"{own.name}/{own.language} at beta {beta:g}", error, *counts))
    out.table(
        ("task", "normalised", "questions", "runs"),
        rows,
        title=f"SEA-HELM's scores, 0-100: mean and standard error of {BOOTSTRAPS} bootstraps over runs",
    )
    left_out = {name: why for runs in found.values() for name, why in runs.left_out.items()}
    for name, why in left_out.items():
        out.note(f"{name}: {why}")
    places = " ".join(shlex.quote(str(place)) for place in (target, card_place))
    out.line(f"Note them on the card as your claim: ggez-hub card measure {places}")
    out.document({"results": str(target), "sea_helm": figures, "left_out": left_out})


@click.command("export")
@click.argument("place", metavar="DIR_OR_CARD", type=ANYTHING)
@click.option(
    "--format",
    "form",
    required=True,
    type=click.Choice(["every-eval-ever", "sea-helm"]),
    help="Records of Every Eval Ever, or runs of SEA-HELM.",
)
@out_option("The folder into which it is written; other files there stay.", NEW_FOLDER)
@click.option("--beta", type=BETA, help="One beta; every one if left out.")
@click.option("--model", metavar="ORG/NAME", help="What the model is called there.")
@click.option(
    "--questions",
    is_flag=True,
    help="Every Eval Ever: a record of every question too, from the origin that the results record.",
)
@hub_option
@output_options
def export_command(
    place: Path,
    form: str,
    target: Path,
    beta: float | None,
    model: str | None,
    questions: bool,
    hub: str,
    out: Output,
) -> None:
    """Write results or a card's evidence in the format of another harness."""
    from ggez_hub.evaluation.results.evidence import open_evidence
    from ggez_hub.parity.betas import beta_key

    evidence = open_evidence(place)
    betas = sorted({cell.beta for cell in evidence.outcomes})
    if beta is not None and beta not in betas:
        raise UsageProblem(
            f"{place} has no answers at beta {beta:g}", f"Betas: {', '.join(map(beta_key, betas))}"
        )
    chosen = betas if beta is None else [beta]
    written: list[dict[str, object]] = []
    if form == "sea-helm":
        from ggez_hub.evaluation.sea_helm.run_folder import write_runs

        base = (model or evidence.place.resolve().name).rpartition("/")[2]
        for own in chosen:
            name = base if len(betas) == 1 else f"{base}-beta-{beta_key(own)}"
            found = write_runs(evidence, own, name, target)
            out.line(f"{found.folder}: {counted(found.runs, 'run')} of {', '.join(found.tasks)}")
            if found.left_out:
                out.note(f"Left out, without replies: {', '.join(found.left_out)}")
            written.append({"folder": str(found.folder), "runs": found.runs, "tasks": found.tasks})
    else:
        from ggez_hub.evaluation.every_eval_ever import write_records

        posed = None
        if questions:
            from ggez_hub.registry.task_data import origin_tasks

            with connect(hub, quiet=out.quiet) as server:
                posed = origin_tasks(evidence, server)
        for own in chosen:
            record = write_records(evidence, own, target, model=model, tasks=posed)
            out.line(
                f"{record.file}: {counted(record.results, 'result')}, {counted(record.questions, 'question')}"
            )
            written.append(
                {"file": str(record.file), "results": record.results, "questions": record.questions}
            )
    out.document({"format": form, "written": written})
