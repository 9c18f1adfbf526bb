"""The store by itself: the same commits everywhere, and nothing half-made."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from dulwich.repo import Repo

from ggez_hub.embedded.accounts import Accounts
from ggez_hub.embedded.changes import PutBlob
from ggez_hub.embedded.commits import Signature
from ggez_hub.embedded.database import STEPS, Database
from ggez_hub.embedded.errors import (
    AlreadyExistsError,
    EntryNotFoundError,
    HubError,
    InvalidPathError,
    InvalidRequestError,
    RepoNotFoundError,
    RevisionNotFoundError,
    StaleParentError,
)
from ggez_hub.embedded.lfs import Pointer
from ggez_hub.embedded.listing_index import RepoQuery
from ggez_hub.embedded.refs import Refs
from ggez_hub.embedded.store import HubStore

MAIN = {"author": "Ada", "email": "ada@example.org", "date": 1_760_000_000}
GIT = shutil.which("git")
ID = "acme/tiny"
FIRST = "2817bcf929fe44243e3c9eb9a392ab64c3671f02"
SECOND = "27fc7310ca6f13c08c7eb2d0f3c1ecb807161ad9"
LARGE = b"\0" * 1_000_000


def commit(store, files, message="Add", **options):
    return store.commit("model", ID, files, message=message, **MAIN, **options)


@pytest.fixture
def seeded(store):
    store.create_repo("model", ID)
    return store


def git_folder(store):
    return store.root / "models" / "acme" / "tiny.git"


def test_commit_ids_are_the_same_on_every_machine(seeded, tmp_path):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(LARGE)
    assert seeded.head("model", ID) is None
    first = commit(seeded, {"README.md": b"# Tiny\n", "weights.safetensors": weights})
    second = commit(seeded, {"ไทย/x.txt": b"x"}, delete=["README.md"], message="Change\n\nMore.")
    assert first == FIRST
    assert second == SECOND
    assert seeded.head("model", ID) == second


def test_ids_do_not_depend_on_the_time_zone(seeded, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Bangkok")
    time.tzset()
    try:
        found = commit(seeded, {"README.md": b"# Tiny\n", "weights.safetensors": LARGE})
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found == FIRST


def test_large_files_leave_a_pointer_in_git(seeded, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(LARGE)
    commit(seeded, {"a.safetensors": path, "b.txt": b"text", "c": b"\xff\xfe", "d.bin": b""})
    with seeded.git(seeded.repo("model", ID)) as git:
        snapshot = git.snapshot()
        found = {entry.path: entry for entry in snapshot.listing(recursive=True)}
        pointer = Pointer.parse(snapshot.read(found["a.safetensors"]))
    assert pointer == found["a.safetensors"].lfs
    assert seeded.lfs.path(pointer.oid).read_bytes() == LARGE
    assert {name for name, entry in found.items() if entry.lfs} == {"a.safetensors", "c"}


@pytest.mark.skipif(GIT is None, reason="git is not installed")
def test_git_itself_finds_no_fault(seeded, tmp_path):
    commit(seeded, {"a/b/c.txt": b"1", "a.bin": b"\0", "a-b": b"", "z é.png": b"\x89\0"})
    commit(seeded, {"a/d": b"2"}, delete=["a/b"], message="")
    with seeded.git(seeded.repo("model", ID)) as git:
        git.create_tag("v1", "main")
        git.create_tag("v2", "main", (Signature("<A>\n", "a\0b", 1), "Notes"))
        git.create_branch("dev", None)
    folder = git_folder(seeded)
    subprocess.run([GIT, "-C", folder, "fsck", "--strict", "--full"], check=True)
    subprocess.run([GIT, "clone", "-q", folder, tmp_path / "clone"], check=True)
    tracked = subprocess.run(
        [GIT, "-C", tmp_path / "clone", "check-attr", "filter", "z é.png", "a.bin", "a-b"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert [line.rpartition(" ")[2] for line in tracked] == ["lfs", "lfs", "unspecified"]


@pytest.mark.skipif(GIT is None, reason="git is not installed")
def test_a_packed_repository_is_read_as_well(seeded):
    first = commit(seeded, {"a.txt": b"1"})
    subprocess.run([GIT, "-C", git_folder(seeded), "gc", "-q", "--prune=now"], check=True)
    second = commit(seeded, {"a.txt": b"2"})
    with seeded.git(seeded.repo("model", ID)) as git:
        assert git.snapshot(first[:8]).text("a.txt") == b"1"
        assert git.snapshot(second).text("a.txt") == b"2"


def test_refusals(seeded):
    commit(seeded, {"a": b"1"})
    with pytest.raises(AlreadyExistsError):
        seeded.create_repo("model", "Acme/Tiny")
    seeded.create_repo("model", ID, exist_ok=True)
    with pytest.raises(RepoNotFoundError):
        seeded.head("dataset", ID)
    with pytest.raises(RevisionNotFoundError):
        commit(seeded, {"a": b"2"}, branch="dev")
    with pytest.raises(EntryNotFoundError):
        commit(seeded, {}, delete=["b"])
    with (
        seeded.git(seeded.repo("model", ID)) as git,
        pytest.raises(RevisionNotFoundError),
    ):
        git.create_tag("v1", "absent")
    for bad in ("tiny", "a/b/c", "api/x", "../x", "acme/"):
        with pytest.raises(InvalidRequestError):
            seeded.create_repo("model", bad)
    with pytest.raises(InvalidRequestError):
        seeded.new_token("nobody", "read")
    seeded.add_account("ada")
    with pytest.raises(InvalidRequestError):
        seeded.new_token("ada", "admin")
    with pytest.raises(InvalidRequestError):
        seeded.add_account("acme")


def test_commits_of_many_threads_all_arrive(seeded):
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda n: commit(seeded, {f"{n}.txt": b"x"}), range(24)))
    assert len(ids) == 24
    with seeded.git(seeded.repo("model", ID)) as git:
        assert len(git.snapshot().files()) == 25


def test_one_of_many_commits_on_the_same_parent_wins(seeded):
    parent = commit(seeded, {"a": b"0"})
    repo = seeded.repo("model", ID)
    ready = threading.Barrier(8)

    def attempt(number):
        with seeded.git(repo) as git:
            blob = git.objects.write_blob(b"%d" % number)
            ready.wait()
            signature = Signature("a", "b", number)
            try:
                return git.commit(
                    "main", [PutBlob("a", blob)], message="x", signature=signature, parent=parent
                )
            except StaleParentError:
                return None

    with ThreadPoolExecutor(8) as pool:
        made = [oid for oid in pool.map(attempt, range(8)) if oid]
    assert made == [seeded.head("model", ID)]


def test_a_failed_commit_changes_nothing(seeded):
    head = commit(seeded, {"a": b"1"})
    with pytest.raises(HubError):
        commit(seeded, {"b": b"2", "B": b"3"})
    with pytest.raises(HubError):
        commit(seeded, {"c": b"2", "../d": b"3"})
    assert seeded.head("model", ID) == head


def test_locks_that_a_killed_process_left_do_not_block(seeded):
    first = commit(seeded, {"a": b"1"})
    ref = git_folder(seeded) / "refs" / "heads"
    (ref / "main.lock").touch()
    assert commit(seeded, {"a": b"2"}) != first


def test_a_folder_that_a_killed_creation_left_is_replaced(store):
    git_folder(store).mkdir(parents=True)
    (git_folder(store) / "HEAD").write_text("half")
    store.create_repo("model", ID)
    assert commit(store, {"a": b"1"})
    assert Repo(git_folder(store)).head().decode() == store.head("model", ID)


def test_uploads_that_were_killed_are_swept(store):
    fresh, old = (store.root / "lfs" / "incoming" / name for name in ("fresh", "old"))
    for path in (fresh, old):
        path.touch()
    os.utime(old, (1, 1))
    store.remove_abandoned()
    assert fresh.exists()
    assert not old.exists()


def test_two_processes_commit_to_one_store(seeded):
    script = (
        "import sys; from pathlib import Path; from ggez_hub.embedded import HubStore\n"
        "with HubStore.open(Path(sys.argv[1])) as store:\n"
        "    for n in range(10):\n"
        "        store.commit('model', 'acme/tiny', {f'{sys.argv[2]}-{n}': b'x'}, message='m',\n"
        "                     author='a', email='e', date=n)\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(seeded.root), name]) for name in "ab"
    ]
    assert [process.wait() for process in processes] == [0, 0]
    with seeded.git(seeded.repo("model", ID)) as git:
        assert len(git.snapshot().files()) == 21


def test_the_owners_token_is_for_the_owner_alone(store):
    token = store.owner_token()
    path = store.root / "token"
    assert path.read_text() == token
    assert path.stat().st_mode & 0o777 == 0o600
    assert (store.root / "hub.sqlite3").stat().st_mode & 0o777 == 0o600
    assert store.owner_token() == token
    assert Accounts(store.database).authenticate(token).may_write("anyone")


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
@pytest.mark.parametrize("before", ["absent", "empty", "older hub", "shared with a group"])
def test_other_users_of_the_machine_read_nothing(tmp_path, before):
    root = tmp_path / "hub"
    mode = 0o2770 if before == "shared with a group" else 0o755
    if before != "absent":
        root.mkdir()
        root.chmod(0o755)
    if mode == 0o2770 or before == "older hub":
        (root / "hub.sqlite3").touch(mode=0o600)
        for name in ("models", "lfs"):
            (root / name).mkdir()
            (root / name).chmod(mode)
    with HubStore.open(root) as store:
        store.create_repo("model", ID)
        store.owner_token()
        private = [root / name for name in ("models", "datasets", "spaces", "lfs", "xet")]
        private += [root] if before in {"absent", "empty"} else []
        assert [path for path in private if path.stat().st_mode & 0o007] == []
        if mode == 0o2770:
            assert (root / "models").stat().st_mode & 0o7777 == mode
        outside = [path for path in root.iterdir() if path.is_file() and path.stat().st_size]
        readable = [path.name for path in outside if path.stat().st_mode & 0o004]
        assert set(readable) <= {"open.lock", "repos.lock"}


def test_a_store_of_a_newer_version_is_left_alone(tmp_path):
    HubStore.open(tmp_path).close()
    with sqlite3.connect(tmp_path / "hub.sqlite3") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(HubError, match="schema 99"):
        HubStore.open(tmp_path)


def test_many_files_go_into_one_pack(seeded):
    files = {f"many/{number}.txt": b"%d" % number for number in range(200)}
    commit(seeded, files)
    repo = seeded.repo("model", "acme/tiny")
    (pack,) = seeded.folder(repo).glob("objects/pack/*.pack")
    assert pack.with_suffix(".idx").exists()
    with seeded.git(repo) as git:
        snapshot = git.snapshot()
        for path, content in files.items():
            assert snapshot.read(snapshot.file(path)) == content
    # The same files again need no second pack.
    commit(seeded, files)
    assert len(list(seeded.folder(repo).glob("objects/pack/*.pack"))) == 1


def test_a_commit_that_fails_leaves_no_objects(seeded):
    repo = seeded.repo("model", "acme/tiny")
    before = sorted(seeded.folder(repo).glob("objects/**/*"))
    files = {f"many/{number}.txt": b"%d" % number for number in range(200)}
    with pytest.raises(InvalidPathError):
        commit(seeded, {**files, "A": b"", "a": b""})
    assert sorted(seeded.folder(repo).glob("objects/**/*")) == before


def test_a_store_of_the_first_schema_is_brought_up_to_date(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("ggez_hub.embedded.database.STEPS", STEPS[:1])
        database = Database(tmp_path / "hub.sqlite3")
        with database.transaction() as connection:
            connection.execute(
                "INSERT INTO accounts (name, kind, fullname) VALUES ('acme', 'org', 'Acme')"
            )
        database.close()
    with HubStore.open(tmp_path) as store:
        assert store.accounts.exists("acme")
        assert not store.accounts.default_private("acme")
        store.create_repo("model", ID)
        assert len(store.listing(RepoQuery("model"), 0, 10)) == 1


def test_a_store_of_a_later_schema_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("ggez_hub.embedded.database.STEPS", (*STEPS, "CREATE TABLE later (x)"))
        HubStore.open(tmp_path).close()
    with pytest.raises(HubError, match="use the version that wrote it"):
        HubStore.open(tmp_path)


def test_a_list_is_never_stale(seeded):
    """A row of the index is removed before main moves, also if the process then dies."""
    commit(seeded, {"README.md": b"---\ntags: [old]\n---\n"})

    def tagged(tag):
        return [item.repo.id for item in seeded.listing(RepoQuery("model", tags=[tag]), 0, 10)]

    assert tagged("old") == [ID]
    repo = seeded.repo("model", ID)
    with pytest.MonkeyPatch.context() as patch:
        # The moment after the branch has moved, in which nothing else is done any more.
        swap = Refs.swap

        def swap_and_die(self, *arguments):
            swap(self, *arguments)
            raise KeyboardInterrupt

        patch.setattr(Refs, "swap", swap_and_die)
        with pytest.raises(KeyboardInterrupt):
            commit(seeded, {"README.md": b"---\ntags: [new]\n---\n"})
    assert tagged("new") == [ID]
    assert tagged("old") == []
    seeded.delete_repo(repo)
    assert tagged("new") == []


KILLED = """
import os, sys
from pathlib import Path
from ggez_hub.embedded.catalog import Catalog
from ggez_hub.embedded.lfs import LfsObjects
from ggez_hub.embedded.repository import RepoFolders
from ggez_hub.embedded.store import HubStore
from ggez_hub.embedded.xet.storage import XetObjects

root, action, kind, name, when = sys.argv[1:]
kind = {found.__name__: found for found in (Catalog, LfsObjects, RepoFolders, XetObjects)}[kind]
step = getattr(kind, name)

def killed(*arguments, **options):
    if when == "after":
        step(*arguments, **options)
    os._exit(9)

setattr(kind, name, killed)
with HubStore.open(Path(root)) as store:
    repo = store.repo("model", "acme/old")
    store.move_repo(repo, "acme/new") if action == "move" else store.delete_repo(repo)
"""


def killed_at(store, action, kind, name, when):
    command = [sys.executable, "-c", KILLED, store.root, action, kind, name, when]
    assert subprocess.run(command, check=False).returncode == 9


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("kind", "name"),
    [("Catalog", "rename"), ("RepoFolders", "move"), ("Catalog", "finish_move")],
)
def test_a_move_that_is_killed_is_done_or_not(store, kind, name, when):
    store.create_repo("model", "acme/old")
    options = {"author": "a", "email": "a@example.org", "message": "x", "date": 1}
    oid = store.commit("model", "acme/old", {"a.bin": b"\0 data"}, **options)
    killed_at(store, "move", kind, name, when)
    moved = (kind, name, when) != ("Catalog", "rename", "before")
    with HubStore.open(store.root) as again:
        here = "acme/new" if moved else "acme/old"
        assert again.head("model", here) == oid
        # The old name is free, and whoever takes it takes nothing else.
        if moved:
            again.create_repo("model", "acme/old")
            assert again.head("model", "acme/old") is None
        assert again.head("model", here) == oid
        again.commit("model", here, {"b.txt": b"more"}, **options)
        assert not again.catalog.unfinished_moves()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Catalog", "remove"),
        ("LfsObjects", "remove"),
        ("XetObjects", "remove_unused"),
        ("RepoFolders", "discard"),
    ],
)
def test_a_deletion_that_is_killed_is_done_or_not(store, kind, name, when):
    options = {"author": "a", "email": "a@example.org", "message": "x", "date": 1}
    for repo in ("acme/old", "acme/other"):
        store.create_repo("model", repo)
        store.commit(
            "model", repo, {"a.bin": b"\0 data", "b.bin": b"\0" + repo.encode()}, **options
        )
    killed_at(store, "delete", kind, name, when)
    with HubStore.open(store.root) as again:
        if (kind, name, when) == ("Catalog", "remove", "before"):
            assert again.head("model", "acme/old")
        else:
            again.create_repo("model", "acme/old")
            assert again.head("model", "acme/old") is None
        again.commit("model", "acme/old", {"c.txt": b"new"}, **options)
        with again.git(again.repo("model", "acme/other")) as git:
            for entry in git.snapshot().listing(recursive=True):
                assert entry.lfs is None or again.lfs.path(entry.lfs.oid).exists()
