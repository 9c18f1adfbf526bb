"""A hub on a free port of this machine, and the unmodified client that talks to it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from ggez_hub.embedded import database
from ggez_hub.embedded.http.body import Limits
from ggez_hub.embedded.server import Server
from ggez_hub.embedded.store import HubStore

from .. import worlds

LIMITS = Limits(regular_file=6 << 20, commit_body=32 << 20, commit_files=1200, lfs_object=64 << 20)


@dataclass(frozen=True)
class Hub:
    """A running hub with two users: alice is of the organisation acme, bob of none."""

    store: HubStore
    endpoint: str
    tokens: dict[str, str]

    def api(self, who: str | None = "alice") -> HfApi:
        return HfApi(self.endpoint, token=self.tokens[who] if who else False)


@contextmanager
def running(store: HubStore) -> Iterator[str]:
    """The address of a server over `store`, which runs in a thread."""
    with worlds.running(Server(store, limits=LIMITS, webhook_hosts=["127.0.0.1"])) as url:
        yield url


@pytest.fixture(scope="package", autouse=True)
def _client_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For the tests of this folder alone: those of others may follow in the same process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setattr(constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        patch.delenv("HF_TOKEN", raising=False)
        # Whoever has set up git-lfs has a filter for all repositories.
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path_factory.mktemp("home") / "token"))
        # No test cuts the power, and a disk that is shared takes its time. (`make soak` kills servers
        # of other processes, which this does not reach.)
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr(database, "SYNCHRONOUS", "OFF")
        yield


@contextmanager
def running_hub(folder: Path) -> Iterator[Hub]:
    """A hub of its own, for tests that change accounts which others have."""
    with HubStore.open(folder) as store:
        store.add_account("alice", fullname="Alice", orgs=["acme"])
        store.add_account("bob")
        tokens = {name: store.new_token(name, "write") for name in ("alice", "bob")}
        tokens["reader"] = store.new_token("alice", "read")
        with running(store) as endpoint:
            yield Hub(store, endpoint, tokens)


@pytest.fixture(scope="package")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture
def api(hub: Hub) -> HfApi:
    return hub.api()


@pytest.fixture(scope="package")
def new_id() -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"acme/repo-{next(numbers)}"


@pytest.fixture
def repo(api: HfApi, new_id: Callable[[], str]) -> str:
    """A new public model repo."""
    repo_id = new_id()
    api.create_repo(repo_id)
    return repo_id


@pytest.fixture
def secret_repo(api: HfApi, new_id: Callable[[], str]) -> str:
    """A new private model repo of acme with a small and a large file."""
    repo_id = new_id()
    api.create_repo(repo_id, private=True)
    api.upload_file(path_or_fileobj=b"hidden", path_in_repo="a.txt", repo_id=repo_id)
    api.upload_file(path_or_fileobj=b"\0hidden", path_in_repo="a.bin", repo_id=repo_id)
    return repo_id


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HubStore]:
    """An empty store of its own."""
    with HubStore.open(tmp_path / "store") as opened:
        yield opened
