"""Long work is a bar on a terminal, one line every 30 s elsewhere, and nothing with --quiet."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from ggez_hub import progress
from ggez_hub.cli.main import cli
from ggez_hub.errors import GgezError
from ggez_hub.hub.guard import counting_bar
from ggez_hub.progress import Lines, show_progress, task


@pytest.fixture
def lines(monkeypatch):
    """What is written, and a clock that the test sets."""
    seen = SimpleNamespace(now=1000.0, written=[])
    display = Lines(seen.written.append, lambda: seen.now)
    monkeypatch.setattr(progress, "_display", display)
    return seen


def test_one_line_in_thirty_seconds(lines):
    with task("asking", 400) as asking:
        for done in range(1, 301):
            lines.now += 0.5
            asking.update(done)
    # 150 seconds.
    assert lines.written == [
        "asking: 60 of 400 (15 %), about 3 min to go",
        "asking: 120 of 400 (30 %), about 2 min to go",
        "asking: 180 of 400 (45 %), about 2 min to go",
        "asking: 240 of 400 (60 %), about 80 s to go",
        "asking: 300 of 400 (75 %), about 50 s to go",
    ]


def test_a_line_names_what_is_going_on(lines):
    with (
        task("merging", 8_000_000_000, "bytes"),
        task("fetching org/base", 4_000_000, "bytes") as f,
    ):
        lines.now += 40
        f.advance(1_500_000)
    with task("asking", 4) as asking:
        asking.update(1)
        with task("answers") as answers:
            lines.now += 40
            answers.advance(1_200)
    assert lines.written == [
        "fetching org/base: 1.5 of 4.0 MB (38 %)",
        "asking: 1 of 4 (25 %); answers: 1,200",
    ]


def test_what_was_done_before_is_not_its_speed(lines):
    """A run that goes on after step 90 of 100 is not nearly done in a second."""
    with task("tune") as tune:
        for step in (91, 92):
            lines.now += 30
            tune.update(step, 100, f"tune, loss {step}")
    assert lines.written[-1] == "tune, loss 92: 92 of 100 (92 %), about 4 min to go"


def test_threads_share_a_task(lines):
    with task("fetching", 4000, "bytes") as fetching, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: fetching.advance(), range(4000)))
        assert fetching.done == 4000


def test_the_client_of_the_hub_draws_no_bar_of_its_own(capfd):
    """By HTTP and by Xet, which counts what it transfers beside what it writes."""
    from huggingface_hub.utils._xet_progress_reporting import XetDownloadProgressReporter

    received = []
    bar = counting_bar(1000, received.append)
    reporter = XetDownloadProgressReporter(
        reconstruction_desc="model.safetensors", total=1000, log_level=0, tqdm_class=bar
    )
    with reporter:
        for done in (400, 1000):
            reporter.update_progress(
                SimpleNamespace(
                    total_bytes=1000,
                    total_bytes_completed=done,
                    total_bytes_completion_rate=1.0,
                    total_transfer_bytes_completed=done // 2,
                    total_transfer_bytes_completion_rate=1.0,
                )
            )
    assert received == [400, 600]
    assert capfd.readouterr().err == ""
    with pytest.raises(GgezError, match="more than the 1,000 bytes"):
        bar().update_transfer(2_000_000)


@pytest.fixture
def small_merge(tmp_path):
    """The arguments of a merge that takes no time."""
    import torch
    from safetensors.torch import save_file

    for name, value in (("base", 0.0), ("tuned", 1.0)):
        (tmp_path / name).mkdir()
        save_file(
            {"visual.w": torch.full((4, 4), value)},
            tmp_path / name / "open_clip_model.safetensors",
        )
        (tmp_path / name / "open_clip_config.json").write_text('{"model_cfg": {}}')
    return [
        "merge", "--base", str(tmp_path / "base"), "--adapter", str(tmp_path / "tuned"),
        "--beta", "0.5", "-o", str(tmp_path / "out"),
    ]  # fmt: skip


@pytest.mark.parametrize(("more", "shown"), [([], True), (["--json"], True), (["--quiet"], False)])
def test_lines_of_a_command_go_to_stderr(small_merge, monkeypatch, more, shown):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    done = CliRunner().invoke(cli, [*small_merge, *more])
    assert done.exit_code == 0, done.output
    assert ("merging: 0.0 MB" in done.stderr) == shown
    assert "merging" not in done.stdout


def test_a_short_command_prints_no_line(small_merge, monkeypatch):
    # Short, however much else the machine has to do.
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 600)
    assert "merging" not in CliRunner().invoke(cli, small_merge).stderr


SCRIPT = """
import sys
from ggez_hub.progress import show_progress, task
with show_progress(lambda text: print(text, file=sys.stderr)):
    with task("merging", 2_000_000, "bytes") as merging, task("asking", 40) as asking:
        asking.update(30)
        merging.advance(500_000)
"""


@pytest.mark.parametrize(("term", "shown"), [("xterm", True), ("dumb", False)])
def test_bars_on_a_terminal(term, shown):
    leader, follower = pty.openpty()
    # What CI systems set does not decide it.
    environment = os.environ | {"TERM": term, "COLUMNS": "100", "FORCE_COLOR": "1"}
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stderr=follower, stdout=subprocess.PIPE, env=environment
    )
    os.close(follower)
    seen = b""
    try:
        while piece := os.read(leader, 4096):
            seen += piece
    except OSError:
        pass
    assert child.communicate() == (b"", None)
    assert child.returncode == 0
    os.close(leader)
    assert (b"30 of 40" in seen) == shown
    assert (b"0.5 of 2.0 MB" in seen) == shown


def test_no_bars_in_a_file():
    environment = os.environ | {"FORCE_COLOR": "1", "TERM": "xterm"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")


def test_the_api_prints_nothing(lines, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    with show_progress(None), task("asking", 4) as asking:
        asking.update(1)
    assert lines.written == []
