"""What happens at the same moment: collections, purges and moves beside requests; and damage to one repo."""

import base64
import os
import subprocess
import threading
import time

import pytest
from starlette.testclient import TestClient

from ggez_hub.embedded import garbage, packing, pruning, purging
from ggez_hub.embedded.backup import back_up
from ggez_hub.embedded.changes import PutBlob
from ggez_hub.embedded.commits import Signature
from ggez_hub.embedded.errors import HubError, InvalidRequestError, PurgedError
from ggez_hub.embedded.http.app import create_app
from ggez_hub.embedded.store import HubStore

DAY = 86400
WHO = Signature("a", "a@example.org", 1)
LARGE = b"\0" * 1000


@pytest.fixture
def store(tmp_path):
    with HubStore.open(tmp_path / "hub") as opened:
        opened.accounts.add_org("acme")
        yield opened


@pytest.fixture
def client(store):
    token = {"Authorization": f"Bearer {store.owner_token()}"}
    return TestClient(create_app(store), base_url="http://localhost", headers=token)


def made(store, name, files, delete=()):
    store.create_repo("model", name, exist_ok=True)
    options = {"message": "m", "author": "a", "email": "a@example.org", "date": 1}
    return store.commit("model", name, files, delete=list(delete), **options)


def aged(store, repo):
    for path in store.folder(repo).rglob("objects/**/*"):
        if path.is_file():
            os.utime(path, (1, 1))
    store.database.write("UPDATE objects SET used = 1")


def squashed(store, name, files):
    """A repo with files that only the history before a squash had, a day ago; the commit with them."""
    old = made(store, name, files)
    made(store, name, {"keep.txt": b"keep"}, delete=files)
    repo = store.repo("model", name)
    with store.git(repo) as git:
        git.squash("main", "squashed", WHO)
    aged(store, repo)
    return repo, old


def test_a_repo_that_is_moved_while_garbage_is_collected_keeps_its_files(store, monkeypatch):
    for name in ("first", "second"):
        made(store, f"acme/{name}", {"a.bin": LARGE + name.encode()})
    store.database.write("UPDATE objects SET used = 1")
    collect = garbage._collect_repo

    def moving(opened, repo, before, **options):
        if repo.name == "first":
            opened.move_repo(opened.repo("model", "acme/second"), "acme/renamed")
        return collect(opened, repo, before, **options)

    monkeypatch.setattr(garbage, "_collect_repo", moving)
    assert garbage.collect(store, DAY).damaged == ()
    assert len(list(store.lfs.stored())) == 2


def test_what_is_not_the_hubs_stays(tmp_path):
    """The root may be a folder of other things, too."""
    thesis = tmp_path / "projects" / "thesis" / ".git"
    notes = tmp_path / ".old-notes" / "x"
    for path in (thesis / "HEAD", notes):
        path.parent.mkdir(parents=True)
        path.write_text("mine")
    with HubStore.open(tmp_path) as store:
        assert garbage.collect(store, 0).leftover_bytes == 0
    assert (thesis / "HEAD").exists()
    assert notes.exists()


def test_a_commit_that_begins_while_objects_are_pruned_counts_on_none_of_them(store, monkeypatch):
    files = {f"old{n}.txt": f"old {n}".encode() for n in range(40)}
    repo, _ = squashed(store, "acme/r", files)
    rewrite, outcome = pruning._rewrite, []

    def late():
        with HubStore.open(store.root) as other:
            try:
                outcome.append(made(other, "acme/r", {"back.txt": b"old 7"}))
            except HubError as error:
                outcome.append(error.status)

    writer = threading.Thread(target=late)

    def slowly(base, keep):
        writer.start()
        time.sleep(1)
        rewrite(base, keep)

    monkeypatch.setattr(pruning, "_rewrite", slowly)
    garbage.collect(store, DAY)
    writer.join()
    assert outcome
    checked = subprocess.run(
        ["git", "-C", store.folder(repo), "fsck", "--full"], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr


def test_a_commit_whose_large_files_are_gone_is_not_revived(store, client):
    repo, old = squashed(store, "acme/r", {"a.bin": LARGE})
    assert packing.pack_loose(store.folder(repo), 0)
    assert garbage.collect(store, DAY).large_files == 1
    answer = client.post("/api/models/acme/r/branch/back", json={"startingPoint": old})
    assert answer.status_code == 404


@pytest.mark.parametrize("damage", ["cut", "index", "empty"])
def test_a_damaged_pack_is_named_and_keeps_nobody_from_the_others(store, client, damage):
    for name in ("damaged", "good"):
        made(store, f"acme/{name}", {f"f{n}.txt": f"{name} {n}".encode() for n in range(40)})
    (pack,) = store.folder(store.repo("model", "acme/damaged")).glob("objects/pack/*.pack")
    index = pack.with_suffix(".idx")
    for path in (pack, index):
        path.chmod(0o644)
    if damage == "index":
        index.write_bytes(b"\0" * index.stat().st_size)
    else:
        pack.write_bytes(pack.read_bytes()[: pack.stat().st_size // 2] if damage == "cut" else b"")
    assert garbage.collect(store, DAY).damaged == ("acme/damaged",)
    store.database.write("DELETE FROM summaries")
    listed = client.get("/api/models", params={"author": "acme"})
    assert listed.status_code == 200
    assert "acme/good" in {each["id"] for each in listed.json()}


def test_purged_content_does_not_come_back(store, client):
    made(store, "acme/a", {"bad.txt": b"secret words"})
    made(store, "acme/b", {"k.txt": b"k"})
    with store.git(store.repo("model", "acme/b")) as git:
        # A commit that was under way.
        blob = git.objects.write_blob(b"secret words")
        purging.purge(store, purging.find(store, store.repo("model", "acme/a"), "bad.txt"))
        with pytest.raises(PurgedError):
            git.commit("main", [PutBlob("x.txt", blob)], message="m", signature=WHO)
    files = [{"path": "bad.txt", "content": "secret words"}]
    body = {"name": "again", "organization": "acme", "files": files}
    assert client.post("/api/repos/create", json=body).status_code == 451


def test_a_purge_follows_a_repo_that_was_moved_and_leaves_uploads_alone(store):
    made(store, "acme/m", {"bad.txt": b"third secret", "k.txt": b"k"})
    repo = store.repo("model", "acme/m")
    upload = store.folder(repo) / "objects" / "pack" / "tmp_pack_of_somebody"
    upload.parent.mkdir(exist_ok=True)
    upload.write_bytes(b"PACK")
    content = purging.find(store, repo, "bad.txt")
    moved = store.move_repo(repo, "acme/m2")
    purging.purge(store, content)
    with store.git(moved) as git:
        assert b"third secret" not in [git.snapshot().text("bad.txt")]
    assert (store.folder(moved) / "objects" / "pack" / upload.name).exists()


def test_a_duplicate_has_what_there_is_and_counts_for_its_owner(store, client):
    made(store, "acme/mirror", {"a.bin": LARGE, "b.txt": b"b"})
    # As a mirror of some paths leaves it: the pointer in git, no object.
    (row,) = store.database.rows("SELECT oid FROM objects")
    store.database.write("DELETE FROM objects")
    store.lfs.remove(row["oid"])
    answer = client.post("/api/models/acme/mirror/duplicate", json={"repository": "acme/copy"})
    assert answer.status_code == 200
    body = {"operation": "upload", "objects": [{"oid": row["oid"], "size": len(LARGE)}]}
    (asked,) = client.post("/acme/copy.git/info/lfs/objects/batch", json=body).json()["objects"]
    assert "upload" in asked["actions"]
    store.accounts.add_org("small")
    store.quotas.set("small", 10, [])
    made(store, "acme/src", {"a.bin": b"\1\0" * 5000})
    answer = client.post("/api/models/acme/src/duplicate", json={"repository": "small/src"})
    assert answer.status_code == 507
    assert store.quotas.used("small") == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://localhost"}, 200),
        ({}, 200),
    ],
)
def test_a_page_of_another_site_does_not_use_the_browsers_password(store, headers, status):
    made(store, "acme/r", {"k.txt": b"k"})
    password = base64.b64encode(b"x:" + store.owner_token().encode()).decode()
    client = TestClient(create_app(store), base_url="http://localhost")
    body = '{"type": "model", "fromRepo": "acme/r", "toRepo": "acme/moved"}'
    headers |= {"Authorization": f"Basic {password}", "Content-Type": "text/plain"}
    assert client.post("/api/repos/move", content=body, headers=headers).status_code == status


@pytest.mark.parametrize("url", ["http://ok.example:abc/", "http://[::1/", "ftp://ok.example/"])
def test_a_webhook_has_an_address(store, url):
    with pytest.raises(InvalidRequestError):
        store.webhooks.add(url, "acme")


def test_a_backup_has_the_keys_that_the_hub_signs_with(store, tmp_path):
    for name in ("signing.pem", "signing.pub"):
        (store.root / name).write_text(name)
    back_up(store, tmp_path / "copy")
    assert (tmp_path / "copy" / "signing.pem").read_text() == "signing.pem"
    assert (tmp_path / "copy" / "signing.pub").exists()
