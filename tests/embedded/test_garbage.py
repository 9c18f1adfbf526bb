"""Garbage: what nothing needs goes, what is needed or on its way stays, whenever it is killed."""

import hashlib
import json
import os
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import CommitOperationAdd, constants
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RevisionNotFoundError

from ggez_hub.cli.main import cli
from ggez_hub.embedded import catalog
from ggez_hub.embedded.commits import Signature, Snapshot
from ggez_hub.embedded.errors import HubError
from ggez_hub.embedded.errors import RevisionNotFoundError as NoRevision
from ggez_hub.embedded.garbage import collect
from ggez_hub.embedded.http import commit_routes
from ggez_hub.embedded.sessions import SessionFiles
from ggez_hub.embedded.store import HubStore

OPTIONS = {"author": "a", "email": "a@example.org", "message": "x", "date": 1}
LATER = -1  # a grace that is over for what comes now


def large(text):
    return b"\0" + text.encode() * 1000


def squashed(store, repo="acme/a"):
    """A repo with a large and a small file that only the history before a squash had."""
    store.create_repo("model", repo)
    old = store.commit(
        "model",
        repo,
        {"old.bin": large(repo), "old.txt": b"old" * 99, "a.bin": large("a")},
        **OPTIONS,
    )
    store.commit("model", repo, {"b.txt": b"b"}, delete=["old.bin", "old.txt"], **OPTIONS)
    with store.git(store.repo("model", repo)) as git:
        git.squash("main", "squashed", Signature("a", "a@example.org", 2))
    return old


def stored(store):
    return {path.name for path in store.lfs.stored()} | {path.name for path in store.xet.stored()}


def sha256(store, oid):
    if (path := store.lfs.path(oid)).exists():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    file = store.xet.catalog.file(oid)
    return hashlib.sha256(b"".join(store.xet.content(file, 0, file.size))).hexdigest()


def intact(store):
    """Every file of every ref of every repo can be read, and git is content."""
    for repo in store.catalog.all():
        with store.git(repo) as git:
            for tip in git.refs.tips():
                snapshot = Snapshot(git.objects, tip)
                for entry in snapshot.listing(recursive=True):
                    if entry.lfs is not None:
                        assert store.catalog.linked(repo, [entry.lfs.oid])
                        assert sha256(store, entry.lfs.oid) == entry.lfs.oid
                    elif not entry.is_folder:
                        snapshot.read(entry)
        fsck = ["git", "-C", store.folder(repo), "fsck", "--full", "--strict"]
        subprocess.run(fsck, check=True, capture_output=True)


def test_what_a_squash_left_goes_and_is_measured_before(store):
    old = squashed(store)
    repo = store.repo("model", "acme/a")
    assert collect(store, 3600).total_bytes == 0
    assert len(stored(store)) == 2
    measured = collect(store, LATER, dry_run=True)
    with store.git(repo) as git:
        assert Snapshot(git.objects, old).file("old.bin")
    freed = collect(store, LATER)
    assert (freed.large_files, freed.large_bytes) == (1, len(large("acme/a")))
    assert (measured.large_files, measured.large_bytes) == (1, len(large("acme/a")))
    assert measured.git_bytes == freed.git_bytes > 300
    assert not freed.damaged
    with store.git(repo) as git, pytest.raises(NoRevision):
        git.refs.resolve(old)
    intact(store)
    assert collect(store, LATER).total_bytes == 0


def test_objects_in_packs_go_too(store):
    store.create_repo("model", "acme/a")
    many = {f"{n}.txt": b"%d" % n * 50 for n in range(60)}
    store.commit("model", "acme/a", many, **OPTIONS)
    store.commit("model", "acme/a", {"0.txt": b"new"}, delete=[*many][1:], **OPTIONS)
    repo = store.repo("model", "acme/a")
    with store.git(repo) as git:
        git.squash("main", "squashed", Signature("a", "a@example.org", 2))
    assert collect(store, LATER).git_bytes > 60 * 20
    intact(store)
    with store.git(repo) as git:
        assert git.snapshot().text("0.txt") == b"new"


def test_pull_requests_tags_and_other_repos_keep_what_they_need(hub, api, new_id):
    ours, theirs = new_id(), new_id()
    for repo in (ours, theirs):
        api.create_repo(repo)
        api.upload_file(path_or_fileobj=large("shared"), path_in_repo="a.bin", repo_id=repo)
    api.upload_file(
        path_or_fileobj=large("proposed"), path_in_repo="p.bin", repo_id=ours, create_pr=True
    )
    api.upload_file(path_or_fileobj=large("tagged"), path_in_repo="t.bin", repo_id=ours)
    api.create_tag(ours, tag="v1", tag_message="annotated")
    api.delete_files(ours, ["*.bin"])
    api.super_squash_history(ours)
    collect(hub.store, LATER)
    assert Path(api.hf_hub_download(ours, "p.bin", revision="refs/pr/1")).read_bytes() == large(
        "proposed"
    )
    assert Path(api.hf_hub_download(ours, "t.bin", revision="v1")).read_bytes() == large("tagged")
    assert Path(api.hf_hub_download(theirs, "a.bin")).read_bytes() == large("shared")


def test_an_upload_that_waits_for_its_commit_stays_for_the_grace(hub, api, repo):
    operation = CommitOperationAdd("a.bin", large("waiting"))
    api.preupload_lfs_files(repo, [operation])
    collect(hub.store, 3600)
    api.create_commit(repo, [operation], commit_message="x")
    # Long ago somebody brought it, and its branch is gone: whoever is told that it is there counts on it.
    api.delete_file("a.bin", repo)
    api.super_squash_history(repo)
    hub.store.database.write("UPDATE objects SET used = 0")
    again = CommitOperationAdd("b.bin", large("waiting"))
    api.preupload_lfs_files(repo, [again])
    collect(hub.store, 3600)
    api.create_commit(repo, [again], commit_message="y")
    assert api.file_exists(repo, "b.bin")


def test_a_write_that_found_what_goes_is_refused(store):
    squashed(store)
    with store.git(store.repo("model", "acme/a")) as git:
        git.objects.write_blob(b"old" * 99)
        collect(store, LATER)
        with pytest.raises(HubError, match="try again"):
            git.objects.flush()


def test_a_commit_never_refers_to_what_went(hub, api, repo, monkeypatch):
    operation = CommitOperationAdd("a.bin", large("late"))
    api.preupload_lfs_files(repo, [operation])
    commit = commit_routes._commit

    def collect_first(incoming, header, changes):
        collect(hub.store, LATER)
        return commit(incoming, header, changes)

    monkeypatch.setattr(commit_routes, "_commit", collect_first)
    with pytest.raises(HfHubHTTPError, match="does not exist"):
        api.create_commit(repo, [operation], commit_message="x")
    assert not api.file_exists(repo, "a.bin")


def test_a_branch_cannot_begin_at_what_went_in_part(store):
    old = squashed(store)
    with store.git(store.repo("model", "acme/a")) as git:
        git.create_branch("kept", old)
        git.delete_branch("kept")
        tree = git.objects.commit(old).tree.decode()
        (store.folder(store.repo("model", "acme/a")) / "objects" / tree[:2] / tree[2:]).unlink()
        with pytest.raises(NoRevision):
            git.create_branch("half", old)


def test_old_commits_answer_that_a_file_is_missing(hub, api, repo):
    commit = api.upload_file(path_or_fileobj=large("gone"), path_in_repo="a.bin", repo_id=repo)
    api.delete_file("a.bin", repo)
    api.super_squash_history(repo)
    record = hub.store.repo("model", repo)
    hub.store.catalog.unlink(record, (), 1 << 40, dry_run=False)
    hub.store.lfs.remove(
        next(
            iter(path.name for path in hub.store.lfs.stored() if path.read_bytes() == large("gone"))
        )
    )
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download(repo, "a.bin", revision=commit.oid)


def test_chunks_of_uploads_that_never_ended_go(hub, api, repo, monkeypatch):
    collect(hub.store, LATER)  # what others left
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    content = os.urandom(300_000)
    api.upload_file(path_or_fileobj=b"\0" + content, path_in_repo="a.bin", repo_id=repo)
    abandoned = CommitOperationAdd("b.bin", b"\0" + os.urandom(200_000))
    api.preupload_lfs_files(repo, [abandoned])
    before = hub.store.xet.catalog.generation
    freed = collect(hub.store, LATER)
    assert freed.xorbs == 1
    assert freed.xorb_bytes > 200_000
    assert hub.store.xet.catalog.generation != before
    assert Path(api.hf_hub_download(repo, "a.bin")).read_bytes() == b"\0" + content
    again = CommitOperationAdd("b.bin", abandoned.path_or_fileobj or b"\0" + os.urandom(100_000))
    api.create_commit(repo, [again], commit_message="x")
    assert api.file_exists(repo, "b.bin")


def test_folders_of_nobody_and_parts_of_uploads_go(store):
    squashed(store)
    store.create_repo("model", "acme/b")
    with store.database.transaction() as connection:
        connection.execute("DELETE FROM repos WHERE name = 'b'")
    part = store.root / "lfs" / "incoming" / "tmpx"
    part.write_bytes(b"x" * 100)
    os.utime(part, (1, 1))
    assert collect(store, 3600, dry_run=True).leftover_bytes > 100
    assert collect(store, 3600).leftover_bytes > 100
    assert not part.exists()
    assert [path.name for path in store.folders.all()] == ["a.git"]


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_an_upload_that_ends_while_it_is_measured_is_not_damage(store, monkeypatch, looks):
    squashed(store)
    upload = (
        store.folder(store.repo("model", "acme/a")) / "objects" / "pack" / "tmp_pack_of_somebody"
    )
    upload.parent.mkdir(exist_ok=True)
    upload.write_bytes(b"PACK")
    stat, seen = Path.stat, []

    def ending(path, **options):
        if path == upload:
            seen.append(path)
            if len(seen) == looks:
                path.unlink()
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", ending)
    assert collect(store, LATER).damaged == ()
    assert not upload.exists()


def test_of_a_damaged_repo_nothing_goes(store):
    squashed(store)
    repo = store.repo("model", "acme/a")
    with store.git(repo) as git:
        blob = git.snapshot().file("b.txt").oid
    (store.folder(repo) / "objects" / blob[:2] / blob[2:]).unlink()
    before = stored(store)
    assert collect(store, LATER).damaged == ("acme/a",)
    assert stored(store) == before
    found = CliRunner().invoke(cli, ["hub", "gc", "--root", str(store.root)])
    assert found.exit_code == 1
    assert "acme/a" in found.stderr


def test_the_command_prints_the_bytes(store):
    squashed(store)
    command = ["hub", "gc", "--root", str(store.root), "--grace", "0", "--json"]
    with SessionFiles(store.root).serving():
        refused = CliRunner().invoke(cli, command)
    assert refused.exit_code == 2
    assert "uploads may be under way" in refused.stderr
    store.database.write("UPDATE objects SET used = 0")
    document = json.loads(CliRunner().invoke(cli, [*command, "--dry-run"]).stdout)
    assert document["large_bytes"] == len(large("acme/a"))
    assert document["dry_run"]
    assert json.loads(CliRunner().invoke(cli, command).stdout)["large_files"] == 1


def killed_at(root, step, work):
    """Work in a process that kills itself at its `step`th change to the disk; whether it was killed."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            count = 0

            def counting(function):
                def changed(*args, **options):
                    nonlocal count
                    count += 1
                    if count == step:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return function(*args, **options)

                return changed

            for name in ("unlink", "replace"):
                setattr(Path, name, counting(getattr(Path, name)))
            with HubStore.open(root) as store:
                work(store)
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def test_a_collection_that_is_killed_anywhere_is_run_again(tmp_path):
    step, kills = 0, 0
    while True:
        step += 1
        root = tmp_path / str(step)
        with HubStore.open(root) as store:
            squashed(store)
            many = {f"{n}.txt": b"%d" % n * 50 for n in range(30)}
            store.commit("model", "acme/a", many, **OPTIONS)
            with store.git(store.repo("model", "acme/a")) as git:
                git.squash("main", "again", Signature("a", "a@example.org", 3))
        if not killed_at(root, step, lambda store: collect(store, LATER)):
            break
        kills += 1
        with HubStore.open(root) as store:
            intact(store)
            collect(store, LATER)
            assert len(stored(store)) == 1
            assert collect(store, LATER).total_bytes == 0
    assert kills > 8


def aged(store, repo):
    """Let all that a repo has be from long ago."""
    record = store.repo("model", repo)
    store.database.write("UPDATE objects SET used = 1 WHERE repo = ?", record.key)
    for path in store.folder(record).glob("objects/*/*"):
        with suppress(FileNotFoundError):
            os.utime(path, (1, 1))


def again(action, *arguments, **options):
    """Do what the hub asks for where objects went that a write had found."""
    while True:
        try:
            return action(*arguments, **options)
        except HfHubHTTPError as error:
            if "try again" not in str(error):
                raise


def test_collections_under_writers(hub, new_id, monkeypatch):
    monkeypatch.setattr(catalog, "FRESH", 0)
    api, stop, failures, freed = hub.api(), threading.Event(), [], []
    repos = [new_id() for _ in range(3)]

    def write(repo):
        try:
            for number in range(15):
                files = {
                    f"{number}.txt": b"text %d" % (number % 3),
                    f"{number}.bin": large(f"{repo} {number % 4}"),
                }
                operations = [CommitOperationAdd(path, content) for path, content in files.items()]
                again(api.create_commit, repo, operations, commit_message=f"{number}")
                if number % 5 == 4:
                    again(api.delete_files, repo, ["*.bin"])
                    again(api.super_squash_history, repo)
                    # However long a request takes, what it brought is younger.
                    aged(hub.store, repo)
        except BaseException as error:
            failures.append(error)

    for repo in repos:
        api.create_repo(repo)
    writers = [threading.Thread(target=write, args=[repo]) for repo in repos]

    def sweep():
        last = False
        while not last:
            last = stop.is_set()
            freed.append(collect(hub.store, 600))

    sweeper = threading.Thread(target=sweep)
    for thread in (sweeper, *writers):
        thread.start()
    for writer in writers:
        writer.join()
    stop.set()
    sweeper.join()
    assert failures == []
    assert not {repo for each in freed for repo in each.damaged} & {*repos}
    assert any(each.large_files for each in freed)
    assert any(each.git_bytes for each in freed)
    for repo in repos:
        assert len(api.list_repo_files(repo)) == 16
        with pytest.raises(RevisionNotFoundError):
            api.repo_info(repo, revision="0" * 40)
