"""A first pull by questions; `--region` is asked for on a terminal, and nowhere else."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from ggez_hub.cli import questions, start
from ggez_hub.cli.main import cli
from ggez_hub.registry.lock import read_lock


@pytest.fixture
def terminal(monkeypatch):
    """A terminal is there, as far as commands see."""
    for module in (questions, start):
        monkeypatch.setattr(module, "on_terminal", lambda: True)


def run(seeded, answers, *arguments):
    return CliRunner().invoke(
        cli, [*arguments, "--hub", seeded.endpoint], input="".join(f"{a}\n" for a in answers)
    )


def test_the_bare_name_on_a_terminal_ends_in_a_model(seeded, tmp_path):
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "ggez_hub"],
        stdin=follower, stdout=follower, stderr=follower, close_fds=True, cwd=tmp_path,
        env=os.environ | {"HF_ENDPOINT": seeded.endpoint, "HF_HUB_OFFLINE": "0"},
    )  # fmt: skip
    os.close(follower)
    # What is no region is asked for again.
    script = [("Which country", "Atlantis"), ("Which country", "ไทย"), ("Where will", ""),
              ("Pull it?", "")]  # fmt: skip
    seen, read, deadline = "", 0, time.monotonic() + 600
    while time.monotonic() < deadline:
        if select.select([leader], [], [], 1)[0]:
            try:
                seen += os.read(leader, 65536).decode(errors="replace")
            except OSError:
                break
        if script and script[0][0] in seen[read:] and seen.rstrip(" ").endswith(":"):
            os.write(leader, f"{script.pop(0)[1]}\n".encode())
            read = len(seen)
    assert child.wait(timeout=60) == 0, seen
    os.close(leader)
    assert script == []
    assert "there is no region 'Atlantis'" in seen
    command = "ggez-hub pull --region th --adapter ggez-world/clip-emoji-th"
    assert f"This is the same as: {command}\r\n" in seen
    lock = read_lock(tmp_path / "ggez-th" / "ggez.lock")
    assert (lock.resolution.region, lock.resolution.family) == ("th", "embedding")


def test_a_model_for_another_machine(seeded, terminal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(seeded, ["th", "2", "24"], "start")
    assert done.exit_code == 0, done.output
    assert " kB to fetch" in done.stdout
    *_, install, command = done.stdout.splitlines()
    assert install == "  pip install 'ggez-hub[merge]'"
    hub = f"--hub {seeded.endpoint}"
    assert command == f"  ggez-hub pull --region th --adapter ggez-world/clip-emoji-th {hub}"
    assert list(tmp_path.iterdir()) == []
    # The command is one that works.
    assert CliRunner().invoke(cli, [*command.split()[1:], "-o", "out"]).exit_code == 0


def test_who_says_no_has_nothing(seeded, terminal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(seeded, ["th", "1", "n"], "start")
    assert done.exit_code == 0, done.output
    assert list(tmp_path.iterdir()) == []


def test_a_region_without_a_model_has_next_steps(seeded, terminal):
    done = run(seeded, ["br"], "start")
    assert done.exit_code == 1
    assert "no adapter serves br (Brazil)" in done.stderr
    assert "ggez-hub contribute FILE --region br" in done.stderr


def test_without_a_terminal_nothing_is_asked(seeded):
    done = run(seeded, ["th", "1", "y"], "start")
    assert done.exit_code == 2
    assert "`start` asks questions, which needs a terminal" in done.stderr
    bare = CliRunner().invoke(cli, [], input="th\n")
    assert "Find and pull:" in bare.output


@pytest.mark.parametrize("command", ["pull", "resolve"])
def test_the_region_is_asked_for(seeded, terminal, command):
    done = run(seeded, ["Thailand"], command, *(["--dry-run"] if command == "pull" else []))
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("th is Thailand")
    assert "Which country or region" in done.stderr


def test_the_region_is_missing_without_a_terminal(seeded):
    done = run(seeded, ["Thailand"], "pull")
    assert done.exit_code == 2
    assert "Missing option '--region'" in done.stderr
