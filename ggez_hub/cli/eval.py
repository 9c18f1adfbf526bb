"""`eval`: a model on the tasks of a suite, for a region."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ggez_hub.cli.models import ModelPlace, cache_option
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import BETA, FOLDER, NEW_FOLDER, SHARE
from ggez_hub.cli.tasks import TaskData, find_tasks
from ggez_hub.errors import UsageProblem


@click.command("eval", short_help="Measure a model on real benchmarks, for a region.")
@click.argument("model")
@click.option(
    "--adapter",
    default=None,
    metavar="FOLDER_OR_REPO",
    help="Measure MODEL with this adapter on it, in memory: nothing is merged to disk.",
)
@click.option("--beta", type=BETA, default=None, help="The weight of the adapter.")
@click.option(
    "--judge",
    default=None,
    metavar="MODEL",
    help="Who says what is to be seen in the pictures that MODEL draws; named as MODEL is.",
)
@click.option(
    "--suite",
    "suites",
    multiple=True,
    required=True,
    metavar="FOLDER_OR_NAME",
    help="Tasks: a built-in suite (cvqa, sea-vqa, ...), or a folder of task files; repeatable.",
)
@click.option("--region", "asked_region", required=True, help="Whose items are the regional side.")
@click.option(
    "-o",
    "--out",
    "target",
    required=True,
    type=NEW_FOLDER,
    help="The results folder; one of this very evaluation is completed.",
)
@click.option("--include", multiple=True, type=FOLDER, help="A folder with more suites.")
@click.option(
    "--data", type=FOLDER, default=None, help="Data sets as DIR/OWNER/NAME, instead of the hub's."
)
@click.option(
    "--pictures",
    type=FOLDER,
    default=None,
    help="Pictures that a data set names by address, each file named by the address' sha256.",
)
@cache_option
@click.option(
    "--key-variable",
    default=None,
    metavar="NAME",
    help="The environment variable with the key of an endpoint; it is written nowhere.",
)
@click.option(
    "--parallel",
    type=click.IntRange(1, 256),
    default=8,
    show_default=True,
    help="Questions that an endpoint is asked at once.",
)
@click.option("--alpha", "given_alpha", type=SHARE, default=None, help="Instead of KOF's.")
@hub_option
@output_options
def eval_command(
    model: str,
    adapter: str | None,
    beta: float | None,
    judge: str | None,
    suites: tuple[str, ...],
    asked_region: str,
    target: Path,
    include: tuple[Path, ...],
    data: Path | None,
    pictures: Path | None,
    cached: bool,
    key_variable: str | None,
    parallel: int,
    given_alpha: float | None,
    hub: str,
    out: Output,
) -> None:
    """Measure a model on real benchmarks, for a region: scores, parity, and every answer.

    MODEL is a folder or `org/name@revision`: an embedding model (open_clip; CLIP or SigLIP of
    transformers) or a vision-language model of transformers; or `http://HOST/v1#NAME`, a model behind
    an OpenAI-compatible endpoint; or a pipeline of diffusers, with --judge or tasks that name their own
    judge. `ggez-hub verify DIR` recomputes every figure of the results, and with `--rerun K` MODEL
    answers some of them again.
    """
    from ggez_hub.cards import alpha_record
    from ggez_hub.cli.verify import show_scores
    from ggez_hub.evaluation.benchmarks.contents import Pool
    from ggez_hub.evaluation.models.judge_model import with_judge
    from ggez_hub.evaluation.sweep.run import sweep
    from ggez_hub.hub_connection import connect
    from ggez_hub.regions import Alpha, alpha, find_region

    if (adapter is None) != (beta is None):
        raise UsageProblem("--adapter and --beta go together", "eval BASE --adapter DIR --beta 0.5")
    region = find_region(asked_region)
    tasks = find_tasks(suites, include)
    factor = alpha(region) if given_alpha is None else Alpha.from_user(given_alpha, region)
    with connect(hub, quiet=out.quiet) as server:
        place = ModelPlace(server, target, cached, key_variable, parallel)
        judged_by, judge_place = place.judge(judge) if judge else (None, None)
        named = place.model(model, adapter, beta, judged_by)
        subject = named.subject
        source = TaskData(server, data, pictures, subject.methods, Pool())
        prepared, empty = source.prepare(tasks, region)
        origin = source.origin(tasks, target, named.place, named.adapters, judge_place)
    if subject.remark:
        out.note(subject.remark)
    if empty:
        out.note(f"Left out, without items of {region.id}: {', '.join(empty)}")
    with out.progress("steps") as progress:
        bar = progress.add_task("asking", total=None)
        evidence = sweep(
            [subject],
            with_judge(prepared, judged_by, subject.methods),
            region,
            alpha_record(factor),
            target,
            known=place.known,
            trained_on=named.trained_on,
            origin=origin,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    _tell(target, out)
    show_scores(evidence.place, out)


def _tell(target: Path, out: Output) -> None:
    """The scores of every task, for people."""
    import json

    from ggez_hub.evaluation.results.evidence import RESULTS

    content = json.loads((target / RESULTS).read_text(encoding="utf-8"))
    scores, tasks = content["scores"], content["header"]["tasks"]

    def row(name: str, score: dict[str, Any]) -> tuple[str, ...]:
        if not score["n"]:
            return (name, "nothing to ask", "", "", "0", str(score["missing"]), "", "")
        low, high = score["interval"]
        return (
            name,
            f"{score['score']:.2f} [{low:.2f}, {high:.2f}]",
            f"{score['average']}{_gallery(tasks[name.rpartition('/')[0]])}",
            f"{score['floor']:.2f}",
            str(score["n"]),
            str(score["missing"]),
            _unread(score),
            "at chance" if score["at_chance"] else "",
        )

    out.table(
        ("task", "score", "average", "chance", "n", "missing", "unread", ""),
        [
            line
            for rows in scores.values()
            for name, score in rows.items()
            for line in (row(name, score), *_as_script(name, score))
        ],
        title="0-100 with 95 % intervals",
    )
    out.line("")


def _as_script(name: str, score: dict[str, Any]) -> list[tuple[str, ...]]:
    """What DPG-Bench's own script makes of the same answers: another figure than the score."""
    found = score.get("ella_script")
    if found is None:
        return []
    low, high = found["interval"]
    figure = f"{found['score']:.2f} [{low:.2f}, {high:.2f}]"
    left_out = str(found["missing"])
    return [
        (
            f"{name}, as ELLA's script",
            figure,
            "mean of prompts",
            "",
            str(found["n"]),
            left_out,
            "",
            "",
        )
    ]


def _gallery(task: dict[str, Any]) -> str:
    """How many pictures a search is among, and where published figures have another number."""
    found, published = task["gallery"], task["published"]
    if found is None:
        return ""
    other = "" if published in (None, found) else f", published figures: {published:,}"
    return f"; among {found:,} pictures{other}"


def _unread(score: dict[str, Any]) -> str:
    """How many answers could not be read, and their share."""
    count = score["unparsed"]
    return f"{count} ({100 * count / score['n']:.1f} %)" if count else "0"
