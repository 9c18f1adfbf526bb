"""Content that must go: its bytes are nowhere in the folder, and it does not come back."""

import os
import subprocess
from contextlib import suppress

import httpx2
import pytest
from click.testing import CliRunner
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

from ggez_hub.cli.main import cli
from ggez_hub.embedded import purging
from ggez_hub.embedded.errors import EntryNotFoundError
from ggez_hub.embedded.store import HubStore
from ggez_hub.embedded.xet.xorb import read_chunks, read_index

from .test_garbage import killed_at

pytestmark = pytest.mark.slow

SECRET = b"\0" + b"a person's data " * 20_000
NAME = b"Jane Doe lives here, and nobody may know"


@pytest.fixture(params=[False, True], ids=["lfs", "xet"])
def by_xet(request, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", not request.param)
    return request.param


def purge(hub, *words, code=0):
    command = ["hub", "purge", *words, "--root", str(hub.store.root)]
    found = CliRunner().invoke(cli, command)
    assert found.exit_code == code, found.output
    return found.output


def is_stored(store, content):
    """Whether content is in a large file, a chunk of a xorb, or an object of git."""
    if any(content in path.read_bytes() for path in store.lfs.stored()):
        return True
    for path in store.xet.stored():
        index = read_index(path)
        if content in b"".join(read_chunks(path, index, 0, len(index))):
            return True
    for repo in store.catalog.all():
        objects = [
            "git",
            "-C",
            store.folder(repo),
            "cat-file",
            "--batch-all-objects",
            "--batch",
        ]
        if content in subprocess.run(objects, check=True, capture_output=True).stdout:
            return True
    return False


def status(hub, repo, path, revision="main", view="resolve"):
    return httpx2.get(f"{hub.endpoint}/{repo}/{view}/{revision}/{path}").status_code


def test_a_large_file_goes_from_everywhere(hub, api, new_id, by_xet):
    ours, theirs = new_id(), new_id()
    secret, kept = SECRET + os.urandom(100), b"\0" + os.urandom(150_000)
    for repo in (ours, theirs):
        api.create_repo(repo)
    folder = {"secret.bin": secret, "kept.bin": kept}
    for path, content in folder.items():
        api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id=ours)
    old = api.repo_info(ours).sha
    api.delete_file("secret.bin", ours)
    api.upload_file(path_or_fileobj=secret, path_in_repo="copy.bin", repo_id=theirs)
    assert "nothing was removed" in purge(hub, ours, "secret.bin")
    assert status(hub, ours, "secret.bin", old) == 200
    found = purge(hub, ours, "secret.bin", "--yes")
    assert theirs in found
    assert not is_stored(hub.store, secret[-100:])
    for view in ("resolve", "blob", "raw"):
        assert status(hub, ours, "secret.bin", old, view) == 451
    assert status(hub, theirs, "copy.bin") == 451
    assert httpx2.get(f"{hub.endpoint}/{ours}/resolve/main/kept.bin").content == kept
    with pytest.raises(Exception, match=r"451|removed from this hub"):
        api.upload_file(path_or_fileobj=secret, path_in_repo="again.bin", repo_id=ours)
    assert not api.file_exists(ours, "again.bin")
    assert not is_stored(hub.store, secret[-100:]) or by_xet


def test_files_that_share_a_xorb_with_it_stay(hub, api, repo, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    secret, kept = SECRET[::-1] + os.urandom(99), b"\0" + os.urandom(150_000)
    (tmp_path / "a.bin").write_bytes(secret)
    (tmp_path / "b.bin").write_bytes(kept)
    api.upload_folder(folder_path=tmp_path, repo_id=repo)
    purge(hub, repo, "a.bin", "--yes")
    assert not is_stored(hub.store, secret[-99:])
    assert httpx2.get(f"{hub.endpoint}/{repo}/resolve/main/b.bin").content == kept
    api.upload_file(path_or_fileobj=kept + b"more", path_in_repo="c.bin", repo_id=repo)
    assert httpx2.get(f"{hub.endpoint}/{repo}/resolve/main/c.bin").content == kept + b"more"


def test_a_small_file_goes_from_history(hub, api, repo, new_id):
    first = api.upload_file(path_or_fileobj=b"before", path_in_repo="x/a.txt", repo_id=repo)
    named = api.upload_file(path_or_fileobj=NAME, path_in_repo="x/names.txt", repo_id=repo)
    api.create_tag(repo, tag="v1", tag_message="annotated")
    api.upload_file(path_or_fileobj=b"proposed", path_in_repo="p.txt", repo_id=repo, create_pr=True)
    api.upload_file(path_or_fileobj=b"new " + NAME, path_in_repo="x/names.txt", repo_id=repo)
    api.delete_file("x/names.txt", repo)
    other = new_id()
    api.create_repo(other)
    api.upload_file(path_or_fileobj=NAME, path_in_repo="copy.txt", repo_id=other)
    assert other in purge(hub, repo, "x/names.txt", "--yes")
    assert not is_stored(hub.store, NAME)
    assert api.repo_info(repo, revision=first.oid).sha == first.oid
    with pytest.raises(RevisionNotFoundError):
        api.repo_info(repo, revision=named.oid)
    titles = [commit.title for commit in api.list_repo_commits(repo)]
    assert len(titles) == 5
    for revision in ("v1", "refs%2Fpr%2F1"):
        assert status(hub, repo, "x/names.txt", revision) == 451
        assert status(hub, repo, "x/a.txt", revision) == 200
    assert status(hub, other, "copy.txt") == 451
    folder = hub.store.folder(hub.store.repo("model", repo))
    subprocess.run(["git", "-C", folder, "fsck", "--full", "--strict"], check=True)
    with pytest.raises(HfHubHTTPError, match="removed from this hub"):
        api.upload_file(path_or_fileobj=NAME, path_in_repo="x/names.txt", repo_id=repo)
    assert "no commit" in purge(hub, repo, "x/names.txt", code=2)


@pytest.mark.slow
def test_a_purge_that_is_killed_anywhere_is_run_again(tmp_path):
    options = {"author": "a", "email": "a@example.org", "message": "x", "date": 1}
    step = 0
    killed = True

    def work(store):
        purging.purge(store, purging.find(store, store.repo("model", "acme/a"), "secret"))
        purging.purge(store, purging.find(store, store.repo("model", "acme/a"), "secret.bin"))

    while killed:
        step += 1
        root = tmp_path / str(step)
        with HubStore.open(root) as store:
            for repo in ("acme/a", "acme/b"):
                store.create_repo("model", repo)
                files = {"secret": NAME, "secret.bin": SECRET, "kept": b"kept"}
                store.commit("model", repo, files, **options)
        killed = killed_at(root, step, work)
        with HubStore.open(root) as store:
            for path in ("secret", "secret.bin"):
                with suppress(EntryNotFoundError):
                    repo = store.repo("model", "acme/a")
                    purging.purge(store, purging.find(store, repo, path))
            assert not is_stored(store, NAME)
            assert not is_stored(store, SECRET)
            for name in ("acme/a", "acme/b"):
                with store.git(store.repo("model", name)) as git:
                    assert git.snapshot().text("kept") == b"kept"
    assert step > 5


def test_by_sha256_and_what_is_not_there(hub, api, repo):
    import hashlib

    content = b"by its digest " + os.urandom(8).hex().encode()
    api.upload_file(path_or_fileobj=content, path_in_repo="a.txt", repo_id=repo)
    purge(hub, repo, hashlib.sha256(content).hexdigest(), "--yes")
    assert not is_stored(hub.store, content)
    assert "no commit" in purge(hub, repo, "none.txt", code=2)
    assert "not found" in purge(hub, "acme/none", "a.txt", code=2)
