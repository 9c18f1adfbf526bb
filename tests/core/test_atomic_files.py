"""Files that are complete or absent: what a killed writer left goes with the next one."""

from __future__ import annotations

import subprocess
import sys

from ggez_hub.atomic_files import write_file

KILLED = """
import os, sys
from pathlib import Path
from ggez_hub.atomic_files import atomic_file
with atomic_file(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_writer_left_goes_with_the_next_one(tmp_path):
    path = tmp_path / "note [1].json"
    killed = subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert killed.returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.read_text() == "half"
    elsewhere = tmp_path / left.name.replace(left.name.split(".")[-3], "0" * 8)
    elsewhere.write_text("of another machine")
    write_file(tmp_path / "note 1.json", "another file")
    assert left.exists()
    write_file(path, "all of it")
    assert path.read_text() == "all of it"
    assert {p.name for p in tmp_path.iterdir()} == {path.name, "note 1.json", elsewhere.name}


def test_what_is_being_written_stays(tmp_path):
    path = tmp_path / "note.json"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED.replace("os.kill(os.getpid(), 9)", "print(1, flush=True); input()"), path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as writer:  # fmt: skip
        assert writer.stdout.readline() == b"1\n"
        write_file(path, "another process was faster")
        writer.communicate(b"\n")
    assert path.read_text() == "half"
    assert list(tmp_path.iterdir()) == [path]
