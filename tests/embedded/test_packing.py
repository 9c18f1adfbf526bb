"""Loose objects are packed while the hub serves, and nothing is lost or missed by it."""

import shutil
import subprocess
from threading import Event, Thread

import httpx2
import pytest

from ggez_hub.embedded import packing
from ggez_hub.embedded.packing import pack_loose

SIGNED = {"author": "a", "email": "a@example.org"}


@pytest.fixture
def folder(hub, repo):
    """The git folder of a repo with some commits, each of which left loose objects."""
    for number in range(12):
        hub.store.commit(
            "model", repo, {f"{number}/x.txt": b"%d" % number}, message="x", date=number, **SIGNED
        )
    return hub.store.folder(hub.store.repo("model", repo))


def loose(folder):
    return [path for path in folder.glob("objects/??/*") if len(path.name) == 38]


def test_loose_objects_become_a_pack(hub, api, repo, folder):
    before = loose(folder)
    commits = [commit.commit_id for commit in api.list_repo_commits(repo)]
    assert pack_loose(folder, more_than=len(before)) == 0
    assert loose(folder) == before
    assert pack_loose(folder, more_than=10) == len(before) > 40
    assert loose(folder) == []
    assert [commit.commit_id for commit in api.list_repo_commits(repo)] == commits
    assert api.file_exists(repo, "11/x.txt", revision=commits[0])
    if git := shutil.which("git"):
        subprocess.run(
            [git, "fsck", "--full", "--strict"], cwd=folder, check=True, capture_output=True
        )


def test_a_damaged_object_stays_where_it_is(folder):
    (damaged, renamed, *_) = loose(folder)
    damaged.chmod(0o644)
    damaged.write_bytes(b"not an object")
    other = renamed.with_name("0" * 38)
    renamed.rename(other)
    pack_loose(folder, more_than=10)
    assert sorted(loose(folder)) == sorted([damaged, other])


def test_two_do_not_pack_at_once(folder, monkeypatch):
    inside, go = Event(), Event()
    read = packing._read

    def slow(path):
        inside.set()
        assert go.wait(60)
        return read(path)

    monkeypatch.setattr(packing, "_read", slow)
    first = Thread(target=pack_loose, args=(folder, 10))
    first.start()
    assert inside.wait(60)
    assert pack_loose(folder, more_than=10) == 0
    go.set()
    first.join()
    assert loose(folder) == []


def test_who_reads_while_it_is_done_finds_everything(hub, repo, folder):
    """The store was opened, and its packs were looked at, before."""
    record = hub.store.repo("model", repo)
    with hub.store.git(record) as git:
        assert git.snapshot().files()
        pack_loose(folder, more_than=10)
        assert len(git.snapshot().files()) == 13
        assert git.objects.raw(git.snapshot().tree)


@pytest.mark.parametrize("by", ["commit", "clone"])
def test_it_is_done_after_a_commit_and_after_a_clone(
    hub, api, repo, folder, monkeypatch, tmp_path, by
):
    if by == "clone" and shutil.which("git") is None:
        pytest.skip("needs git")
    done = Event()

    def pack(path):
        # git asks twice: the second time another may be at it still.
        if pack_loose(path, more_than=10):
            done.set()

    monkeypatch.setattr("ggez_hub.embedded.store.pack_loose", pack)
    if by == "commit":
        api.upload_file(path_or_fileobj=b"x", path_in_repo="new.txt", repo_id=repo)
    else:
        command = ["git", "clone", "-q", f"{hub.endpoint}/{repo}", tmp_path / "clone"]
        subprocess.run(command, check=True)
    assert done.wait(60)
    assert loose(folder) == []
    assert httpx2.get(f"{hub.endpoint}/{repo}/resolve/main/3/x.txt").content == b"3"
