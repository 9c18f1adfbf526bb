"""The embedded hub with long histories and wide folders: against its targets, and a clone against one of the folder."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx2
from huggingface_hub import HfApi

from ggez_hub.embedded import HubStore

from .embedded import put, served

COMMITS = 2000
FILES = 1000
MANY = 10_000
LONG, WIDE = "bench/long", "bench/wide"


def main() -> None:
    """Run the measurements."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "hub"
        with HubStore.open(root) as store:
            for repo in (LONG, WIDE):
                store.create_repo("model", repo)
            put(store, WIDE, {f"{n // 100}/{n}.txt": b"%d" % n for n in range(MANY)})
            put(store, LONG, {f"{n % 20}/{n}.txt": b"%d" % n for n in range(FILES)})
            for number in range(COMMITS - 1):
                put(store, LONG, {f"{number % 20}/{number % FILES}.txt": b"x%d" % number})
            folder = store.folder(store.repo("model", LONG))
        with served(root) as endpoint:
            api = HfApi(endpoint, token=False)
            # The first request of a process is not what is measured.
            api.model_info(WIDE)
            page = f"{endpoint}/api/models/{LONG}/commits/main"
            twice(
                "first page of commits",
                lambda: httpx2.get(page).raise_for_status(),
                f"of {COMMITS}, 0.1 s",
            )
            twice(
                "last commits of all files",
                lambda: list(api.list_repo_tree(LONG, recursive=True, expand=True)),
                f"{FILES} files over {COMMITS} commits, 1 s",
            )
            twice("names of all files", lambda: api.list_repo_files(WIDE), f"{MANY} files")
            git = shutil.which("git")
            if git is not None:
                for what, address in (("hub", f"{endpoint}/{LONG}"), ("folder", folder.as_uri())):
                    copy = Path(name) / "copy"
                    action = partial(clone, git, address, copy)
                    twice(f"clone of the {what}", action, f"{COMMITS} commits, 3 s")


def clone(git: str, address: str, copy: Path) -> None:
    """Clone a repository, and remove the clone."""
    subprocess.run([git, "clone", "-q", "--bare", address, str(copy)], check=True)
    shutil.rmtree(copy)


def twice(what: str, action: Callable[[], object], target: str) -> None:
    """Print how long an action takes at first and after that."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    print(f"{what}: {times[0]:.3f} s, then {times[1]:.3f} s (target: {target})")
