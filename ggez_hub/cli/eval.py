"""`eval`: a model on the tasks of a suite, for a region."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ggez_hub.cli.measuring import adapter_place, model_folder, trained_on
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.errors import UsageProblem

if TYPE_CHECKING:
    from ggez_hub.evaluation.answered import Answered
    from ggez_hub.evaluation.benchmark import Benchmark
    from ggez_hub.evaluation.benchmark_items import Pool
    from ggez_hub.evaluation.subjects import UnderTest
    from ggez_hub.evaluation.subjects.judging import Judge
    from ggez_hub.evaluation.suite import Prepared
    from ggez_hub.evaluation.sweep import TrainedOn
    from ggez_hub.evaluation.task import Task
    from ggez_hub.hub import Hub
    from ggez_hub.regions import Region

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command("eval", short_help="Measure a model on real benchmarks, for a region.")
@click.argument("model")
@click.option(
    "--adapter",
    default=None,
    metavar="FOLDER_OR_REPO",
    help="Measure MODEL with this adapter on it, in memory: nothing is merged to disk.",
)
@click.option("--beta", type=float, default=None, help="The weight of the adapter.")
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
    type=click.Path(path_type=Path, file_okay=False),
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
@click.option(
    "--cache/--no-cache",
    "cached",
    default=True,
    help="Answers are kept in the user's cache, and none is computed twice.",
)
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
@click.option("--alpha", "given_alpha", type=float, default=None, help="Instead of KOF's.")
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
    an OpenAI-compatible endpoint; or, with --judge, a pipeline of diffusers. `ggez-hub verify DIR`
    recomputes every figure of the results.
    """
    from ggez_hub.cards import alpha_record
    from ggez_hub.cli.verify import show_scores
    from ggez_hub.evaluation.benchmark_items import Pool
    from ggez_hub.evaluation.subjects.judging import with_judge
    from ggez_hub.evaluation.suite import evaluate
    from ggez_hub.hubs import connect
    from ggez_hub.regions import Alpha, alpha, find_region

    if (adapter is None) != (beta is None):
        raise UsageProblem("--adapter and --beta go together", "eval BASE --adapter DIR --beta 0.5")
    region = find_region(asked_region)
    tasks = _tasks(suites, include)
    factor = alpha(region) if given_alpha is None else Alpha.from_user(given_alpha, region)
    with connect(hub, quiet=out.quiet) as server:
        place = _Place(server, key_variable, parallel, target, cached=cached)
        judged_by = place.judge(judge) if judge else None
        subject, trained = place.model(model, adapter, beta, judged_by)
        source = _Data(server, data, pictures, subject.methods, Pool())
        prepared = [(task.id, source.prepare(task, region)) for task in tasks]
    if subject.remark:
        out.note(subject.remark)
    if empty := [name for name, found in prepared if not found]:
        out.note(f"Left out, without items of {region.id}: {', '.join(empty)}")
    chosen = with_judge([task for _, found in prepared for task in found], judged_by)
    with out.progress("steps") as progress:
        bar = progress.add_task("asking", total=None)
        evidence = evaluate(
            subject,
            chosen,
            region,
            alpha_record(factor),
            target,
            known=place.known,
            trained_on=trained,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    _tell(target, out)
    show_scores(evidence.place, out)


@dataclass(frozen=True)
class _Place:
    """Where models come from, and where their answers are kept."""

    hub: Hub
    key_variable: str | None
    parallel: int
    target: Path
    cached: bool

    def model(
        self, named: str, adapter: str | None, beta: float | None, judge: Judge | None = None
    ) -> tuple[UnderTest, TrainedOn]:
        """The model that is named, and what it was trained on."""
        from ggez_hub.evaluation.subjects import Adapted, model_in
        from ggez_hub.evaluation.subjects.opening import painter_in
        from ggez_hub.evaluation.subjects.served import is_address, served
        from ggez_hub.families import detect_family

        if is_address(named):
            if adapter is not None or judge is not None:
                raise UsageProblem("an endpoint takes no adapter, and draws nothing to be judged")
            return served(named, self.key_variable, self.parallel), "unknown"
        folder = model_folder(named, Path(), self.hub)
        adapted = None
        if adapter is not None and beta is not None:
            adapted = Adapted(adapter_place(adapter, Path(), self.hub), beta)
        trained = trained_on(adapted.adapter if adapted else folder)
        family = detect_family(folder)
        if judge is None:
            return model_in(folder, family, adapted), trained
        return painter_in(folder, family, adapted, judge, self.target / "pictures"), trained

    def judge(self, named: str) -> Judge:
        """The judge that is named; a folder is called by its last name."""
        from ggez_hub.evaluation.subjects.judging import Judge
        from ggez_hub.evaluation.sweep import WORK

        model, _ = self.model(named, None, None)
        name = Path(named).resolve().name if Path(named).is_dir() else named.rpartition("#")[2]
        return Judge(name, model, lambda judge: self.known(judge, self.target / WORK))

    def known(self, model: UnderTest, work: Path) -> Answered:
        """The answers of a model in the user's cache, as computed by what is installed here.

        Of a model whose weights are not known, those of this very run.
        """
        from ggez_hub.evaluation.answered import InMemory, OnDisk, answers_of
        from ggez_hub.evaluation.subjects.opening import engine
        from ggez_hub.weights import digest_json

        if not self.cached:
            return InMemory()
        if not model.shared:
            return OnDisk(work / f"{model.digest}.sqlite")
        return answers_of(digest_json({"model": model.digest, "engine": engine()}))


def _tasks(suites: tuple[str, ...], include: tuple[Path, ...]) -> list[Benchmark | Task]:
    from ggez_hub.evaluation.benchmark import find_benchmarks
    from ggez_hub.evaluation.task import BadTask, read_tasks

    found: list[Benchmark | Task] = []
    for suite in suites:
        here: list[Benchmark | Task] = [*find_benchmarks(suite, include)]
        for path in sorted(Path(suite).glob("*.yaml")):
            here += read_tasks(path)
        if not here:
            raise BadTask(f"{suite} holds no tasks", "A task is YAML with `kind: benchmark`.")
        found += here
    if len({task.id for task in found}) != len(found):
        raise UsageProblem("two tasks of the suites have the same id", "Name each suite once.")
    return found


@dataclass(frozen=True)
class _Data:
    """Where data sets come from: a folder of the user, or the hub."""

    hub: Hub
    folder: Path | None
    pictures: Path | None
    methods: tuple[str, ...]
    pool: Pool

    def prepare(self, task: Benchmark | Task, region: Region) -> tuple[Prepared, ...]:
        """The questions of a task; none if it has no items of the region."""
        from ggez_hub.evaluation.benchmark import Benchmark
        from ggez_hub.evaluation.benchmark_items import Folders
        from ggez_hub.evaluation.suite import prepare_benchmark, prepare_task

        if not isinstance(task, Benchmark):
            data, revision = self._of(task.dataset, list(task.splits.values()))
            return prepare_task(task, data, region, revision)
        data, revision = self._of(task.dataset, list(task.files.values()))
        other = task.pictures
        images = self._of(other, [other.files])[0] if other else None
        folders = Folders(data, images, self.pictures, self.pool)
        return prepare_benchmark(task, folders, region, revision, self.methods)

    def _of(self, dataset: Any, patterns: list[str]) -> tuple[Path, str]:
        """The folder with the files of a data set that fit, and the commit that they are of."""
        from ggez_hub.evaluation.benchmark_items import fits
        from ggez_hub.evaluation.items import BadItems

        if self.folder is not None:
            place = self.folder / dataset.repo
            if not place.is_dir():
                raise BadItems(
                    f"{self.folder} has no folder {dataset.repo}",
                    f"hf download --repo-type dataset {dataset.repo} --local-dir {place}",
                )
            return place, dataset.revision
        at = self.hub.at_commit(dataset.repo, dataset.revision, "dataset")
        wanted = [f for f in at.files if any(fits(f.path, pattern) for pattern in patterns)]
        if not wanted:
            raise BadItems(
                f"{at.repo}@{at.revision[:12]} has no file like {', '.join(patterns)}",
                "Write its files' names into a task of your own.",
            )
        return self.hub.fetch(at.repo, at.revision, wanted, "dataset"), at.revision


def _tell(target: Path, out: Output) -> None:
    """The scores of every task, for people."""
    import json

    from ggez_hub.evaluation.evidence import RESULTS

    scores = json.loads((target / RESULTS).read_text(encoding="utf-8"))["scores"]

    def row(name: str, score: dict[str, Any]) -> tuple[str, ...]:
        if not score["n"]:
            return (name, "nothing to ask", "", "0", str(score["missing"]), "", "")
        low, high = score["interval"]
        return (
            name,
            f"{score['score']:.2f} [{low:.2f}, {high:.2f}]",
            f"{score['floor']:.2f}",
            str(score["n"]),
            str(score["missing"]),
            _unread(score),
            "at chance" if score["at_chance"] else "",
        )

    out.table(
        ("task", "score", "chance", "n", "missing", "unread", ""),
        [row(name, score) for tasks in scores.values() for name, score in tasks.items()],
        title="0-100 with 95 % intervals",
    )
    out.line("")


def _unread(score: dict[str, Any]) -> str:
    """How many answers could not be read, and their share."""
    count = score["unparsed"]
    return f"{count} ({100 * count / score['n']:.1f} %)" if count else "0"
