"""Suites as tasks of inspect-ai, which runs for real with its mock provider fed with the answers."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

pytest.importorskip("inspect_ai", reason="the extra [inspect] is not installed")

import inspect_ai
from inspect_ai.model import ModelOutput, ModelUsage, get_model

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.scores import score_of
from ggez_hub.evaluation.benchmarks.contents import Folders
from ggez_hub.evaluation.benchmarks.preparation import prepare_benchmark
from ggez_hub.evaluation.models.generative_model import read_replies
from ggez_hub.regions import find_region
from ggez_hub.registry.task_data import find_tasks
from tests.evaluation import sea_helm

# Taken in turn: right, wrong and unreadable ones, by letter, with a tag, with thoughts, by text.
REPLIES = ("A", "Sagot: B", "The answer is C.", "<think>A?</think> (D)", "I cannot say.", "Jawaban: salah", "")  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return sea_helm.write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return str(sea_helm.write_task_files(tmp_path_factory.mktemp("tasks") / "vision"))


def entry_point():
    root = Path(__file__).parents[2]
    points = tomllib.loads((root / "pyproject.toml").read_text())["project"]["entry-points"]
    ((name, value),) = points["inspect_ai"].items()
    assert name == "ggez_hub"
    return EntryPoint(name, value, "inspect_ai").load()


@pytest.mark.parametrize(
    ("of", "name"),
    [
        ("cvqa", "cvqa-english"),
        # With a tag, and balanced accuracy.
        ("sea-helm", "sea-helm-cvqa-tl"),
        ("sea-helm", "sea-helm-marvl-id"),
    ],
)
def test_the_same_answers_score_the_same(of, name, suite, data, tmp_path):
    named = suite if of == "sea-helm" else of
    (benchmark,) = (task for task in find_tasks([named]) if task.id == name)
    (own,) = prepare_benchmark(
        benchmark,
        Folders(data / benchmark.dataset.repo),
        find_region("sea"),
        "main",
        ("generation",),
    )
    asked = own.asked["test"]
    replies = {c.shown: REPLIES[row % len(REPLIES)] for row, c in enumerate(asked.choices)}
    outcomes = read_replies(asked, list(replies.values())).by(own.record.average)
    ours = score_of(outcomes)
    assert 0 < ours.score < 100

    def answered(messages, *_):
        _, text = messages[-1].content
        output = ModelOutput.from_content("mockllm/model", replies[text.text])
        # Without it, the provider counts tokens with a table that it fetches.
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output

    task = entry_point().benchmark(suite=named, region="sea", name=name, data=str(data))
    (log,) = inspect_ai.eval(
        task,
        model=get_model("mockllm/model", custom_outputs=answered),
        log_dir=str(tmp_path),
        display="none",
    )
    assert log.status == "success", log.error
    (scored,) = log.results.scores
    assert 100 * scored.metrics["mean"].value == pytest.approx(ours.score)
    by_item = {sample.id: sample.scores["reply"] for sample in log.samples}
    for item, given, right in zip(
        outcomes.items, outcomes.predicted, outcomes.correct, strict=True
    ):
        assert (by_item[item].answer, by_item[item].value > 0) == (given, right)
    assert log.eval.metadata["task_sha256"] == own.record.digests["test"]
    if own.record.average == "questions":
        # Clustered by picture there too; theirs has no factor of k / (k - 1).
        k = len(set(outcomes.pictures))
        error = 100 * scored.metrics["stderr"].value
        assert error == pytest.approx(ours.se, rel=1 / k)


def test_what_cannot_be_asked_is_said(suite, data):
    benchmark = entry_point().benchmark
    with pytest.raises(UsageProblem, match="has several tasks"):
        benchmark(suite=suite, region="sea", data=str(data))
    with pytest.raises(UsageProblem, match="has no task 'cvqa'") as caught:
        benchmark(suite=suite, region="sea", name="cvqa", data=str(data))
    assert "sea-helm-cvqa-tl" in caught.value.hint
    # A regional task of another region: there are no questions.
    with pytest.raises(UsageProblem, match="has no questions of th on the test side"):
        benchmark(suite=suite, region="th", name="sea-helm-cvqa-tl-regional", data=str(data))
