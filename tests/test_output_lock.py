"""Locks of outputs: one process at a time, and nothing of them stays."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

COUNT = """
import sys
from pathlib import Path
from ggez_hub.output_lock import lock_output
counter = Path(sys.argv[1])
for _ in range(40):
    with lock_output(counter.with_name("out")):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


def test_processes_that_take_turns_lose_nothing_and_leave_no_lock(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "locks"))
    (tmp_path / "locks").mkdir()
    counter = tmp_path / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", COUNT, str(counter)]
    with ThreadPoolExecutor() as threads:
        # Each of them opens the lock while another one removes it.
        list(threads.map(lambda _: subprocess.run(command, check=True), range(4)))
    assert counter.read_text() == "160"
    assert [path for path in (tmp_path / "locks").rglob("*") if path.is_file()] == []
