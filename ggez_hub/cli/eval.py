"""`eval`: a model on the tasks of a suite, for a region."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from ggez_hub.cards import alpha_record
from ggez_hub.cli.asked_measurements import AskedEval, points_of
from ggez_hub.cli.engine import SHARDS_OF_A_MODEL, engine_options, refuse_endpoints
from ggez_hub.cli.measurement_plan import planned
from ggez_hub.cli.models import cache_option
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import BETA, FOLDER, NEW_FOLDER, SHARE, out_option
from ggez_hub.cli.scores import print_scores
from ggez_hub.execution import Engine
from ggez_hub.hub_connection import connect
from ggez_hub.progress import task
from ggez_hub.quantities import counted, interval_text
from ggez_hub.regions import Alpha, alpha


@click.command("eval")
@click.argument("model")
@click.option(
    "--adapter",
    metavar="FOLDER_OR_REPO",
    help="Measure MODEL with this adapter on it, in memory: nothing is merged to disk.",
)
@click.option("--beta", type=BETA, help="The weight of the adapter.")
@click.option(
    "--judge",
    metavar="MODEL",
    help="The model that describes the pictures that MODEL draws; named as MODEL is.",
)
@click.option(
    "--suite",
    "suites",
    multiple=True,
    required=True,
    metavar="FOLDER_OR_NAME",
    help="Tasks: a built-in suite (cvqa, sea-vqa, ...), or a folder of task files; repeatable.",
)
@click.option("--region", "region_name", required=True, help="Whose items are the regional side.")
@out_option("The results folder; one of this very evaluation is completed.", NEW_FOLDER)
@click.option("--include", multiple=True, type=FOLDER, help="A folder with more suites.")
@click.option("--data", type=FOLDER, help="Data sets as DIR/OWNER/NAME, instead of the hub's.")
@click.option(
    "--pictures",
    type=FOLDER,
    help="Pictures that a data set names by address, each file named by the address' sha256.",
)
@engine_options(SHARDS_OF_A_MODEL, "eval")
@cache_option
@click.option(
    "--key-variable",
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
@click.option(
    "--alpha", "given_alpha", type=SHARE, help="This alpha, instead of that of the KOF index."
)
@hub_option
@output_options
def eval_command(
    model: str,
    adapter: str | None,
    beta: float | None,
    judge: str | None,
    suites: tuple[str, ...],
    region_name: str,
    target: Path,
    include: tuple[Path, ...],
    data: Path | None,
    pictures: Path | None,
    engine: Engine,
    shards: int | None,
    only_plan: bool,
    cached: bool,
    key_variable: str | None,
    parallel: int,
    given_alpha: float | None,
    hub: str,
    out: Output,
) -> None:
    """Measure a model on real benchmarks, for a region.

    MODEL is a folder or `org/name@revision`: an embedding model (open_clip; CLIP or SigLIP of
    transformers) or a vision-language model of transformers; or `http://HOST/v1#NAME`, a model behind
    an OpenAI-compatible endpoint; or a pipeline of diffusers, with --judge or tasks that name their own
    judge. Scores, parity and every answer are kept: `ggez-hub verify DIR` recomputes every figure of the results, and with `--rerun K` MODEL
    answers some of them again.
    """
    from ggez_hub.evaluation.sweep.run import sweep
    from ggez_hub.evaluation.sweep.tasks import answer_tasks

    asked = AskedEval(
        model=_absolute(model),
        adapter=adapter and _absolute(adapter),
        beta=beta,
        judge=judge and _absolute(judge),
        suites=tuple(map(_absolute, suites)),
        region=region_name,
        target=target.absolute(),
        include=tuple(folder.absolute() for folder in include),
        data=data and data.absolute(),
        pictures=pictures and pictures.absolute(),
        cached=cached,
        key_variable=key_variable,
        parallel=parallel,
        hub=hub,
    )
    refuse_endpoints(engine, model, judge)
    with connect(hub, quiet=out.quiet) as server:
        opened = asked.find(server)
        points = points_of(opened, target)
        stored = opened.named.stored
        is_over = planned(
            [points], stored, opened.data_bytes, engine, shards, asked.inputs, out, only_plan
        )
    region, named = opened.region, opened.named
    factor = alpha(region) if given_alpha is None else Alpha.from_user(given_alpha, region)
    if named.subject.remark:
        out.note(named.subject.remark)
    if opened.empty:
        out.note(f"Left out, without items of {region.id}: {', '.join(opened.empty)}")
    if is_over:
        return
    on_engine = answer_tasks(engine, asked, shards, asked.target, [points])
    with on_engine as tasks, task("asking") as asking:
        evidence = sweep(
            [named.subject],
            opened.tasks,
            region,
            alpha_record(factor),
            target,
            known=opened.source.known,
            trained_on=named.trained_on,
            origin=opened.origin,
            progress=asking.update,
            before=partial(tasks.answer, 0, points) if tasks else None,
        )
    _print_tasks(target, out)
    print_scores(evidence.place, out)


def _absolute(named: str) -> str:
    """A folder or file by its absolute path, another name as it is."""
    return str(Path(named).absolute()) if Path(named).exists() else named


def _print_tasks(target: Path, out: Output) -> None:
    from ggez_hub.evaluation.results.evidence import RESULTS

    content = json.loads((target / RESULTS).read_text(encoding="utf-8"))
    tasks = content["header"]["tasks"]
    rows: list[tuple[str, ...]] = []
    for scores in content["scores"].values():
        for name, score in scores.items():
            missing = str(score["missing"])
            if not score["n"]:
                rows.append((name, "nothing to ask", "", "", "0", missing, "", ""))
                continue
            unread, n = score["unparsed"], score["n"]
            rows.append(
                (
                    name,
                    interval_text(score["score"], *score["interval"]),
                    f"{score['average']}{_gallery(tasks[name.rpartition('/')[0]])}",
                    f"{score['floor']:.2f}",
                    str(n),
                    missing,
                    f"{unread} ({100 * unread / n:.1f} %)" if unread else "0",
                    "at chance" if score["at_chance"] else "",
                )
            )
            # DPG-Bench's own script makes another figure of the same answers.
            if script := score.get("ella_script"):
                figure = interval_text(script["score"], *script["interval"])
                counts = (str(script["n"]), str(script["missing"]))
                rows.append(
                    (f"{name}, as ELLA's script", figure, "mean of prompts", "", *counts, "", "")
                )
    out.table(
        ("task", "score", "average", "chance", "n", "missing", "unread", ""),
        rows,
        title="0-100 with 95 % intervals",
    )
    out.line("")


def _gallery(task: dict[str, Any]) -> str:
    """How many pictures are searched, and how many published figures are about."""
    found, published = task["gallery"], task["published"]
    if found is None:
        return ""
    other = "" if published in (None, found) else f", published figures: {published:,}"
    return f"; among {counted(found, 'picture')}{other}"
