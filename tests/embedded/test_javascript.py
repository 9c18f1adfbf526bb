"""The JavaScript client of the Hub: each of its operations, uploads by Xet and by Git LFS among them."""

import shutil
import subprocess
from pathlib import Path

import pytest

CLIENT = "@huggingface/hub@2.17.5"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm and node")
def test_every_operation_of_the_javascript_client(store, tmp_path):
    from ggez_hub.embedded.jobs import JobRunner

    from .. import worlds

    npm, node = shutil.which("npm"), shutil.which("node")
    install = [npm, "install", "--silent", "--no-save", "--prefix", tmp_path, CLIENT]
    subprocess.run(install, check=True, cwd=tmp_path)
    source = tmp_path / "node_modules" / "@huggingface" / "hub"
    with worlds.serving(store, jobs=JobRunner(tmp_path / "jobs")) as endpoint:
        script = [node, Path(__file__).parent / "operations.mjs"]
        result = subprocess.run(
            [*script, source, endpoint, store.owner_token(), tmp_path],
            capture_output=True,
            text=True,
            check=False,
        )
    lines = [line for line in result.stdout.splitlines() if not line.startswith("Downloading")]
    assert lines == ["83 passed, of 40 functions"], result.stderr[-2000:]
