"""The wheel in an environment of its own, without torch: what `pip install ggez-hub` gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ggez_hub

PROJECT = Path(ggez_hub.__file__).parents[1]
pytestmark = pytest.mark.slow


def run(*command, folder, **environment):
    clean = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "HF_ENDPOINT"}}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env={**clean, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The bin folder of a fresh virtual environment with the wheel: that of a release, or a new one."""
    folder = tmp_path_factory.mktemp("wheel")
    if dist := os.environ.get("GGEZ_TEST_WHEELS"):
        wheels = Path(dist).absolute()
    else:
        wheels = folder / "dist"
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        run(*pip, "wheel", "--no-deps", "--wheel-dir", wheels, PROJECT, folder=folder)
    (wheel,) = wheels.glob("*.whl")
    run(sys.executable, "-m", "venv", folder / "venv", folder=folder)
    bin_folder = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    constraints = PROJECT / "constraints.txt"
    run(bin_folder / "python", "-m", "pip", "--quiet", "install", "--constraint", constraints, wheel,
        folder=folder)  # fmt: skip
    return bin_folder


def test_the_core_has_no_torch_and_pulls(installed, tmp_path):
    listed = run(installed / "python", "-m", "pip", "list", "--format=freeze", folder=tmp_path)
    names = {line.partition("=")[0].lower() for line in listed.splitlines()}
    assert "ggez-hub" in names
    assert not names & {"torch", "transformers", "mergekit", "peft", "diffusers", "pyarrow"}
    home = {"HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf")}
    command = (installed / "ggez-hub", "pull", "--region", "th", "--hub", "embedded")
    run(*command, "--as", "peft", "-o", "thai", folder=tmp_path, **home)
    assert (tmp_path / "thai" / "embedding" / "adapter_model.safetensors").is_file()


def test_every_command_explains_itself(installed, tmp_path):
    from ggez_hub.cli.main import COMMANDS

    for name in COMMANDS:
        assert run(installed / "ggez-hub", name, "--help", folder=tmp_path).startswith("Usage:")


def test_the_recipes_come_with_it(installed, tmp_path):
    code = "from ggez_hub.recipe_file import recipes_folder; print((recipes_folder() / 'evaluation.yaml').is_file())"
    assert run(installed / "python", "-c", code, folder=tmp_path).strip() == "True"
