"""Results as records of Every Eval Ever: one JSON file for each model, and one row for each question.

The schemas are every_eval_ever/schemas/eval.schema.json and instance_level_eval.schema.json (0.2.2) of
evaleval/every_eval_ever at 21b3d1ab3894e9b9aaceca285548accfaa71b333; files are laid out as in its data
store: data/BENCHMARK/DEVELOPER/MODEL/UUID.json(l).
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub import __version__
from ggez_hub.atomic_files import write_file
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.outcomes import Outcomes, TaskRecord
from ggez_hub.evaluation.answers.repeated_answer import RepeatedAnswer
from ggez_hub.evaluation.answers.scores import score_of
from ggez_hub.evaluation.benchmarks.preparation import PreparedTask
from ggez_hub.evaluation.results.breakdown import average_name
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.evaluation.results.header import AtAddress, InFolder, InRepo
from ggez_hub.parity.betas import Beta, beta_key, betas_of

SCHEMA_COMMIT = "21b3d1ab3894e9b9aaceca285548accfaa71b333"
SCHEMA_VERSION = "0.2.2"
BENCHMARK = "ggez-hub"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/evaleval/every_eval_ever")
Json = dict[str, Any]


@dataclass(frozen=True)
class WrittenRecord:
    """A record's file, and how many results and rows of questions belong to it."""

    file: Path
    results: int
    questions: int


def write_records(
    evidence: Evidence,
    beta: Beta,
    out: Path,
    *,
    model: str | None = None,
    tasks: Sequence[PreparedTask] | None = None,
) -> WrittenRecord:
    """Write the record of the model at one beta below `out`; the same results replace their record.

    model  ORG/NAME; the name that the results know if left out
    tasks  the tasks with their questions: with them there is a row for each question
    """
    name = model or _name(evidence, beta)
    if name.count("/") != 1 or not all(
        part and not part.startswith(".") for part in name.split("/")
    ):
        raise UsageProblem(f"{name!r} is not ORG/NAME", "Name the model with --model ORG/NAME.")
    cells = sorted(
        (cell.task, cell.split, outcomes)
        for cell, outcomes in evidence.outcomes.items()
        if cell.beta == beta and len(outcomes)
    )
    now = f"{time.time():.3f}"
    identity = uuid.uuid5(NAMESPACE, f"{evidence.header.sha256}/{beta_key(beta)}/{name}")
    record: Json = {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": f"{BENCHMARK}/{name}/{now}",
        "retrieved_timestamp": now,
        "source_metadata": _source(evidence),
        "eval_library": {
            "name": BENCHMARK,
            "version": __version__,
            "additional_details": {"evaluator": evidence.header.evaluator},
        },
        "model_info": _model(evidence, beta, name),
        "evaluation_results": [
            _result(task, split, evidence.header.tasks[task], outcomes)
            for task, split, outcomes in cells
        ],
    }
    file = out / "data" / BENCHMARK / name / f"{identity}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    rows: list[Json] = []
    if tasks is not None:
        asked = {task.id: task for task in tasks}
        rows = [
            row
            for task, split, outcomes in cells
            if task in asked and split in asked[task].asked
            for row in _rows(record["evaluation_id"], name, asked[task], split, outcomes)
        ]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_file(file.with_suffix(".jsonl"), text)
        record["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": file.with_suffix(".jsonl").name,
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(text.encode()).hexdigest(),
            "total_rows": len(rows),
        }
    write_file(file, json.dumps(record, ensure_ascii=False, indent=2) + "\n")
    return WrittenRecord(file, len(cells), len(rows))


def _name(evidence: Evidence, beta: Beta) -> str:
    """ORG/NAME of the adapter where one is on it, else of the base."""
    header = evidence.header
    named = UNKNOWN
    if any(betas_of(beta)) and header.adapters:
        named = header.adapters[0].name.partition("@")[0]
    elif evidence.document is not None:
        named = evidence.document.card.base.repo
    elif header.origin is not None:
        match header.origin.model:
            case InRepo(repo=named):
                pass
            case InFolder(folder=folder):
                named = Path(folder).name
            case AtAddress(address=address):
                named = address.rpartition("#")[2]
    return named if named.count("/") == 1 else f"{UNKNOWN}/{named.replace('/', '-')}"


def _source(evidence: Evidence) -> Json:
    by_registry = evidence.header.measured_by == "registry"
    return {
        "source_name": "results of ggez-hub",
        "source_type": "evaluation_run",
        "source_organization_name": "ggez-hub registry" if by_registry else UNKNOWN,
        "evaluator_relationship": "third_party" if by_registry else "first_party",
        "additional_details": {"predictions_sha256": evidence.header.sha256},
    }


def _model(evidence: Evidence, beta: Beta, name: str) -> Json:
    header = evidence.header
    key = beta_key(beta)
    about = {
        "beta": key,
        "model_sha256": header.models.get(key, UNKNOWN),
        "region": header.region,
        "alpha": f"{header.alpha.value:.6g}",
    }
    if header.adapters:
        about["adapters"] = ", ".join(adapter.name for adapter in header.adapters)
    if header.origin is not None and isinstance(header.origin.model, InRepo):
        about["base"] = f"{header.origin.model.repo}@{header.origin.model.revision}"
    return {
        "name": name.partition("/")[2],
        "id": name,
        "developer": name.partition("/")[0],
        "additional_details": about,
    }


def _result(task: str, split: str, record: TaskRecord, outcomes: Outcomes) -> Json:
    score = score_of(outcomes)
    details: Mapping[str, str] = {
        "floor": f"{score.floor:.6g}",
        "above_chance": f"{score.normalised:.6g}",
        "average": average_name(outcomes.average),
        "side_of_parity": record.side,
        "split": split,
        "pictures": str(score.pictures),
        "missing": str(score.missing),
        "unparsed": str(score.unparsed),
        "runs": str(record.runs),
        "task_sha256": record.digests.get(split, UNKNOWN),
    }
    known = {} if record.revision == UNKNOWN else {"hf_revision": record.revision}
    return {
        "evaluation_result_id": f"{task}/{split}",
        "evaluation_name": task,
        "source_data": {
            "dataset_name": task,
            **(
                {"source_type": "other"}
                if record.dataset == UNKNOWN
                else {"source_type": "hf_dataset", "hf_repo": record.dataset, **known}
            ),
            **({} if record.dataset == UNKNOWN else {"samples_number": score.n}),
        },
        "metric_config": {
            "evaluation_description": f"{record.metric} on {task}, {split} side",
            "metric_id": f"{BENCHMARK}.{record.metric}",
            "metric_name": record.metric,
            "metric_unit": "percent",
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0,
            "max_score": 100,
            "additional_details": {"judge": record.judge},
        },
        "score_details": {
            "score": score.score,
            "details": details,
            "uncertainty": {
                "standard_error": {"value": score.se, "method": "clustered by picture"},
                "confidence_interval": {
                    "lower": score.low,
                    "upper": score.high,
                    "confidence_level": 0.95,
                    "method": "Wilson, for the effective number of pictures",
                },
                "num_samples": score.n,
            },
        },
    }


def _rows(
    evaluation: str, model: str, task: PreparedTask, split: str, outcomes: Outcomes
) -> Iterator[Json]:
    """A row for every question whose text is known."""
    asked = task.asked[split]
    texts: dict[str, tuple[str, tuple[str, ...] | None]] = {
        free.item.id: (free.text, None) for free in asked.free
    }
    texts |= {chat.item.id: (chat.shown, chat.item.options) for chat in asked.choices}
    raws = outcomes.recorded("raw")
    for row, item in enumerate(outcomes.items):
        if item not in texts:
            continue
        text, options = texts[item]
        gold, given = outcomes.gold[row], outcomes.predicted[row]
        repeated = RepeatedAnswer.from_text(raws[row])
        replies = [run.reply for run in repeated.runs] if repeated else [raws[row] or given]
        yield {
            "schema_version": f"instance_level_eval_{SCHEMA_VERSION}",
            "evaluation_id": evaluation,
            "model_id": model,
            "evaluation_name": task.id,
            "evaluation_result_id": f"{task.id}/{split}",
            "sample_id": item,
            "sample_hash": hashlib.sha256(f"{text}{gold}".encode()).hexdigest(),
            "interaction_type": "single_turn",
            "input": {
                "raw": text,
                "reference": [gold],
                "choices": list(options) if options else None,
            },
            "output": {"raw": replies},
            "answer_attribution": [
                {
                    "turn_idx": 0,
                    "source": "output.raw",
                    "extracted_value": given,
                    "extraction_method": task.record.metric,
                    "is_terminal": True,
                }
            ],
            "evaluation": {
                "score": float(outcomes.worth[row]),
                "is_correct": bool(outcomes.correct[row]),
            },
            "metadata": {
                name: value
                for name, column in (
                    ("picture_sha256", "images"),
                    ("country", "countries"),
                    ("language", "languages"),
                    ("category", "categories"),
                )
                if (value := outcomes.recorded(column)[row]) is not None
            },
        }
