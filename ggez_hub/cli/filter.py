"""`filter` and `reward`: a regional training set from public corpora, and the trust in its scorers."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ggez_hub.atomic_files import write_file
from ggez_hub.cli.engine import engine_options
from ggez_hub.cli.filter_plan import planned, with_models
from ggez_hub.cli.group import Group
from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import FILE, FOLDER, NEW_FOLDER, Place, out_option
from ggez_hub.errors import UsageProblem
from ggez_hub.progress import task
from ggez_hub.quantities import counted

if TYPE_CHECKING:
    from ggez_hub.data.object_store import ObjectFolder
    from ggez_hub.data.report import FilterReport
    from ggez_hub.data.rule_accuracy import RuleAccuracy
    from ggez_hub.data.scorer_agreement import Agreement, Share
    from ggez_hub.data.scorers.scorer import Scorer
    from ggez_hub.execution import Engine


class FilterPlace(Place):
    """A folder, or an `ObjectFolder`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if str(value).startswith("s3://"):
            from ggez_hub.data.object_store import ObjectFolder

            return ObjectFolder(value)
        return super().convert(value, param, ctx)


@click.command("filter")
@click.argument("spec", type=FILE)
@out_option("A new folder, or s3://BUCKET/PATH.", FilterPlace(), required=False)
@click.option(
    "--work",
    type=NEW_FOLDER,
    default=".",
    help="With s3://: a folder here, or one that a cluster sees, in which the output is made before it "
    "is sent.  [default: the current one]",
)
@engine_options(
    "How many tasks a stage is divided into, at most.  [default: one for each part]", "data"
)
@click.option("--strict", is_flag=True, help="Stop at the first thing that cannot be read.")
@click.option(
    "--evaluate",
    "labelled",
    type=FILE,
    metavar="LABELLED",
    help="Rate the region's rules on labelled examples: JSON lines or parquet with the columns of "
    "a source, and in_region.",
)
@click.option("--source", help="With --evaluate: whose columns those are.")
@output_options
def filter_command(
    spec: Path,
    target: Path | ObjectFolder | None,
    work: Path,
    engine: Engine,
    shards: int | None,
    only_plan: bool,
    strict: bool,
    labelled: Path | None,
    source: str | None,
    out: Output,
) -> None:
    """Make a regional training set from public corpora.

    SPEC is YAML with `kind: filter`. The output has parquet files that `datasets` loads, and a
    report of what was dropped and why. It can be stopped and run again.
    """
    from ggez_hub.data.spec import FilterSpec
    from ggez_hub.recipe_file import read_recipe

    recipe = read_recipe(spec, "filter", FilterSpec)
    if labelled is not None:
        from ggez_hub.data.rule_accuracy import evaluate

        _print_rated(evaluate(recipe, spec.parent, labelled, source), out)
        return
    if planned(recipe, spec.parent, engine, shards, out, only_plan):
        return
    engine = with_models(engine, recipe)
    if target is None:
        raise UsageProblem("where should it be written?", "Give a new folder with -o.")
    from ggez_hub.data.object_store import filter_into
    from ggez_hub.data.pipeline import run_filter

    with task("filtering") as filtering:
        run = (
            partial(run_filter, out=target)
            if isinstance(target, Path)
            else partial(filter_into, target, work=work)
        )
        report = run(
            spec=recipe,
            folder=spec.parent,
            engine=engine,
            shards=shards,
            strict=strict,
            did=filtering.update,
        )
    _print_report(report, target, out)
    out.document({"out": str(target), "report_digest": report.digest, **report.document})


def _print_report(report: FilterReport, target: Path | ObjectFolder, out: Output) -> None:
    from ggez_hub.data.report import dropped, unlike_duplicates

    counts = report.document["counts"]
    out.line(
        f"{target}: {counts['kept']:,} of {counted(counts['seen'], 'example')} kept"
        + (f", {counted(counts['translated'], 'translation')}" if counts["translated"] else "")
    )
    rows = [
        (f"{stage}: {reason}", f"{count:,}") for stage, reason, count in dropped(report.document)
    ]
    if rows:
        out.table(("dropped", "examples"), rows)
    if unlike := unlike_duplicates(report.document):
        out.line(unlike)
    for warning in report.document["warnings"]:
        out.line(f"warning: {warning}")
    out.line(f"report: {target}/README.md, digest {report.digest[:16]}")


def _print_rated(found: RuleAccuracy, out: Output) -> None:
    out.line(counted(found.examples, "labelled example"))
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


@click.group("reward", cls=Group)
def reward_command() -> None:
    """Reward scorers: their agreement with people."""


@reward_command.command("agreement")
@click.argument("pairs", type=FILE)
@click.option("--spec", required=True, type=FILE, help="A filter with the scorer under `reward`.")
@click.option("--pictures", type=FOLDER, help="The folder that paths of pictures start from.")
@out_option("A file for `agreement`.", required=False)
@output_options
def agreement(
    pairs: Path, spec: Path, pictures: Path | None, target: Path | None, out: Output
) -> None:
    """How often a scorer orders a pair as people do.

    PAIRS is JSON lines or parquet with the columns preferred (a, b or tie), text or text_a and
    text_b, image or image_a and image_b, and language.
    """
    from ggez_hub.data.scorer_agreement import agreement as measure

    found = measure(_scorer(spec), pairs, pictures or pairs.parent)
    if target is not None:
        text = json.dumps(found.document(), ensure_ascii=False, indent=2)
        write_file(target, text + "\n")
    _print_agreement(found, out)
    out.document(found.document())


def _scorer(spec: Path) -> Scorer:
    from ggez_hub.data.scorers.spec import open_scorer
    from ggez_hub.data.spec import FilterSpec
    from ggez_hub.recipe_file import read_recipe

    recipe = read_recipe(spec, "filter", FilterSpec)
    if recipe.reward == "none":
        raise UsageProblem(f"{spec} names no scorer", "Add one under `reward`.")
    return open_scorer(recipe.reward.scorer, spec.parent, trained=recipe.base)


def _print_agreement(found: Agreement, out: Output) -> None:
    if found.agreement is None:
        out.line(f"{found.scorer}: no pair has a preference and two scores")
    else:
        verdict = "not better than guessing" if found.at_chance else "not a guess"
        if found.high is not None and found.high < 50:
            verdict = "worse than guessing"
        out.line(
            f"{found.scorer}: agrees on {found.agreement:.1f} % of {counted(found.n, 'pair')} "
            f"[{found.low:.1f}, {found.high:.1f}], {found.ties} ties: {verdict}"
        )
        rows = [
            (
                language,
                f"{row['n']}",
                f"{row['agreement']:.1f}",
                f"{row['low']:.1f} - {row['high']:.1f}",
            )
            for language, row in found.by_language.items()
        ]
        out.table(("language", "pairs", "agreement", "95 %"), rows)
    out.line(
        f"left out: {found.undecided} that people did not decide, {found.unscored} without two scores"
    )
