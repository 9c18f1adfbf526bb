"""A filter with a scorer, a translator and duplicates is killed in the midst of a part."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ggez_hub.data import keeper
from ggez_hub.data.pipeline import run_filter
from ggez_hub.data.scorers.clip_score import ClipScore
from ggez_hub.data.work_folder import container

from .corpora import captions, reward, rows_of, spec
from .endpoint import serving
from .test_run import contents, copy_of
from .tiny import write_clip

THAI = {"a boat": "เรือลำหนึ่ง", "bowl of soup": "ซุปชามหนึ่ง", "on a river": "บนแม่น้ำ",
        "a bowl": "ชามใบหนึ่ง", "soup": "ซุปร้อน", "river": "แม่น้ำสายหนึ่ง"}  # fmt: skip
AT_ONCE = 4
# Every chunk whose scores were kept is a line; with so many it waits to be killed.
SCRIPT = """
import sys, time
from pathlib import Path
from ggez_hub.data import keeper
from ggez_hub.data.pipeline import run_filter
from ggez_hub.data.scorers.clip_score import ClipScore
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.execution import Engine
from ggez_hub.data.spec import FilterSpec

folder, workers, wanted = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
keeper.AT_ONCE = 4
keep, score = AnswerCache.keep, ClipScore.score
scored = []

def noted(self, rows):
    scored.extend(row.id for row in rows)
    return score(self, rows)

def kept(self, answers):
    keep(self, answers)
    if scored:
        with (folder / "log").open("a") as log:
            log.write(" ".join(scored) + chr(10))
        scored.clear()
        while len((folder / "log").read_text().splitlines()) >= wanted:
            time.sleep(1)

AnswerCache.keep, ClipScore.score = kept, noted
if __name__ == "__main__":
    spec = FilterSpec.model_validate_json((folder / "spec.json").read_text())
    run_filter(spec, folder, folder / "killed", engine=Engine("local", workers))
"""


def sources(tmp_path):
    """Three files, a part each; every sixth row is a copy of an earlier one."""
    texts = list(THAI)
    made = []
    for file in range(3):
        rows = []
        for n in range(12):
            seed = 20 * file + n
            shown = copy_of(seed - 1) if n % 6 == 5 else seed
            rows.append((f"r{seed}", texts[(seed - (n % 6 == 5)) % len(texts)], "th", shown))
        source = captions(tmp_path, rows, name=f"file{file}")
        english = {"format": "caption", "answer": "text", "language": {"value": "en"}}
        made.append(source | {"columns": source["columns"] | {"examples": [english]}})
    return made


def lines(tmp_path):
    log = tmp_path / "log"
    return log.read_text().splitlines() if log.exists() else []


def kill_after(tmp_path, script, workers, wanted):
    """Run until `wanted` chunks were scored and kept, then SIGKILL."""
    process = subprocess.Popen(
        [sys.executable, *map(str, (script, tmp_path, workers, wanted))],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    while len(lines(tmp_path)) < wanted:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed").exists()


@pytest.mark.slow
def test_a_kill_in_the_midst_of_a_part_asks_no_model_again(tmp_path, monkeypatch):
    write_clip(tmp_path / "clip")
    asked_to_translate = []

    def answer(content):
        text = content.partition("\n\n")[2]
        asked_to_translate.append(text)
        return THAI[text]

    with serving(answer) as (url, _):
        keys = {
            "reward": reward(threshold=0.3, kind="clip_score", library="transformers", model="clip"),
            "translation": {"translator": {"kind": "endpoint", "url": url, "model": "m"},
                            "license": "cc-by-4.0", "targets": ["th"]},
        }  # fmt: skip
        asked = spec(sources(tmp_path), **keys)
        (tmp_path / "spec.json").write_text(asked.model_dump_json())
        script = tmp_path / "run.py"
        script.write_text(SCRIPT)
        monkeypatch.setattr(keeper, "AT_ONCE", AT_ONCE)
        report = run_filter(asked, tmp_path, tmp_path / "whole")
        unbroken = list(asked_to_translate)
        asked_to_translate.clear()

        # A file has three chunks: this is within the second.
        kill_after(tmp_path, script, workers=2, wanted=5)
        done = len(list(container(tmp_path / "killed").glob("*/kept/*.arrow")))
        assert done == 1
        again = []
        score = ClipScore.score
        monkeypatch.setattr(
            ClipScore, "score",
            lambda self, rows: again.extend(row.id for row in rows) or score(self, rows),
        )  # fmt: skip
        run_filter(asked, tmp_path, tmp_path / "killed")

    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    names = [row["id"] for row in rows_of(tmp_path / "whole")]
    counts = report.document["counts"]
    assert set(counts["dropped"]) == {"duplicate", "reward"}
    assert len(names) == len(set(names)) == counts["kept"] + counts["translated"]
    assert counts["translated"] > 0
    kept = {name for line in lines(tmp_path) for name in line.split()}
    assert len(kept) == 18
    assert again
    assert not kept & set(again)
    # Killed between two chunks: no text was lost on its way either.
    assert sorted(set(asked_to_translate)) == sorted(set(unbroken))
    # Each part asks for its own texts.
    assert max(map(unbroken.count, unbroken)) <= 3
    assert len(asked_to_translate) <= len(unbroken) + AT_ONCE
