"""A copy that is taken while others write is a hub, with everything that was acknowledged before."""

import json
import os
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import CommitOperationAdd, constants

from ggez_hub.cli.main import cli
from ggez_hub.embedded import backup
from ggez_hub.embedded.store import HubStore

from .conftest import Hub, running
from .test_garbage import intact

pytestmark = pytest.mark.slow


@pytest.fixture
def hub(store):
    """A hub of its own, in which nothing is broken."""
    store.add_account("alice", orgs=["acme"])
    tokens = {"alice": store.new_token("alice", "write")}
    with running(store) as endpoint:
        yield Hub(store, endpoint, tokens)


@pytest.mark.slow
@pytest.mark.parametrize("by_xet", [False, True])
def test_a_backup_under_writers(hub, new_id, tmp_path, monkeypatch, by_xet):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", not by_xet)
    api, stop, failures = hub.api(), threading.Event(), []
    repos = [new_id() for _ in range(2)]
    acknowledged = dict.fromkeys(repos, 0)

    def write(repo):
        try:
            number = 0
            while not stop.is_set():
                files = {f"{number}.bin": b"\0" + os.urandom(5000), f"{number}.txt": b"%d" % number}
                operations = [CommitOperationAdd(path, data) for path, data in files.items()]
                api.create_commit(repo, operations, commit_message=f"{number}")
                number += 1
                acknowledged[repo] = number
                if number == 5:
                    api.create_repo(f"{repo}-new")
                    api.upload_file(
                        path_or_fileobj=b"\0new", path_in_repo="a.bin", repo_id=f"{repo}-new"
                    )
        except BaseException as error:
            failures.append(error)

    for repo in repos:
        api.create_repo(repo)
    writers = [threading.Thread(target=write, args=[repo]) for repo in repos]
    for writer in writers:
        writer.start()
    copies = []
    while not failures and (len(copies) < 3 or min(acknowledged.values()) < 7):
        before = dict(acknowledged)
        target = tmp_path / str(len(copies))
        command = ["hub", "backup", str(target), "--root", str(hub.store.root), "--json"]
        found = CliRunner().invoke(cli, command)
        assert found.exit_code == 0, found.output
        assert json.loads(found.stdout)["repos"] >= 2
        copies.append((target, before))
    stop.set()
    for writer in writers:
        writer.join()
    assert failures == []
    for target, before in copies:
        with HubStore.open(target) as store:
            intact(store)
            for repo, number in before.items():
                with store.git(store.repo("model", repo)) as git:
                    if number:
                        assert len(git.snapshot().files()) >= 2 * number + 1
    # Restored: a copy serves, and the tokens are those that there were.
    target, before = copies[-1]
    assert not (target / "token").exists()
    assert target.stat().st_mode & 0o077 == 0
    with HubStore.open(target) as store, running(store) as endpoint:
        restored = type(api)(endpoint, token=hub.tokens["alice"])
        for repo, number in before.items():
            for item in range(number):
                got = restored.hf_hub_download(repo, f"{item}.bin", local_dir=tmp_path / "got")
                assert Path(got).stat().st_size == 5001
        restored.upload_file(path_or_fileobj=b"\0more", path_in_repo="m.bin", repo_id=repos[0])


def test_a_commit_in_the_middle_has_its_rows(hub, api, repo, tmp_path, monkeypatch):
    api.upload_file(path_or_fileobj=b"\0first", path_in_repo="a.bin", repo_id=repo)
    # Under the lock of the repo nothing is committed; between the database and the lock it is.
    git = hub.store.git

    def committed(record):
        monkeypatch.setattr(hub.store, "git", git)
        api.upload_file(path_or_fileobj=b"\0second", path_in_repo="b.bin", repo_id=record.id)
        return git(record)

    monkeypatch.setattr(hub.store, "git", committed)
    done = backup.back_up(hub.store, tmp_path / "copy")
    assert done.repos
    with HubStore.open(tmp_path / "copy") as store:
        intact(store)
        first = store.catalog.all()[0]
        with store.git(first) as repository:
            assert "b.bin" in repository.snapshot().files()


def test_a_folder_that_exists_is_left_alone(store, tmp_path):
    (tmp_path / "copy").mkdir()
    command = ["hub", "backup", str(tmp_path / "copy"), "--root", str(store.root)]
    found = CliRunner().invoke(cli, command)
    assert found.exit_code == 1
    assert "exists already" in found.stderr
