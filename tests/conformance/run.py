"""`make conformance`: the test suite of huggingface_hub, run against the embedded hub by Git LFS and by Xet.

The source distribution is downloaded, its tests are run with `suite_conftest.py` against a hub that
`ggez-hub serve` started, and those that reached the hub are counted. The hub knows nothing of them: the
accounts that they expect are in `accounts.yaml`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

VERSION = "2.4.0"
# How many must pass with large files by Git LFS, and by Xet.
REQUIRED = {"lfs": 273, "xet": 464}
HERE = Path(__file__).parent
MODULES = (
    "test_hf_api",
    "test_cli",
    "test_kernels",
    "test_utils_http",
    "test_copy_files",
    "test_cli_discussions",
    "test_repocard",
    "test_hf_file_system",
    "test_commit_scheduler",
    "test_hub_mixin",
    "test_hub_mixin_pytorch",
    "test_file_download",
    "test_snapshot_download",
    "test_cache_layout",
)
XET_MODULES = (
    "test_xet_upload",
    "test_xet_download",
    "test_buckets",
    "test_buckets_cli",
    "test_buckets_hf_file_system",
)
# What the tests import and a development installation of ours lacks.
NEEDED = ("pytest-mock", "jedi", "parso")


@dataclass(frozen=True)
class Result:
    """A test that reached the hub."""

    test: str
    passed: bool
    reason: str


def main() -> int:
    """Run the suite in both ways; 0 if enough of it passes."""
    enough = True
    with tempfile.TemporaryDirectory(prefix="conformance-") as name:
        folder = Path(name)
        suite = unpack(folder)
        for way, required in REQUIRED.items():
            with hub(folder / way) as endpoint:
                results = run(suite, endpoint, folder, xet=way == "xet")
            passed = sum(result.passed for result in results)
            for result in results:
                if not result.passed:
                    sys.stdout.write(f"FAILED {result.test}\n       {result.reason}\n")
            sys.stdout.write(f"{way}: {passed} passed / {len(results)} reached the hub\n")
            if passed < required:
                sys.stdout.write(f"fewer than the {required} that are required\n")
                enough = False
    return 0 if enough else 1


def unpack(folder: Path) -> Path:
    """The tests of the source distribution, with a conftest.py."""
    pip(
        "download", "--no-deps", "--no-binary", ":all:", f"huggingface_hub=={VERSION}", "-d", folder
    )
    with tarfile.open(folder / f"huggingface_hub-{VERSION}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    suite = folder / f"huggingface_hub-{VERSION}"
    shutil.copy(HERE / "suite_conftest.py", suite / "tests" / "conftest.py")
    (suite / "tests" / "__init__.py").touch()
    pip("install", "--target", folder / "packages", "--no-deps", *NEEDED)
    return suite


def pip(*arguments: str | Path) -> None:
    """Run pip of this interpreter."""
    subprocess.run([sys.executable, "-m", "pip", "-q", *map(str, arguments)], check=True)


@contextmanager
def hub(root: Path) -> Iterator[str]:
    """The address of a hub that knows the accounts of the suite."""
    command = [sys.executable, "-c", "from ggez_hub.cli.main import main; main()", "serve"]
    options = ["--root", str(root), "--port", "0", "--accounts", str(HERE / "accounts.yaml")]
    options += ["--webhook-host", "webhook.site"]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def run(suite: Path, endpoint: str, folder: Path, *, xet: bool) -> list[Result]:
    """Run the modules of the suite; the tests that reached the hub."""
    results = folder / f"results-{'xet' if xet else 'lfs'}.jsonl"
    results.touch()
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("HF_")},
        "CONFORMANCE_RESULTS": str(results),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_DISABLE_XET": "0" if xet else "1",
        "HUGGINGFACE_CO_STAGING": "",
        "PYTHONPATH": str(folder / "packages"),
        "TOKENIZERS_PARALLELISM": "false",
    }
    selection = "not production" if xet else "not production and not xet"
    modules = (*MODULES, *XET_MODULES) if xet else MODULES
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-o", "addopts="),
            *("-p", "no:cacheprovider", "-m", selection, "-W", "ignore"),
            *("--no-header", "--tb=short", *sys.argv[1:]),
            *(f"tests/{module}.py" for module in modules),
        ],
        cwd=suite,
        env=environment,
        check=False,
    )
    found = map(json.loads, results.read_text().splitlines())
    return [
        Result(item["test"], item["outcome"] == "passed", item["reason"])
        for item in found
        if item["requests"] and item["outcome"] != "skipped"
    ]


if __name__ == "__main__":
    sys.exit(main())
