"""The runs of a model that SEA-HELM wrote: OUTPUT_DIR/MODEL/run_0, run_1, ...

Each run has configs/MODEL_run_config_DATE.yaml (its tasks and how it was run), inferences/LANGUAGE/TASK/
MODEL_TASK_LANGUAGE.jsonl (a row for each question; the folder of a task in an aggregation group is that
of the group) and results/MODEL_seahelm_results_DATE.json, which follows from those. Read in
aisingapore/SEA-HELM: src/seahelm_evaluation.py at 36a4d92, src/aggregation at 0621b36.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.loaders.sea_helm import TASKS
from ggez_hub.evaluation.benchmarks.task import parse
from ggez_hub.evaluation.sea_helm.task_files import Foreign
from ggez_hub.safe_yaml import load_mapping
from ggez_hub.text_files import read_text
from ggez_hub.validation_errors import listed

RUN = re.compile(r"^run_(\d+)\Z")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}")
MAX_CONFIG_BYTES = 8_000_000
MAX_ROWS_BYTES = 2_000_000_000
CHOICE = "normalized_accuracy"
# Metric -> the key that its rows have, and the best that a row can have.
METRICS = {
    CHOICE: ((CHOICE,), 1.0),
    # Renamed after it was first written.
    "normalized_refclipscore": (("normalized_refclipscore", "refclipscore"), 100.0),
}


class TaskConfig(Foreign):
    """A task as a run's configuration holds it; `languages` are kept as they are."""

    competency: str
    metric: str
    aggregation_group: str | None = None
    languages: dict[str, Any] = Field(min_length=1)
    judge: dict[str, Any] = Field(default_factory=dict)


class RunConfig(Foreign):
    """What one run asked."""

    tasks: dict[str, dict[str, Any]]
    seed: int | None = None
    run_env: dict[str, Any] = Field(default_factory=dict)


class AnswerRow(Foreign):
    """A question as a run answered it; a reply that failed is null."""

    id: str | int
    label: str | None = None
    responses: list[str | None] = Field(min_length=1)
    individual_scores: dict[str, Any]
    metadata: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class RunAnswers:
    """What every run answered to the n questions of one task in one language.

    items, labels  (n) ids, and the labels of the right answers; None where answers are free
    replies        by run: (n) texts; "" where a reply failed
    worth          by run: (n), 0 to 1
    metadata       (n) what the first run recorded of the questions
    config         the task in this language, as the first run asked it
    """

    name: str
    language: str
    config: TaskConfig
    items: tuple[str, ...]
    labels: tuple[str | None, ...]
    replies: tuple[tuple[str, ...], ...]
    worth: tuple[tuple[float, ...], ...]
    metadata: tuple[Mapping[str, Any], ...]

    @property
    def is_choice(self) -> bool:
        return self.config.metric == CHOICE


@dataclass(frozen=True)
class SeaHelmRuns:
    """The runs of one model; `left_out` are tasks and languages, each with the reason."""

    model: str
    count: int
    version: str
    answers: tuple[RunAnswers, ...]
    left_out: Mapping[str, str]


def read_runs(folder: Path) -> SeaHelmRuns:
    """The runs in OUTPUT_DIR/MODEL, of the vision tasks; raises GgezError.

    A task that some of the runs lack has the others alone, and is named in `left_out`'s place.
    """
    runs = sorted(
        (path for path in folder.iterdir() if path.is_dir() and RUN.match(path.name)),
        key=lambda path: int(path.name.removeprefix("run_")),
    )
    if not runs:
        raise GgezError(
            f"{folder} holds no runs of SEA-HELM (run_0, run_1, ...)",
            "Give the model's own folder, OUTPUT_DIR/MODEL.",
        )
    configs = [_config(run, folder.resolve().name) for run in runs]
    left_out: dict[str, str] = {}
    found = []
    for name, content in configs[0].tasks.items():
        if name not in TASKS:
            left_out[name] = "not a vision task that is known here"
            continue
        entry = parse(TaskConfig, f"the configuration of {runs[0]}: {name}", content)
        if entry.metric not in METRICS:
            left_out[name] = f"its metric is {entry.metric}, whose scale is not known here"
            continue
        for language in entry.languages:
            if language not in TASKS[name].languages:
                left_out[f"{name}/{language}"] = "a language that is not known here"
                continue
            _require_same(configs, name, language, folder)
            files = [_rows_file(run, folder.resolve().name, name, language, entry) for run in runs]
            there = [file for file in files if file.is_file()]
            if there:
                found.append(_answers(name, language, entry, there))
            if len(there) < len(files):
                key = f"{name}/{language}"
                left_out[key] = f"answered in {len(there)} of {len(files)} runs"
    version = str(configs[0].run_env.get("seahelm_git_hash") or "unknown")
    return SeaHelmRuns(folder.resolve().name, len(runs), version, tuple(found), left_out)


def _config(run: Path, model: str) -> RunConfig:
    dated = [
        (found[0], path) for path in run.glob("configs/*.yaml") if (found := DATE.search(path.name))
    ]
    if not dated:
        raise GgezError(f"{run} has no configuration like configs/{model}_run_config_DATE.yaml")
    path = max(dated)[1]
    try:
        content = load_mapping(read_text(path, MAX_CONFIG_BYTES))
    except (OSError, ValueError) as error:
        raise GgezError(f"{path} cannot be read: {error}") from error
    return parse(RunConfig, str(path), content)


def _require_same(configs: Sequence[RunConfig], name: str, language: str, folder: Path) -> None:
    """Raise GgezError where runs asked a task in other ways: their mean would mean nothing."""
    first = configs[0].tasks[name]
    for config in configs[1:]:
        other = config.tasks.get(name, first)
        for key in ("metric", "metadata"):
            if other.get(key) != first.get(key):
                raise GgezError(f"the runs in {folder} have several versions of {name}: {key}")
        if other.get("languages", {}).get(language) != first["languages"][language]:
            raise GgezError(f"the runs in {folder} asked {name} in {language} with several prompts")


def _rows_file(run: Path, model: str, name: str, language: str, entry: TaskConfig) -> Path:
    folder = run / "inferences" / language / (entry.aggregation_group or name)
    return folder / f"{model}_{name}_{language}.jsonl"


def _answers(name: str, language: str, entry: TaskConfig, files: Sequence[Path]) -> RunAnswers:
    runs = [_read_rows(file) for file in files]
    first = runs[0]
    for file, rows in zip(files, runs, strict=True):
        if [(row.id, row.label) for row in rows] != [(row.id, row.label) for row in first]:
            raise GgezError(
                f"{file} does not answer the questions of {files[0]}",
                "Runs are averaged question by question: all have to ask the same, in one order.",
            )
    if entry.metric == CHOICE and any(row.label is None for row in first):
        raise GgezError(f"{files[0]} has a row without a label")
    return RunAnswers(
        name,
        language,
        entry,
        _unique([str(row.id) for row in first]),
        tuple(row.label for row in first),
        tuple(tuple(row.responses[0] or "" for row in rows) for rows in runs),
        tuple(
            tuple(_worth(row, entry.metric, file) for row in rows)
            for file, rows in zip(files, runs, strict=True)
        ),
        tuple(row.metadata for row in first),
    )


def _unique(ids: Sequence[str]) -> tuple[str, ...]:
    """The ids; those that are there several times are numbered."""
    seen: Counter[str] = Counter()
    found = []
    for name in ids:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(found)


def _read_rows(file: Path) -> list[AnswerRow]:
    try:
        lines = read_text(file, MAX_ROWS_BYTES).splitlines()
    except (OSError, ValueError) as error:
        raise GgezError(f"{file} cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(AnswerRow.model_validate_json(line))
            except ValidationError as error:
                raise GgezError(
                    f"{file}, line {number}: not a row of SEA-HELM\n{listed(error)}"
                ) from error
    if not found:
        raise GgezError(f"{file} has no rows")
    return found


def _worth(row: AnswerRow, metric: str, file: Path) -> float:
    """What a row is worth, 0 to 1; what failed is worth nothing."""
    keys, best = METRICS[metric]
    key = next((key for key in keys if key in row.individual_scores), None)
    if key is None:
        raise GgezError(
            f"{file}: the row {row.id!r} has no {metric} but {', '.join(row.individual_scores)}",
            "The run is older than the metric: evaluate it again with SEA-HELM.",
        )
    value = row.individual_scores[key]
    share = 0.0 if value is None else value / best if isinstance(value, int | float) else -1.0
    if not 0 <= share <= 1:
        raise GgezError(
            f"{file}: the row {row.id!r} has {key} {value!r}, it should be 0 to {best:g}"
        )
    return share
