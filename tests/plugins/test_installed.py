"""A distribution of somebody else, built and installed by pip: `eval` and `merge` use it by name."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from ggez_hub.demo.hub import ASSETS
from ggez_hub.registry.lock import read_any_lock

from ..models import write_lora, write_open_clip
from .test_evaluation import EXTENSION, write_benchmark

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "somebody-else"
version = "1.2.3"

[project.entry-points."ggez_hub.families"]
speech = "somebody_else:ASKED"

[project.entry-points."ggez_hub.loaders"]
pairs = "somebody_else:LOADER"

[project.entry-points."ggez_hub.merge_methods"]
negated = "somebody_else:negated"

[tool.setuptools]
py-modules = ["somebody_else"]
"""
FAMILY = """
    def evaluation_backend(self):
        from ggez_hub.evaluation.models.backend import find_backend
        from ggez_hub.families import get_family

        return find_backend(get_family("embedding"))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder into which pip has installed the distribution."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    start = EXTENSION.index("    def evaluation_backend")
    end = EXTENSION.index("\n\n\nASKED")
    (source / "somebody_else.py").write_text(
        EXTENSION[:start] + FAMILY.strip("\n") + EXTENSION[end:]
    )
    (source / "pyproject.toml").write_text(PROJECT)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    options = ["--no-build-isolation", "--target", str(site), str(source)]
    subprocess.run([*command, *options], check=True, capture_output=True)
    return site


def run(site, *arguments):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), *filter(None, sys.path)])}
    return subprocess.run(
        [sys.executable, "-m", "ggez_hub", *map(str, arguments)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_eval_asks_the_benchmark_of_a_plug_in(site, tmp_path):
    base = ASSETS / "embedding" / "base"
    tasks = write_benchmark(tmp_path)
    (tmp_path / "hub" / "somebody").mkdir(parents=True)
    (tmp_path / "data").rename(tmp_path / "hub" / "somebody" / "pairs")
    asked = ("eval", base, "--suite", tasks, "--region", "th")
    done = run(site, *asked, "--data", tmp_path / "hub", "-o", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    assert "pairs-th" in (tmp_path / "out" / "results.json").read_text()
    verified = run(site, "verify", tmp_path / "out")
    assert verified.returncode == 0, verified.stderr

    without = run(site, "--no-plugins", *asked, "--data", tmp_path / "hub", "-o", tmp_path / "b")
    assert without.returncode != 0
    assert "there is no loader 'pairs'" in without.stderr


def test_merge_takes_its_family_and_method_and_the_lock_names_it(site, tmp_path):
    (tmp_path / "base").mkdir()
    base = write_open_clip(tmp_path / "base", torch.float32, buffer=False)
    lora = write_lora(tmp_path / "lora", targets=["c_fc"])
    done = run(
        site, "merge", "--base", base, "--adapter", lora, "--beta", "0.5", "--family", "speech",
        "--method", "negated", "-o", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {
        record.entry_point for record in read_any_lock(tmp_path / "out" / "ggez.lock").merge.plugins
    }
    assert found == {"somebody_else:ASKED", "somebody_else:negated"}
