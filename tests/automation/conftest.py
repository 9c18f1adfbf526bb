"""A registry on a fake GitHub with a real git repository, and a hub with the test world."""

from __future__ import annotations

import io
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ggez_hub.demo.hub import ASSETS, DATA, seed
from ggez_hub.embedded.store import HubStore
from ggez_hub.evaluation.benchmarks.datasets import SHIPPED

from ..worlds import serving, write_world
from .github_server import serve_github
from .runner import PROJECT, Runner

REPO = {"th": "ggez-world/clip-emoji-th", "southeast-asia": "ggez-world/clip-emoji-southeast-asia"}


def git(folder, *arguments):
    return subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
        cwd=folder, check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip


@dataclass
class Registry:
    """The registry: `origin` is what GitHub holds, `clone` what a runner checked out."""

    folder: Path
    origin: Path
    runner: Runner
    github: object

    def propose(self, files: dict[str, str | bytes | None]) -> str:
        """Open pull request 1, or push to it, with `files`; returns its head."""
        work = self.folder / "contributor"
        if not work.exists():
            git(self.folder, "clone", "-q", str(self.origin), str(work))
        git(work, "checkout", "-q", "-B", "proposal", "origin/main")
        for path, content in files.items():
            place = work / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                place.unlink()
            else:
                place.write_bytes(content if isinstance(content, bytes) else content.encode())
        git(work, "add", "-A")
        git(work, "commit", "-q", "-m", "Add a card")
        git(work, "push", "-q", "-f", "origin", "HEAD:refs/pull/1/head")
        self.github.head = git(work, "rev-parse", "HEAD")
        self.github.base = git(work, "rev-parse", "origin/main")
        return self.github.head

    def accept(self, files: dict[str, str]) -> None:
        """Put files onto main, and bring the runner's clone up to date."""
        work = self.folder / "maintainer"
        if not work.exists():
            git(self.folder, "clone", "-q", str(self.origin), str(work))
        git(work, "pull", "-q", "origin", "main")
        for path, text in files.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_text(text)
        git(work, "add", "-A")
        git(work, "commit", "-q", "-m", "Accept")
        git(work, "push", "-q", "origin", "HEAD:main")
        git(self.runner.clone, "pull", "-q", "origin", "main")
        contributor = self.folder / "contributor"
        if contributor.exists():
            git(contributor, "fetch", "-q", "origin")

    def pull_request(self):
        return {
            "pull_request": {
                "number": 1,
                "base": {"sha": self.github.base},
                "head": {"sha": self.github.head},
                "user": {"login": "stranger"},
            }
        }

    def finished(self, name="Contribution"):
        run = {"head_sha": self.github.head, "conclusion": "success", "name": name}
        return {"workflow_run": run}


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """The store of a hub with the test world."""
    world = write_world(tmp_path_factory.mktemp("world"))
    with HubStore.open(tmp_path_factory.mktemp("store")) as store:
        seed(store, world)
        yield store


@pytest.fixture(scope="session")
def hub(store):
    """The address of that hub."""
    with serving(store) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def store_of_demo(tmp_path_factory):
    """The store of a hub with the demo world; tests add repositories of their own, and change none."""
    with HubStore.open(tmp_path_factory.mktemp("demo")) as store:
        seed(store)
        yield store


@pytest.fixture(scope="session")
def demo_hub(store_of_demo):
    """The address of that hub."""
    with serving(store_of_demo) as endpoint:
        yield endpoint


def fewer_items(store, every):
    """Leave the demo's data set one item of so many: what is measured is soon measured."""
    _leave_out(store, DATA["emoji-names"], "emoji-names", ("validation", "test"), every)


def fewer_prompts(store, every):
    """Leave the demo's prompts one of so many."""
    names = [f"{language}/{split}" for language in ("en", "th") for split in ("validation", "test")]
    _leave_out(store, DATA["emoji-prompts"], "emoji-prompts", names, every)


def fewer_safety(patched, folder, every):
    """Ask one of so many of the prompts of safety."""
    folder.mkdir()
    for path in SHIPPED["ggez-hub/safety-prompts"].glob("*.csv"):
        head, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / path.name).write_text("".join([head, *rows[::every]]), encoding="utf-8")
    patched.setitem(SHIPPED, "ggez-hub/safety-prompts", folder)


def _leave_out(store, repo, folder, names, every):
    files = {}
    for name in names:
        table = pq.read_table(ASSETS / folder / "data" / f"{name}.parquet")
        pq.write_table(table.take(list(range(0, len(table), every))), out := io.BytesIO())
        files[f"data/{name}.parquet"] = out.getvalue()
    store.commit("dataset", repo, files, message="Leave out", author="s", email="s@x",
                 date=1_800_000_000)  # fmt: skip


def card_of_th(endpoint):
    """The th adapter's card in a hub's index, as its author may write it."""
    from huggingface_hub import HfApi, hf_hub_download

    found = HfApi(endpoint).list_repo_files("ggez-hub/index", repo_type="dataset")
    path = next(p for p in found if p.startswith("cards/th/embedding/"))
    place = hf_hub_download("ggez-hub/index", path, repo_type="dataset", endpoint=endpoint)
    return Path(place).read_text().replace("measured_by: registry", "measured_by: self")


@pytest.fixture(scope="session")
def good_card(hub):
    """A card as `cards/` takes it."""
    return card_of_th(hub)


@pytest.fixture
def registry(tmp_path, hub):
    """An empty registry, and pull request 1 to come."""
    with new_registry(tmp_path, hub) as made:
        yield made


@contextmanager
def new_registry(tmp_path, hub):
    """A registry in a new folder, for the hub at an address."""
    origin = tmp_path / "origin.git"
    start = tmp_path / "start"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(origin))
    git(tmp_path, "init", "-q", "-b", "main", str(start))
    (start / "README.md").write_text("# A registry\n")
    (start / ".github").mkdir()
    budget = (PROJECT / ".github" / "budget.yaml").read_text()
    (start / ".github" / "budget.yaml").write_text(budget)
    git(start, "add", "-A")
    git(start, "commit", "-q", "-m", "Start")
    git(start, "push", "-q", str(origin), "main")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(origin), str(clone))
    with serve_github() as github:
        github.git.origin = origin
        yield Registry(tmp_path, origin, Runner(clone, hub, github), github)
