"""Locks of outputs: one process at a time, and nothing of them stays."""

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from ggez_hub.output_lock import lock_output

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


@pytest.mark.parametrize("left", ["lock", "unfinished"])
def test_what_a_kill_at_any_moment_left_goes_with_the_next_run(left, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with lock_output(tmp_path / "out"):
        [lock] = tmp_path.glob("ggez-hub-*/*.lock")
    lock.with_suffix(f".{left}").touch()
    with lock_output(tmp_path / "another"):
        assert not lock.with_suffix(f".{left}").exists()
    assert not list(lock.parent.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="makes links")
@pytest.mark.parametrize("path", ["folder/out", "folder/../folder/out", "link/out"])
def test_another_path_of_the_same_output_waits(path, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    with ThreadPoolExecutor(1) as other, ExitStack() as first:
        first.enter_context(lock_output(tmp_path / "folder" / "out"))
        second = ExitStack()
        entered = other.submit(second.enter_context, lock_output(tmp_path / path))
        with pytest.raises(TimeoutError):
            entered.result(timeout=0.3)
        first.close()
        entered.result()
        other.submit(second.close).result()
