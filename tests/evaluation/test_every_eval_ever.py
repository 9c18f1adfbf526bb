"""Results as records of Every Eval Ever, held against its schema.

The models below state what every_eval_ever/schemas/eval.schema.json and instance_level_eval.schema.json
(0.2.2) of evaleval/every_eval_ever demand at SCHEMA_COMMIT: required keys, types, words, and the
conditions on scores and on single turns. Keys are closed where the schema closes them, and also where
it does not, to what is written.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal

import pytest
from click.testing import CliRunner
from pydantic import BaseModel, ConfigDict, Field

from ggez_hub.cli.main import cli
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.benchmarks.contents import Folders
from ggez_hub.evaluation.benchmarks.preparation import prepare_benchmark
from ggez_hub.evaluation.every_eval_ever import SCHEMA_COMMIT, write_records
from ggez_hub.evaluation.models.generative_model import read_replies
from ggez_hub.evaluation.results.evidence import open_evidence
from ggez_hub.regions import find_region
from ggez_hub.registry.task_data import find_tasks
from tests.evaluation import benchmarks as made
from tests.evaluation import results


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Details = dict[str, str]


class Source(Closed):
    source_name: str
    source_type: Literal["documentation", "evaluation_run"]
    source_organization_name: str
    evaluator_relationship: Literal["first_party", "third_party", "collaborative", "other"]
    additional_details: Details


class Library(Closed):
    name: str
    version: str
    additional_details: Details


class Model(Closed):
    name: str
    id: str
    developer: str
    additional_details: Details


class HubData(Closed):
    dataset_name: str
    source_type: Literal["hf_dataset"]
    hf_repo: str
    hf_revision: str | None = None
    samples_number: int


class OtherData(Closed):
    dataset_name: str
    source_type: Literal["other"]


class Metric(Closed):
    evaluation_description: str
    metric_id: str
    metric_name: str
    metric_unit: str
    lower_is_better: bool
    # With it the schema demands both ends of the scale.
    score_type: Literal["continuous"]
    min_score: float
    max_score: float
    additional_details: Details


class StandardError(Closed):
    value: float
    method: str


class ConfidenceInterval(Closed):
    lower: float
    upper: float
    confidence_level: float = Field(ge=0, le=1)
    method: str


class Uncertainty(Closed):
    standard_error: StandardError
    confidence_interval: ConfidenceInterval
    num_samples: int


class Score(Closed):
    score: float
    details: Details
    uncertainty: Uncertainty


class Result(Closed):
    evaluation_result_id: str
    evaluation_name: str
    source_data: HubData | OtherData
    metric_config: Metric
    score_details: Score


class Detailed(Closed):
    format: Literal["jsonl"]
    file_path: str
    hash_algorithm: Literal["sha256", "md5"]
    checksum: str
    total_rows: int


class Record(Closed):
    schema_version: str
    evaluation_id: str
    retrieved_timestamp: str
    source_metadata: Source
    eval_library: Library
    model_info: Model
    evaluation_results: list[Result]
    detailed_evaluation_results: Detailed | None = None


class Input(Closed):
    raw: str
    reference: list[str]
    choices: list[str] | None


class Output(Closed):
    raw: list[str]


class Attribution(Closed):
    turn_idx: int = Field(ge=0)
    source: str
    extracted_value: str
    extraction_method: str
    is_terminal: bool


class Evaluation(Closed):
    score: float
    is_correct: bool


class Instance(Closed):
    """A single turn: it has an output, and no messages."""

    schema_version: str
    evaluation_id: str
    model_id: str
    evaluation_name: str
    evaluation_result_id: str
    sample_id: str
    sample_hash: str
    interaction_type: Literal["single_turn"]
    input: Input
    output: Output
    answer_attribution: list[Attribution]
    evaluation: Evaluation
    metadata: Details


def read(path):
    return Record.model_validate_json(path.read_text())


def test_every_beta_is_a_record_of_its_own(tmp_path):
    assert SCHEMA_COMMIT == "21b3d1ab3894e9b9aaceca285548accfaa71b333"
    results.write(tmp_path / "results", measured_by="registry", evaluator="1" * 40)
    command = ["export", str(tmp_path / "results"), "--format", "every-eval-ever", "-o"]
    done = CliRunner().invoke(cli, [*command, str(tmp_path / "out"), "--model", "ana/th", "--json"])
    assert done.exit_code == 0, done.output
    files = sorted((tmp_path / "out" / "data" / "ggez-hub" / "ana" / "th").iterdir())
    assert sorted(entry["file"] for entry in json.loads(done.stdout)["written"]) == [
        *map(str, files)
    ]
    records = {record.model_info.additional_details["beta"]: record for record in map(read, files)}
    assert set(records) == {"0", "0.5", "1"}
    figures = json.loads((tmp_path / "results" / "results.json").read_text())["scores"]
    for beta, record in records.items():
        for result in record.evaluation_results:
            ours = figures[beta][result.evaluation_result_id]
            score = result.score_details
            assert score.score == ours["score"]
            assert score.uncertainty.standard_error.value == ours["se"]
            interval = score.uncertainty.confidence_interval
            assert [interval.lower, interval.upper] == ours["interval"]
            assert (score.uncertainty.num_samples, score.details["floor"]) == (ours["n"], "25")
    one = records["0"]
    assert {r.evaluation_result_id for r in one.evaluation_results} == {
        f"{task}/{split}" for task in results.TASKS for split in ("validation", "test")
    }
    assert one.evaluation_results[0].source_data.hf_repo in {"afaji/cvqa", "wit543/sea-vqa"}
    assert one.source_metadata.evaluator_relationship == "third_party"
    assert one.evaluation_id == f"ggez-hub/ana/th/{one.retrieved_timestamp}"
    # Again: the same files, no second record of the same answers.
    assert (
        CliRunner().invoke(cli, [*command, str(tmp_path / "out"), "--model", "ana/th"]).exit_code
        == 0
    )
    assert sorted((tmp_path / "out" / "data" / "ggez-hub" / "ana" / "th").iterdir()) == files
    for wrong, message in (("th", "'th' is not ORG/NAME"), ("../th", "'../th' is not ORG/NAME")):
        done = CliRunner().invoke(cli, [*command, str(tmp_path / "out"), "--model", wrong])
        assert (done.exit_code, message in done.stderr) == (2, True)


def test_every_question_has_a_row(tmp_path):
    data = made.write_cvqa(tmp_path / "cvqa", 24)
    (task,) = (task for task in find_tasks(["cvqa"]) if task.id == "cvqa-local")
    (own,) = prepare_benchmark(task, Folders(data), find_region("sea"), "main", ["generation"])
    asked = own.asked["test"]
    replies = ["ABCD"[row % 4] for row in range(len(asked.choices))]
    answered = {Cell(0.0, own.id, "test"): read_replies(asked, replies)}
    results.write(tmp_path / "results", answered, tasks={own.id: own.record})
    evidence = open_evidence(tmp_path / "results")
    written = write_records(evidence, 0.0, tmp_path / "out", model="ana/th", tasks=[own])
    record = read(written.file)
    text = written.file.with_suffix(".jsonl").read_bytes()
    assert record.detailed_evaluation_results.file_path == f"{written.file.stem}.jsonl"
    assert record.detailed_evaluation_results.checksum == hashlib.sha256(text).hexdigest()
    rows = [Instance.model_validate_json(line) for line in text.splitlines()]
    assert len(rows) == written.questions == record.detailed_evaluation_results.total_rows
    assert len(rows) == len(asked.choices)
    (result,) = record.evaluation_results
    mean = sum(row.evaluation.score for row in rows) / len(rows)
    assert result.score_details.score == pytest.approx(100 * mean)
    for row, chat, reply in zip(rows, asked.choices, replies, strict=True):
        assert (row.input.raw, row.output.raw) == (chat.shown, [reply])
        assert row.input.reference == [chat.item.options[chat.item.gold]]
        assert row.evaluation.is_correct == (row.answer_attribution[0].extracted_value == row.input.reference[0])  # fmt: skip
        assert (row.evaluation_id, row.model_id) == (record.evaluation_id, record.model_info.id)
