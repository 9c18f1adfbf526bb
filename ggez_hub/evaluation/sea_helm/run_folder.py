"""A results folder as runs of SEA-HELM, which its aggregation reads: OUTPUT_DIR/MODEL/run_0, ...

What a model replied where options were shown with letters is there as SEA-HELM has it; runs that were
read from SEA-HELM are written again as they were. Answers by likelihood or similarity have no replies.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ggez_hub.atomic_files import atomic_folder
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.outcomes import Outcomes, TaskRecord
from ggez_hub.evaluation.answers.repeated_answer import RepeatedAnswer
from ggez_hub.evaluation.benchmarks.benchmark import LETTERS
from ggez_hub.evaluation.benchmarks.loaders.sea_helm import TASKS
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.evaluation.sea_helm.runs import CHOICE, RunAnswers, SeaHelmRuns, TaskConfig
from ggez_hub.evaluation.sea_helm.scores import aggregate, run_metrics
from ggez_hub.parity.betas import Beta, beta_key

# In the metadata of a row: what identifies the picture, which SEA-HELM does not write.
PICTURE = "picture_sha256"
COMPETENCY = "vision"


@dataclass(frozen=True)
class WrittenRuns:
    """What was written; `left_out` are tasks whose answers are not replies."""

    folder: Path
    runs: int
    tasks: tuple[str, ...]
    left_out: tuple[str, ...]


def write_runs(evidence: Evidence, beta: Beta, model: str, out: Path) -> WrittenRuns:
    """Write the answers at one beta, of both splits, to the new folder `out`/`model`.

    Raises UsageProblem where no task has replies, OutputExists.
    """
    names, left_out = [], []
    answers = []
    for name, record in evidence.header.tasks.items():
        found = [
            o
            for cell, o in sorted(evidence.outcomes.items())
            if (cell.beta, cell.task) == (beta, name)
        ]
        # A regional task has questions that the one of the world has too.
        if record.side == "regional" and name.removesuffix("-regional") in evidence.header.tasks:
            continue
        outcomes = found[0].joined(found[1]) if len(found) > 1 else found[0] if found else None
        own = None if outcomes is None or not len(outcomes) else _answers(name, record, outcomes)
        if own is None:
            left_out.append(name)
        else:
            names.append(name)
            answers.append(own)
    if not answers:
        raise UsageProblem(
            f"{evidence.place} has no replies at beta {beta_key(beta)}: nothing that SEA-HELM can read",
            "Replies are of vision-language models, by generation.",
        )
    count = max(len(own.worth) for own in answers)
    runs = SeaHelmRuns(model, count, evidence.header.evaluator, tuple(answers), {})
    with atomic_folder(out / model) as partial:
        for number in range(count):
            _write_run(partial / f"run_{number}", number, runs)
        scores = yaml.safe_dump(aggregate(answers), sort_keys=False)
        (partial / f"{model}_scores.yaml").write_text(scores, encoding="utf-8")
    return WrittenRuns(out / model, count, tuple(names), tuple(left_out))


def _answers(name: str, record: TaskRecord, outcomes: Outcomes) -> RunAnswers | None:
    repeated = [RepeatedAnswer.from_text(raw) for raw in outcomes.recorded("raw")]
    shown = outcomes.recorded("options")
    labels: tuple[str | None, ...]
    if all(repeated):
        runs = [own.runs for own in repeated if own is not None]
        replies = tuple(zip(*([run.reply for run in own] for own in runs), strict=True))
        worth = tuple(zip(*([run.worth for run in own] for own in runs), strict=True))
        labels = outcomes.gold if outcomes.chance.any() else (None,) * len(outcomes)
    elif all(shown) and all(raw is not None for raw in outcomes.recorded("raw")):
        replies, worth = (outcomes.recorded("raw"),), (tuple(outcomes.worth.tolist()),)
        pairs = zip(outcomes.gold, shown, strict=True)
        # Options that are the same everywhere are named themselves, as true and false.
        labels = (
            outcomes.gold
            if len(set(shown)) == 1
            else tuple(LETTERS[options.index(gold)] for gold, options in pairs)
        )
    else:
        return None
    task, language = _named(name, record)
    metric = CHOICE if outcomes.chance.any() else "normalized_refclipscore"
    judged = {} if record.judge == "none" else {"judge": {"judge_model_name": record.judge}}
    config = TaskConfig.model_validate(
        {
            "competency": COMPETENCY,
            "metric": metric,
            "aggregation_group": "world_cuisine" if task.startswith("world_cuisine_") else None,
            "languages": {language: {"filepath": record.dataset}},
            **judged,
        }
    )
    return RunAnswers(
        task,
        language,
        config,
        outcomes.items,
        labels,
        replies,
        worth,
        tuple(_metadata(outcomes, language)),
    )


def _named(name: str, record: TaskRecord) -> tuple[str, str]:
    """A task's name and language as SEA-HELM has them; ours, where it is none of SEA-HELM's."""
    for task in TASKS:
        start = f"sea-helm-{task.replace('_', '-')}-"
        if name.startswith(start):
            return task, name.removeprefix(start).removesuffix("-regional")
    return name, str(record.language)


def _metadata(outcomes: Outcomes, language: str) -> Iterator[dict[str, Any]]:
    columns = (outcomes.recorded(name) for name in ("images", "categories", "countries"))
    for image, category, country in zip(*columns, strict=True):
        known = {PICTURE: image, "category": category, "country": country}
        yield {"language": language, **{key: v for key, v in known.items() if v is not None}}


def _write_run(folder: Path, number: int, runs: SeaHelmRuns) -> None:
    date = (
        datetime.datetime.now(datetime.UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    )
    metrics: dict[str, Any] = {}
    for own in runs.answers:
        if number >= len(own.worth):
            continue
        place = folder / "inferences" / own.language / (own.config.aggregation_group or own.name)
        place.mkdir(parents=True, exist_ok=True)
        rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in _rows(own, number))
        (place / f"{runs.model}_{own.name}_{own.language}.jsonl").write_text(rows, encoding="utf-8")
        metrics.setdefault(own.language, {}).setdefault(own.config.competency, {})[own.name] = (
            run_metrics(number, own)
        )
    tasks: dict[str, Any] = {}
    for own in runs.answers:
        entry = own.config.model_dump(exclude_defaults=True)
        tasks.setdefault(own.name, {"name": own.name, **entry, "languages": {}})
        tasks[own.name]["languages"] |= own.config.languages
    config = {
        "tasks": tasks,
        "run_number": number,
        "run_env": {"seahelm_git_hash": runs.version},
        "run_args": {"model_name": runs.model, "skip_task": []},
    }
    for name, suffix, text in (
        (
            "configs",
            f"run_config_{date}.yaml",
            yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        ),
        (
            "results",
            f"seahelm_results_{date}.json",
            json.dumps(_totals(metrics, runs.answers), indent=2),
        ),
    ):
        (folder / name).mkdir(parents=True)
        (folder / name / f"{runs.model}_{suffix}").write_text(text, encoding="utf-8")


def _rows(answers: RunAnswers, run: int) -> Iterator[dict[str, Any]]:
    """What SEA-HELM's aggregation reads of a row, and the reply."""
    for place, item in enumerate(answers.items):
        worth, label = answers.worth[run][place], answers.labels[place]
        scores = {CHOICE: int(worth)} if answers.is_choice else {"refclipscore": 100 * worth}
        yield {
            "id": item,
            **({"label": label} if answers.is_choice else {}),
            "metadata": dict(answers.metadata[place]),
            "responses": [answers.replies[run][place]],
            "individual_scores": scores,
        }


def _totals(metrics: dict[str, Any], answers: Sequence[RunAnswers]) -> Mapping[str, Any]:
    """The metrics with SEA-HELM's means over tasks, competencies and languages."""
    totals = []
    configs = {own.name: own.config for own in answers}
    for competencies in metrics.values():
        own = []
        for tasks in competencies.values():
            scores: dict[str, list[float]] = {}
            for name, found in tasks.items():
                config = configs[name]
                scores.setdefault(config.aggregation_group or name, []).append(found[config.metric])
            means = {name: sum(values) / len(values) for name, values in scores.items()}
            groups = {config.aggregation_group for config in configs.values()}
            tasks |= {name: value for name, value in means.items() if name in groups}
            tasks["total"] = sum(means.values()) / len(means)
            own.append(tasks["total"])
        competencies["total"] = sum(own) / len(own)
        totals.append(competencies["total"])
    return {**metrics, "total": sum(totals) / len(totals)} if totals else metrics
