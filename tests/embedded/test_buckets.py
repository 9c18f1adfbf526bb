"""Buckets, as huggingface_hub fills, lists and reads them."""

import json

import httpx2
import pytest
from huggingface_hub.errors import BucketBatchError, BucketNotFoundError, HfHubHTTPError

from ggez_hub.embedded import buckets, purging
from ggez_hub.embedded.garbage import collect

from .test_xet import _xet, bearer, cas, request_as

__all__ = ["_xet", "cas", "request_as"]
HASH = "0" * 63 + "1"


@pytest.fixture
def bucket(api, new_id):
    """A new bucket of acme with files."""
    name = new_id()
    api.create_bucket(name)
    own = name.encode()
    api.batch_bucket_files(
        name,
        add=[(b"a" + own, "a.txt"), (b"b" + own, "logs/b.txt"), (b"c", "logs/old/c.txt")],
    )
    yield name
    api.delete_bucket(name, missing_ok=True)


@pytest.fixture
def batch(request_as):
    """What the hub answers to lines of a batch."""

    def send(bucket, *lines, who="alice"):
        content = b"\n".join(
            line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines
        )
        return request_as("POST", f"/api/buckets/{bucket}/batch", who, content=content)

    return send


def status(action, *arguments, **options):
    with pytest.raises(HfHubHTTPError) as caught:
        action(*arguments, **options)
    return caught.value.response.status_code


def paths(api, bucket, **options):
    return [entry.path for entry in api.list_bucket_tree(bucket, **options)]


def content(api, bucket, path, folder):
    api.download_bucket_files(bucket, [(path, folder / "file")])
    return (folder / "file").read_bytes()


def test_files_come_go_and_are_read_by_every_way(hub, api, bucket, tmp_path):
    assert content(api, bucket, "logs/b.txt", tmp_path) == b"b" + bucket.encode()
    answer = httpx2.get(f"{hub.endpoint}/buckets/{bucket}/resolve/a.txt")
    assert answer.content == b"a" + bucket.encode()
    assert answer.headers["Content-Security-Policy"]
    info = api.bucket_info(bucket)
    assert (info.id, info.private, info.total_files) == (bucket, False, 3)
    assert info.size == 2 * len(bucket) + 3
    api.batch_bucket_files(bucket, add=[(b"new", "a.txt")], delete=["logs/b.txt"])
    assert paths(api, bucket) == ["a.txt", "logs/old/c.txt"]
    assert content(api, bucket, "a.txt", tmp_path) == b"new"
    assert status(api.get_bucket_file_metadata, bucket, "logs/b.txt") == 404


def test_a_file_without_content(api, bucket, tmp_path):
    api.batch_bucket_files(bucket, add=[(b"", "0.txt")])
    [file] = api.get_bucket_paths_info(bucket, ["0.txt", "absent"])
    assert file.size == 0
    api.download_bucket_files(bucket, [("0.txt", tmp_path / "0"), ("a.txt", tmp_path / "a")])
    assert [(tmp_path / name).stat().st_size for name in "0a"] == [0, 1 + len(bucket)]
    api.copy_files(f"hf://buckets/{bucket}/0.txt", f"hf://buckets/{bucket}/00.txt")
    assert paths(api, bucket)[:2] == ["0.txt", "00.txt"]


def test_lists_have_folders_and_pages(api, bucket, monkeypatch):
    api.batch_bucket_files(bucket, add=[(b"c", "logs.txt"), (b"c", "logsx/c"), (b"c", "z")])
    every = ["a.txt", "logs.txt", "logs/b.txt", "logs/old/c.txt", "logsx/c", "z"]
    for page in (1, 2, 1000):
        monkeypatch.setattr("ggez_hub.embedded.http.bucket_routes.PAGE", page)
        assert paths(api, bucket) == paths(api, bucket, recursive=True) == every
        assert paths(api, bucket, prefix="logs/") == every[2:4]
        root = api.list_bucket_tree(bucket, recursive=False)
        assert [(entry.path, entry.type) for entry in root] == [
            ("a.txt", "file"),
            ("logs.txt", "file"),
            ("logs", "directory"),
            ("logsx", "directory"),
            ("z", "file"),
        ]
        # A prefix is compared letter by letter, as the Hub does.
        inside = ["logs.txt", "logs/b.txt", "logs/old", "logsx"]
        assert paths(api, bucket, prefix="logs", recursive=False) == inside
        assert paths(api, bucket, prefix="logs/", recursive=False) == inside[1:3]
        assert paths(api, bucket, prefix="none", recursive=False) == []


def test_what_cannot_be_done_is_named_and_the_rest_is_done(api, bucket, batch):
    [file] = api.get_bucket_paths_info(bucket, ["a.txt"])
    add = {"type": "addFile", "xetHash": file.xet_hash}
    wrong = [
        {**add, "path": "../up"},
        {**add, "path": "a/.git/config"},
        {**add, "path": "a.txt/below"},
        {**add, "path": "logs"},
        {**add, "path": "b", "xetHash": HASH},
        {**add, "path": "b", "mtime": 1 << 60},
        {**add, "path": "b", "type": "copyFile", "sourceRepoType": "model", "sourceRepoId": "x"},
        {"type": "deleteFile", "path": "absent"},
        {"type": "unknown"},
        b"[1]",
        b"{",
    ]
    for line in wrong:
        answer = batch(bucket, line)
        assert answer.status_code == 422, line
        assert (answer.json()["succeeded"], len(answer.json()["failed"])) == (0, 1)
    answer = batch(bucket, *wrong, {**add, "path": "b"})
    assert answer.status_code == 200
    assert (answer.json()["succeeded"], answer.json()["processed"]) == (1, len(wrong) + 1)
    assert paths(api, bucket) == ["a.txt", "b", "logs/b.txt", "logs/old/c.txt"]
    # Names that only begin alike do not conflict.
    assert batch(bucket, {**add, "path": "b0"}, {**add, "path": "b"}).json()["success"]
    assert batch(bucket, {**add, "path": "b-/c"}, {**add, "path": "b"}).json()["success"]


def test_a_private_bucket_does_not_exist_for_others(hub, api, bucket, new_id):
    api.update_bucket_settings(bucket, private=True)
    namespace, name = bucket.split("/")
    for other, expected in ((hub.api("bob"), 404), (hub.api(None), 401)):
        absent = new_id()
        for each in (bucket, absent):
            assert status(other.bucket_info, each) == expected
            assert status(list, other.list_bucket_tree(each)) == expected
            assert status(list, other.get_bucket_paths_info(each, ["a.txt"])) == expected
            assert status(other.get_bucket_file_metadata, each, "a.txt") == expected
        with pytest.raises(BucketNotFoundError):
            hub.api("bob").bucket_info(bucket)
        assert bucket not in [each.id for each in other.list_buckets(namespace)]
    assert [each.id for each in api.list_buckets(namespace, search=name.upper())] == [bucket]
    assert status(hub.api(None).list_buckets("me").__next__) == 401


def test_only_those_who_may_write_change_a_bucket(hub, api, bucket, batch, request_as):
    for who, expected in (("bob", 403), ("reader", 403), (None, 401)):
        other = hub.api(who)
        assert status(other.create_bucket, "acme/another") == expected
        assert status(other.delete_bucket, bucket) == expected
        assert status(other.update_bucket_settings, bucket, private=True) == expected
        assert status(other.move_bucket, bucket, "bob/mine") == expected
        line = {"type": "deleteFile", "path": "a.txt"}
        assert batch(bucket, line, who=who).status_code == expected
        answer = request_as("GET", f"/api/buckets/{bucket}/xet-write-token", who)
        assert answer.status_code == expected
    assert len(paths(api, bucket)) == 3


def test_files_are_copied_from_what_the_caller_may_read(
    hub, api, bucket, repo, secret_repo, new_id, batch
):
    large = b"\0" * 3000 + repo.encode()
    for each in (repo, secret_repo):
        api.upload_file(path_or_fileobj=large + each.encode(), path_in_repo="x.bin", repo_id=each)
    bob, mine = hub.api("bob"), bob_bucket(hub)
    bob.copy_files(f"hf://{repo}/x.bin", f"hf://buckets/{mine}/x.bin")
    bob.copy_files(f"hf://buckets/{bucket}/logs", f"hf://buckets/{mine}/")
    assert paths(bob, mine) == ["logs/b.txt", "logs/old/c.txt", "x.bin"]
    [secret] = api.get_paths_info(secret_repo, ["x.bin"])
    copy = {"type": "copyFile", "path": "s", "xetHash": secret.xet_hash, "sourceRepoType": "model"}
    answer = batch(mine, {**copy, "sourceRepoId": secret_repo}, who="bob")
    assert answer.json()["failed"][0]["error"] == "Repository not found"
    assert batch(mine, {**copy, "sourceRepoId": repo}, who="bob").status_code == 422
    assert batch(mine, {**copy, "type": "addFile"}, who="bob").status_code == 422
    api.update_repo_settings(repo, gated="manual")
    [open_] = api.get_paths_info(repo, ["x.bin"])
    api.batch_bucket_files(bucket, copy=[("model", secret_repo, secret.xet_hash, "s")])
    answer = batch(mine, {**copy, "xetHash": open_.xet_hash, "sourceRepoId": repo}, who="bob")
    assert "may not read" in answer.json()["failed"][0]["error"]
    bob.delete_bucket(mine)


def bob_bucket(hub):
    return hub.api("bob").create_bucket("bob/mine").bucket_id


def test_a_bucket_moves_with_its_files(api, bucket, new_id, tmp_path):
    moved = new_id()
    api.move_bucket(bucket, moved)
    assert content(api, moved, "logs/b.txt", tmp_path) == b"b" + bucket.encode()
    assert status(api.create_bucket, moved) == 409
    assert api.create_bucket(moved, exist_ok=True).bucket_id == moved
    api.delete_bucket(moved)
    assert status(api.bucket_info, moved) == 404


def test_garbage_is_what_no_path_has(hub, api, bucket, tmp_path):
    record = hub.store.repo("bucket", bucket)
    api.batch_bucket_files(
        bucket,
        add=[(b"c", "same.txt"), (b"", "empty")],
        delete=["a.txt", "logs/old/c.txt"],
    )
    assert hub.store.catalog.used_storage(record) == 2 * len(bucket) + 3
    collect(hub.store, -1)
    assert hub.store.catalog.used_storage(record) == len(bucket) + 2
    assert paths(api, bucket) == ["empty", "logs/b.txt", "same.txt"]
    assert content(api, bucket, "logs/b.txt", tmp_path) == b"b" + bucket.encode()
    assert content(api, bucket, "same.txt", tmp_path) == b"c"


def test_purged_content_goes_from_buckets_and_does_not_come_back(hub, api, bucket, repo):
    data = b"\0" + repo.encode()
    api.upload_file(path_or_fileobj=data, path_in_repo="x.bin", repo_id=repo)
    api.copy_files(f"hf://{repo}/x.bin", f"hf://buckets/{bucket}/x.bin")
    record = hub.store.repo("model", repo)
    purging.purge(hub.store, purging.find(hub.store, record, "x.bin"))
    assert "x.bin" not in paths(api, bucket)
    # The client computes no sha256 for buckets.
    with pytest.raises(Exception, match=r"451|removed"):
        api.batch_bucket_files(bucket, add=[(data, "y.bin")])
    assert "y.bin" not in paths(api, bucket)


def test_a_quota_is_for_buckets_too(hub, api, new_id):
    hub.store.accounts.add_org("little")
    hub.store.accounts.add_user("alice", orgs={"little": "write"})
    hub.store.quotas.set("little", 1000, [])
    api.create_bucket("little/b")
    api.batch_bucket_files("little/b", add=[(b"1" * 600, "one")])
    with pytest.raises(Exception, match=r"403|quota"):
        api.batch_bucket_files("little/b", add=[(b"2" * 600, "two")])
    assert paths(api, "little/b") == ["one"]
    api.delete_bucket("little/b")


def test_sizes_are_limited(api, bucket, batch, request_as, monkeypatch):
    monkeypatch.setattr("ggez_hub.embedded.http.bucket_routes.MOST_OPERATIONS", 2)
    line = {"type": "deleteFile", "path": "absent"}
    assert batch(bucket, *[line] * 3).status_code == 413
    asked = {"paths": ["a.txt"] * 3}
    answer = request_as("POST", f"/api/buckets/{bucket}/paths-info", json=asked)
    assert answer.status_code == 413
    for cursor in ("a", "gA=="):
        answer = request_as("GET", f"/api/buckets/{bucket}/tree?cursor={cursor}")
        assert answer.status_code == 400
    monkeypatch.setattr(buckets, "MOST_FILES", 3)
    with pytest.raises(BucketBatchError):
        api.batch_bucket_files(bucket, add=[(b"d", "d.txt")])
    api.batch_bucket_files(bucket, add=[(b"d", "a.txt")])


def test_a_bucket_has_no_history(hub, bucket, request_as):
    for path in ("commits/main", "refs", "discussions", "lfs-files"):
        assert request_as("GET", f"/api/buckets/{bucket}/{path}").status_code in {404, 501}
    made = request_as("POST", "/api/repos/create", json={"type": "bucket", "name": "b"})
    assert made.status_code == 400
    headers = bearer(hub.tokens["alice"])
    answer = httpx2.get(f"{hub.endpoint}/buckets/{bucket}.git/info/refs", headers=headers)
    assert answer.status_code == 404
