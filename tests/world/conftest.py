"""Commands as a person types them: a process and a cache of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The cache of one user, in which the first command makes the store."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(cache):
    """Run a command as that user, or with another cache as somebody else."""

    def run(*arguments, cache=cache):
        return subprocess.run(
            [sys.executable, "-m", "ggez_hub", *map(str, arguments)],
            env=os.environ | {"XDG_CACHE_HOME": str(cache)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run
