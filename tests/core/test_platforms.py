"""The core on machines that are no Linux: nothing of POSIX is imported, and a pull does without it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ggez_hub

PACKAGE = Path(ggez_hub.__file__).parent
POSIX = re.compile(
    r"^\s*(?:import|from)\s+(fcntl|grp|pwd|posix|pty|resource|syslog|termios|tty)\b", re.MULTILINE
)


def test_no_module_needs_posix():
    found = {
        path.relative_to(PACKAGE).as_posix(): bad
        for path in PACKAGE.rglob("*.py")
        if (bad := POSIX.findall(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """The environment of a machine without POSIX's calls, links and the extras."""
    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copyfile(Path(__file__).with_name("elsewhere.py"), folder / "sitecustomize.py")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(PACKAGE.parent)]),
        "HOME": str(folder),
        "HF_HOME": str(folder / "hf"),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }


def run(environment, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "ggez_hub", *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_pull_from_the_embedded_hub(elsewhere, tmp_path):
    out = tmp_path / "thai"
    pulled = run(
        elsewhere, "pull", "--region", "th", "--hub", "embedded", "--as", "peft", "-o", str(out)
    )
    assert pulled.returncode == 0, pulled.stderr
    config = json.loads((out / "embedding" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "ggez-world/clip-emoji"
    checked = run(elsewhere, "verify", str(out))
    assert checked.returncode == 0, checked.stderr


def test_what_needs_an_extra_says_which(elsewhere, tmp_path):
    out = tmp_path / "merged"
    merged = run(
        elsewhere,
        "pull",
        "--region",
        "th",
        "--family",
        "embedding",
        "--hub",
        "embedded",
        "-o",
        str(out),
    )
    assert merged.returncode == 1
    assert "pip install 'ggez-hub[merge]'" in merged.stderr
    assert not out.exists()
