"""Tasks: what a file may say, and what a digest covers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.task import Task, load_tasks, read_tasks
from tests.evaluation.conftest import make_task

DEMO = Path(__file__).parents[2] / "recipes" / "demo"


def write(folder, content, name="task.yaml"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def plain(**changes):
    return {**make_task().model_dump(mode="json"), **changes}


def test_a_task_survives_its_file(tmp_path):
    write(tmp_path, plain())
    assert load_tasks(tmp_path, Task) == (make_task(),)


def test_tasks_of_one_file_share_defaults_and_win_over_them(tmp_path):
    shared = plain()
    for key in ("kind", "id", "title"):
        del shared[key]
    content = {
        "kind": "tasks",
        "defaults": shared,
        "tasks": [{"id": "b", "title": "B"}, {"id": "a", "title": "A", "seed": 7}],
    }
    write(tmp_path, content)
    write(tmp_path, {"kind": "merge", "base": "x"}, "merge.yaml")
    assert [(task.id, task.seed) for task in load_tasks(tmp_path, Task)] == [("a", 7), ("b", 0)]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"sede": 1}, "sede: is not a known key; remove it"),
        ({"seed": "1"}, "seed: should be a whole number"),
        ({"language": False}, "language: should be text; put it in quotes"),
        ({"dataset": {"repo": "a/b"}}, "dataset.revision: is missing; add it"),
        ({"question": "What is this?"}, "question is for choice_4"),
        ({"metric": "f1"}, "metric: should be text_to_image_r1"),
        ({"regions": []}, "regions must name at least one region"),
        ({"side": "global"}, "regions must name at least one region"),
        ({"splits": {"test": "../x"}}, "splits.test: must be a relative path"),
        (
            {"metric": "choice_4", "columns": {"id": "i", "image": "p", "text": "t"}},
            "columns.group",
        ),
    ],
)
def test_an_error_names_the_file_the_key_and_the_fix(tmp_path, changes, line):
    path = write(tmp_path, plain(**changes))
    with pytest.raises(GgezError, match=re.escape(line)) as caught:
        read_tasks(path, Task)
    assert caught.value.message.startswith(f"{path}: ")


def test_an_id_stands_in_one_file(tmp_path):
    write(tmp_path, plain(), "a.yaml")
    write(tmp_path, plain(), "b.yaml")
    with pytest.raises(GgezError, match=r"b\.yaml: the id .* is already in .*a\.yaml"):
        load_tasks(tmp_path, Task)


def test_broken_yaml_and_empty_folders_are_reported(tmp_path):
    with pytest.raises(GgezError, match="holds no tasks"):
        load_tasks(tmp_path, Task)
    write(tmp_path, "kind: [task")
    with pytest.raises(GgezError, match=r"task\.yaml cannot be read"):
        load_tasks(tmp_path, Task)


def test_a_digest_covers_what_decides_a_score():
    task = make_task()
    assert task.model_copy(update={"id": "other", "title": "Other"}).digest == task.digest
    for changes in (
        {"seed": 1},
        {"metric": "choice_4"},
        {"language": "lo"},
        {"columns": {"id": "id", "image": "image", "text": "lo", "group": "group"}},
        {"dataset": {"repo": "ggez-world/colours", "revision": "0" * 40}},
        {"splits": {"test": "data/test.parquet"}},
    ):
        assert make_task(**changes).digest != task.digest
    assert task.digest_on("0" * 64) != task.digest_on("1" * 64)


def test_the_demo_has_two_tasks_for_each_language():
    tasks = load_tasks(DEMO, Task)
    assert len(tasks) == 18
    regions = {task.language: task.regions for task in tasks}
    assert regions == {
        "en": [], "th": ["th"], "vi": ["vn"], "id": ["id"], "ms": ["my"],
        "fil": ["ph"], "my": ["mm"], "km": ["kh"], "lo": ["la"],
    }  # fmt: skip
    assert len({task.digest for task in tasks}) == 18


def test_importing_loads_no_torch():
    code = """
import importlib, pkgutil, sys
import ggez_hub.evaluation
for module in pkgutil.walk_packages(ggez_hub.evaluation.__path__, "ggez_hub.evaluation."):
    importlib.import_module(module.name)
print(sorted({"torch", "matplotlib", "pyarrow"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
