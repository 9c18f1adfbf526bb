"""SEA-HELM's task files as benchmarks, and its own arithmetic on its runs."""

from __future__ import annotations

import hashlib
import json
import re
import statistics

import numpy as np
import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.contents import Folders
from ggez_hub.evaluation.benchmarks.preparation import prepare_benchmark
from ggez_hub.evaluation.models.generative_model import read_replies
from ggez_hub.evaluation.sea_helm.runs import read_runs
from ggez_hub.evaluation.sea_helm.scores import aggregate
from ggez_hub.evaluation.sea_helm.task_files import read_task_files
from ggez_hub.regions import find_region
from ggez_hub.registry.task_data import find_tasks
from tests.evaluation import sea_helm as made
from tests.filter.endpoint import serving

METHODS = ("likelihood", "pmi", "generation")


def prepared(benchmark, data):
    folder = data / benchmark.dataset.repo
    return prepare_benchmark(benchmark, Folders(folder), find_region("sea"), "main", METHODS)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    folder = made.write_task_files(tmp_path_factory.mktemp("tasks") / "vision")
    return {task.id: task for task in read_task_files(folder)}, folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made.write_data(tmp_path_factory.mktemp("data"))


def test_its_prompt_is_asked_word_for_word(tasks, data):
    found, folder = tasks
    assert [task.id for task in find_tasks([str(folder)])] == list(found)
    (task,) = prepared(found["sea-helm-cvqa-tl"], data)
    assert (task.method, task.record.average, task.record.metric) == (
        "generation", "answers", "choice_by_generation",
    )  # fmt: skip
    chat = task.asked["test"].choices[0]
    # As SEA-HELM's loader formats it: preamble with the tag, an empty line, the question.
    assert chat.shown == (
        "Sumagot gamit ang sumusunod na format:\n"
        '"Sagot: ANSWER"\n'
        "Palitan ang ANSWER ng napiling sagot. Gumamit lang ng titik A, B, C, o D sa sagot mo.\n\n"
        f"Tanong: {chat.item.question}\n"
        + "\n".join(f"{letter}: {o}" for letter, o in zip("ABCD", chat.item.options, strict=True))
    )
    assert task.asked["test"].reply_tokens == 32
    # The Filipino rows alone, a third of thirty.
    items = [c.item for asked in task.asked.values() for c in asked.choices]
    assert len(items) == 10
    assert {(i.country, i.language) for i in items} == {("ph", "fil")}
    regional = found["sea-helm-cvqa-tl-regional"]
    assert (regional.side, regional.regions) == ("regional", ["ph"])


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        ("Sagot: B", "B"), ("sagot:**c**", "C"), ("Sagot:\n * d, dahil...", "D"), ("b.", "B"), ("BBB", None),
        ("Sa tingin ko B", None), ("", None), ("Sagot: wala. Sagot: A", "A"), ("Sagot: AB", "B"),
    ],
)  # fmt: skip
def test_a_reply_is_read_as_its_metric_reads_it(tasks, data, reply, read):
    """F1AccMetric at cc8e95a: re.search(tag + r"[\\s\\*]*(A|B|C|D)+", IGNORECASE), else the whole reply."""
    (task,) = prepared(tasks[0]["sea-helm-cvqa-tl"], data)
    chat = task.asked["test"].choices[0]
    chosen = chat.chosen(reply)
    assert (None if chosen is None else "ABCD"[chosen]) == read
    pattern = re.search(r"Sagot:[\s\*]*(A|B|C|D)+", reply, re.IGNORECASE)
    if pattern:
        assert pattern[1].upper() == read


def test_options_are_where_its_loader_puts_them(tasks, data):
    (task,) = prepared(tasks[0]["sea-helm-world-cuisine-task1-id"], data)
    chats = [chat for asked in task.asked.values() for chat in asked.choices]
    # Types 1, 3 and 4 in Indonesian; type 2 is of the other task.
    assert len(chats) == 15
    random = np.random.default_rng(seed=3722236)
    for prompt_type, first in ((1, 0), (3, 10), (4, 15)):
        places = [0, 1, 2, 3, 4]
        random.shuffle(places)
        for place, row in zip(places, range(first, first + 5), strict=True):
            (chat,) = (c for c in chats if c.item.id == f"qa{row}/{prompt_type}")
            assert (chat.item.gold, chat.order) == (place, (0, 1, 2, 3, 4))
            assert chat.item.options[place] == f"{row} {'abcde'[row % 5]}"


def test_balanced_accuracy_is_over_the_labels(tasks, data):
    (task,) = prepared(tasks[0]["sea-helm-marvl-id"], data)
    asked = task.asked["test"]
    assert asked.choices[0].shown.endswith(f"Hipotesis:\n{asked.choices[0].item.question}")
    outcomes = read_replies(asked, ["Jawaban: salah"] * len(asked.choices)).by("answers")
    # Who always says the same is at chance, though most are "Salah".
    assert outcomes.worth.mean() > 0.5
    assert (outcomes.values.mean(), outcomes.floor) == (0.5, 0.5)


def test_captions_are_searched(tasks):
    task = tasks[0]["sea-helm-xm3600-tl-to-image"]
    assert (task.files, task.metric, task.language) == (
        {"fil": "*fil-*.parquet"},
        "text_to_image_r1",
        "fil",
    )


def test_another_prompt_is_refused(tmp_path):
    folder = made.write_task_files(tmp_path / "vision")
    path = folder / "cvqa" / "config.yaml"
    path.write_text(path.read_text().replace("{question}", "{question} {context}"))
    with pytest.raises(GgezError, match=r"cvqa\.languages\.tl: the prompt has \{context\}"):
        read_task_files(folder)


def test_its_scores_are_its_own_arithmetic(tmp_path):
    """helpers/results_aggregation.ipynb at 26b8ec7, written out."""
    runs = read_runs(made.write_runs(tmp_path / "model"))
    assert (runs.count, runs.version, runs.left_out) == (
        8, "6844e6c", {"sentiment": "not a vision task that is known here"},
    )  # fmt: skip
    found = aggregate(runs.answers)
    random = np.random.default_rng(94370244)
    lists = {}
    for own in runs.answers:
        drawn = random.integers(0, 8, size=(30, 40))
        scores = np.array(own.worth)[drawn, np.arange(40)]
        if own.labels[0] is None:
            lists[own.name] = (100 * scores.mean(axis=1)).tolist()
            continue
        labels = np.array(own.labels)
        recalls = [scores[:, labels == label].mean(axis=1) for label in "ABCD"]
        lists[own.name] = [max((s - 0.25) / 0.75, 0) * 100 for s in np.mean(recalls, axis=0)]
    tl, indonesian = found["tl"]["vision"], found["id"]["vision"]
    for name, node in (("cvqa", tl), ("xm3600", tl), ("world_cuisine_task1", indonesian)):
        assert node["tasks"][name]["mean_list"] == pytest.approx(lists[name], abs=1e-9)
    error = (statistics.variance(lists["cvqa"]) / 30) ** 0.5
    assert tl["tasks"]["cvqa"]["stderr"] == pytest.approx(error)
    filipino = (statistics.mean(lists["cvqa"]) + statistics.mean(lists["xm3600"])) / 2
    assert found["tl"]["mean"] == tl["mean"] == pytest.approx(filipino)
    assert indonesian["aggregation_groups"]["world_cuisine"]["mean"] == found["id"]["mean"]
    assert found["sea_mean"] == pytest.approx((found["tl"]["mean"] + found["id"]["mean"]) / 2)


def writer(content, body):
    """A model that keeps to the format, but for some questions; it prefers no letter."""
    text = content if isinstance(content, str) else content[1]["text"]
    number = hashlib.sha256(text.encode()).digest()[0]
    tag = next((tag for tag in ("Sagot:", "Jawaban:") if tag in text), "")
    said = ("Benar", "Salah") if "Hipotesis" in text else "ABCD"
    reply = f"{tag} {said[number % len(said)]}." if number % 5 else "Hindi ko alam."
    return {"message": {"role": "assistant", "content": reply}}


def test_answers_are_exported_as_its_metric_scores_them(tasks, data, tmp_path):
    suites = [f"--suite={tasks[1] / name}" for name in ("cvqa", "world_cuisine", "marvl")]
    command = [
        "eval",
        "--region",
        "sea",
        "--data",
        str(data),
        "--hub",
        "http://127.0.0.1:9",
        *suites,
    ]
    with serving(writer, whole=True) as (url, seen):
        done = CliRunner().invoke(
            cli, [*command, f"{url}#tiny/writer", "-o", str(tmp_path / "out")]
        )
    assert done.exit_code == 0, done.output
    # Each question once, also where it is of the world and of the region.
    assert len(seen) == 1 + 10 + 15 + 12
    done = CliRunner().invoke(
        cli,
        ["export", str(tmp_path / "out"), "--format", "sea-helm", "-o", str(tmp_path / "back"),
         "--model", "tiny/writer"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    runs = read_runs(tmp_path / "back" / "writer")
    named = {(own.name, own.language): own for own in runs.answers}
    assert set(named) == {("cvqa", "tl"), ("world_cuisine_task1", "id"), ("marvl", "id")}
    scores = json.loads((tmp_path / "out" / "results.json").read_text())["scores"]["0"]
    for (name, language), own in named.items():
        tag = "Sagot:" if name == "cvqa" else "Jawaban:"
        labels = sorted({label for label in own.labels if label})
        for reply, label, worth in zip(own.replies[0], own.labels, own.worth[0], strict=True):
            found = re.search(rf"{tag}[\s\*]*({'|'.join(labels)})+", reply, re.IGNORECASE)
            assert worth == (found is not None and found[1].lower() == label.lower())
        ours = scores[f"sea-helm-{name.replace('_', '-')}-{language}/all"]
        base = 100 / len(labels)
        assert ours["floor"] == pytest.approx(base)
        normalised = 100 * max(0, (ours["score"] - base) / (100 - base))
        assert normalized(own) == pytest.approx(normalised)


def normalized(own):
    """F1AccMetric at cc8e95a: balanced accuracy, less chance, not below 0."""
    worth, labels = np.array(own.worth[0]), np.array(own.labels)
    recalls = [worth[labels == label].mean() for label in sorted(set(own.labels))]
    return 100 * max(0, (np.mean(recalls) - 1 / len(recalls)) / (1 - 1 / len(recalls)))
