"""`filter`: a regional, deduplicated training set from public corpora."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import FILE, NEW
from ggez_hub.errors import UsageProblem

if TYPE_CHECKING:
    from ggez_hub.data.report import FilterReport
    from ggez_hub.data.rule_accuracy import RuleAccuracy
    from ggez_hub.data.scorers.agreement import Share


@click.command("filter", short_help="A training set of a region from public corpora.")
@click.argument("spec", type=FILE)
@click.option("-o", "--out", "target", type=NEW, help="A new folder.")
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True)
@click.option("--strict", is_flag=True, help="Stop at the first thing that cannot be read.")
@click.option(
    "--evaluate",
    "labelled",
    type=FILE,
    metavar="LABELLED",
    help="Rate the region's rules on labelled examples: JSON lines or parquet with the columns of "
    "a source, and in_region.",
)
@click.option("--source", default=None, help="With --evaluate: whose columns those are.")
@output_options
def filter_command(
    spec: Path,
    target: Path | None,
    workers: int,
    strict: bool,
    labelled: Path | None,
    source: str | None,
    out: Output,
) -> None:
    """A training set of a region from public corpora.

    SPEC is YAML with `kind: filter`. The output has parquet files that `datasets` loads, and a
    report of what was kept and why not. It can be stopped and run again.
    """
    from ggez_hub.data.spec import FilterSpec
    from ggez_hub.recipe_file import read_recipe

    asked = read_recipe(spec, "filter", FilterSpec)
    if labelled is not None:
        from ggez_hub.data.rule_accuracy import evaluate

        _print_rated(evaluate(asked, spec.parent, labelled, source), out)
        return
    if target is None:
        raise UsageProblem("where should it be written?", "Give a new folder with -o.")
    from ggez_hub.data.pipeline import run_filter

    with out.progress("steps") as progress:
        task = progress.add_task("filtering", total=None)
        report = run_filter(
            asked,
            spec.parent,
            target,
            workers=workers,
            strict=strict,
            did=lambda done, total: progress.update(task, completed=done, total=total),
        )
    _print(report, target, out)
    out.document({"out": str(target), "report_digest": report.digest, **report.document})


def _print(report: FilterReport, target: Path, out: Output) -> None:
    from ggez_hub.data.report import dropped

    counts = report.document["counts"]
    out.line(
        f"{target}: {counts['kept']:,} of {counts['seen']:,} examples kept"
        + (f", {counts['translated']:,} translations" if counts["translated"] else "")
    )
    rows = [
        (f"{stage}: {reason}", f"{count:,}") for stage, reason, count in dropped(report.document)
    ]
    if rows:
        out.table(("dropped", "examples"), rows)
    for warning in report.document["warnings"]:
        out.line(f"warning: {warning}")
    out.line(f"report: {target / 'README.md'}, digest {report.digest[:16]}")


def _print_rated(found: RuleAccuracy, out: Output) -> None:
    out.line(f"{found.examples} labelled examples")
    rows = [
        (name, _share(rated.precision), _share(rated.recall))
        for name, rated in [("together", found.together), *found.alone]
    ]
    out.table(("rules", "precision", "recall"), rows)
    for said, names in (("kept wrongly", found.kept_wrongly), ("lost", found.lost)):
        if names:
            out.line(f"{said}: {', '.join(names)}")
    out.document(found.document())


def _share(share: Share) -> str:
    if share.value is None:
        return "-"
    return f"{share.value:.1f} [{share.low:.1f}, {share.high:.1f}] of {share.n}"
