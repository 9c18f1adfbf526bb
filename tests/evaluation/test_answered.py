"""Kept answers: none is computed twice, by however many processes, and a killed run goes on."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.cache import CHUNK, AnswerCache, answer_once, answers_of

VALUES = {
    "a": "said: ตอบ B",
    "b": [-1.5, 0.1 + 0.2],
    "c": np.arange(5, dtype=np.float32) / 3,
    "e": b"vPNG",
}


def questions(n):
    return {f"key {number}": number for number in range(n)}


@pytest.mark.parametrize(
    "kind", [lambda _: AnswerCache(), lambda path: AnswerCache(path / "a.sqlite")]
)
def test_what_is_kept_comes_back_as_it_was(kind, tmp_path):
    known = kind(tmp_path)
    known.keep(VALUES)
    found = known.find(["c", "b", "a", "d", "e"])
    assert set(found) == set(VALUES)
    assert found["a"] == VALUES["a"]
    assert found["b"] == VALUES["b"]
    assert found["e"] == VALUES["e"]
    assert found["c"].dtype == np.float32
    assert (found["c"] == VALUES["c"]).all()


def test_a_question_is_computed_once_and_all_of_a_chunk_is_kept(tmp_path):
    computed = []

    def compute(numbers):
        computed.append(numbers)
        if len(computed) == 3:
            raise KeyboardInterrupt
        return [number**2 for number in numbers]

    asked = questions(5 * CHUNK)
    with pytest.raises(KeyboardInterrupt):
        answer_once(asked, AnswerCache(tmp_path / "a.sqlite"), compute)
    found = answer_once(asked, AnswerCache(tmp_path / "a.sqlite"), compute)
    assert found == {key: number**2 for key, number in asked.items()}
    # The two chunks that were answered before it was stopped were not asked again.
    assert [numbers[0] for numbers in computed] == [0, CHUNK, 2 * CHUNK, 2 * CHUNK, 3 * CHUNK, 4 * CHUNK]  # fmt: skip


def test_what_came_before_a_failure_is_kept():
    known = AnswerCache()

    def failing(numbers):
        for number in numbers:
            if number == 5:
                raise OSError("the line broke")
            yield number**2

    with pytest.raises(OSError, match="the line broke"):
        answer_once(questions(10), known, failing)
    assert known.find(questions(10)) == {f"key {n}": n**2 for n in range(5)}


PROCESS = """
import json, sys
from pathlib import Path
from ggez_hub.evaluation.answers.cache import AnswerCache, answer_once
def compute(numbers):
    print(json.dumps(numbers), flush=True)
    return [number ** 2 for number in numbers]
asked = {f"key {number}": number for number in range(int(sys.argv[2]), int(sys.argv[3]))}
found = answer_once(asked, AnswerCache(Path(sys.argv[1])), compute)
assert found == {key: number ** 2 for key, number in asked.items()}
"""


def start(path, first, last):
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(path), str(first), str(last)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_processes_write_at_once_and_one_may_be_killed(tmp_path):
    path = tmp_path / "a.sqlite"
    killed = start(path, 0, 200_000)
    assert json.loads(killed.stdout.readline())[0] == 0
    others = [start(path, 0, 1_500), start(path, 1_000, 2_500)]
    time.sleep(0.2)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    for process in others:
        process.communicate()
        assert process.returncode == 0
    known = AnswerCache(path)
    assert known.find(questions(2_500)) == {f"key {n}": n**2 for n in range(2_500)}
    file = sqlite3.connect(path)
    assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_damaged_file_is_one_error_with_the_way_out(home):
    answers_of("0" * 64).keep({"a": 1})
    (path,) = home.rglob("answers/*.sqlite")
    path.write_bytes(b"something else " * 100)
    with pytest.raises(GgezError, match="cannot be read") as problem:
        answers_of("0" * 64).find(["a"])
    assert "--no-cache" in problem.value.hint
