"""Files: committing, listing and downloading them with the client."""

import hashlib
import os
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RevisionNotFoundError

LARGE = bytes(range(256)) * (12 << 10)


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "source"
    (source / "nested" / "ไทย").mkdir(parents=True)
    (source / "README.md").write_text("---\nlicense: mit\n---\n# Hello\n")
    (source / "nested" / "weights.safetensors").write_bytes(LARGE)
    (source / "nested" / "ไทย" / "a b%2F#?.txt").write_text("สวัสดี")
    (source / "empty.bin").write_bytes(b"")
    return source


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def paths(entries):
    return [entry.path for entry in entries]


def test_a_folder_survives_the_round_trip(hub, api, repo, folder, tmp_path):
    commit = api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Add all")
    hub.api(None).snapshot_download(repo, revision=commit.oid, local_dir=tmp_path / "copy")
    found = contents(tmp_path / "copy")
    assert found.pop(".gitattributes")
    assert found == contents(folder)
    cached = api.hf_hub_download(repo, "nested/weights.safetensors", cache_dir=tmp_path / "cache")
    assert Path(cached).read_bytes() == LARGE


def test_metadata_of_large_and_small_files(api, repo, folder):
    api.upload_folder(repo_id=repo, folder_path=folder)
    digest = hashlib.sha256(LARGE).hexdigest()
    siblings = {item.rfilename: item for item in api.model_info(repo, files_metadata=True).siblings}
    large = siblings["nested/weights.safetensors"]
    assert (large.size, large.lfs.sha256) == (len(LARGE), digest)
    assert siblings["README.md"].lfs is None
    assert siblings["empty.bin"].lfs is None
    (info,) = api.get_paths_info(repo, ["nested/weights.safetensors", "absent"])
    assert (info.size, info.lfs.sha256) == (len(LARGE), digest)
    tree = {entry.path: entry for entry in api.list_repo_tree(repo, recursive=True)}
    assert tree["nested/weights.safetensors"].lfs.sha256 == digest
    assert tree["README.md"].blob_id == siblings["README.md"].blob_id
    assert paths(api.list_repo_tree(repo, "nested")) == ["nested/weights.safetensors", "nested/ไทย"]
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(repo, "absent"))


def test_trees_are_paged(api, repo):
    api.create_commit(
        repo,
        [CommitOperationAdd(f"d/{n:04}.txt", b"same") for n in range(1200)],
        commit_message="Many",
    )
    names = paths(api.list_repo_tree(repo, recursive=True))
    assert names == [".gitattributes", "d", *(f"d/{n:04}.txt" for n in range(1200))]
    expanded = list(api.list_repo_tree(repo, "d", expand=True))
    assert len(expanded) == 1200
    assert {entry.last_commit.title for entry in expanded} == {"Many"}


def test_the_last_commit_of_a_file_is_the_one_that_changed_it(api, repo):
    first = api.upload_file(path_or_fileobj=b"1", path_in_repo="a/x", repo_id=repo)
    second = api.upload_file(path_or_fileobj=b"2", path_in_repo="a/y", repo_id=repo)
    found = api.get_paths_info(repo, ["a", "a/x", "a/y"], expand=True)
    assert [entry.last_commit.oid for entry in found] == [second.oid, first.oid, second.oid]


def test_delete_and_copy(api, repo, folder):
    api.upload_folder(repo_id=repo, folder_path=folder)
    api.create_commit(
        repo,
        [
            CommitOperationCopy("nested/weights.safetensors", "copy.safetensors"),
            CommitOperationCopy("README.md", "CARD.md"),
            CommitOperationDelete("nested/"),
            CommitOperationDelete("empty.bin"),
        ],
        commit_message="Rearrange",
    )
    assert api.list_repo_files(repo) == [
        ".gitattributes",
        "CARD.md",
        "README.md",
        "copy.safetensors",
    ]
    (copy,) = api.get_paths_info(repo, "copy.safetensors")
    assert copy.lfs.sha256 == hashlib.sha256(LARGE).hexdigest()


def test_deleting_what_is_not_there(api, repo):
    with pytest.raises(EntryNotFoundError):
        api.delete_file("absent", repo)
    with pytest.raises(EntryNotFoundError):
        api.delete_folder("absent", repo)
    assert len(api.list_repo_commits(repo)) == 1


def test_what_the_repo_ignores_is_left_out(api, repo):
    operations = [
        CommitOperationAdd(".gitignore", b"*.log\nbuild/\n"),
        CommitOperationAdd("a.log", b"x"),
        CommitOperationAdd("build/b.txt", b"x"),
        CommitOperationAdd("c.txt", b"x"),
    ]
    api.create_commit(repo, operations, commit_message="Add")
    assert api.list_repo_files(repo) == [".gitattributes", ".gitignore", "c.txt"]


def test_binary_files_go_to_lfs_and_are_tracked(api, repo, tmp_path):
    api.upload_file(path_or_fileobj=b"\x89PNG\0", path_in_repo="pic ture.png", repo_id=repo)
    (info,) = api.get_paths_info(repo, "pic ture.png")
    assert info.lfs is not None
    rules = api.hf_hub_download(repo, ".gitattributes", local_dir=tmp_path)
    assert Path(rules).read_text().endswith("pic?ture.png filter=lfs diff=lfs merge=lfs -text\n")


def test_an_unchanged_folder_makes_no_commit(api, repo, folder):
    first = api.upload_folder(repo_id=repo, folder_path=folder)
    assert api.upload_folder(repo_id=repo, folder_path=folder).oid == first.oid


def test_an_old_revision_stays_readable(api, repo, tmp_path):
    old = api.upload_file(path_or_fileobj=b"old", path_in_repo="x.txt", repo_id=repo).oid
    api.upload_file(path_or_fileobj=b"new", path_in_repo="x.txt", repo_id=repo)
    for revision, expected in ((old, b"old"), (old[:7], b"old"), ("main", b"new")):
        path = api.hf_hub_download(repo, "x.txt", revision=revision, cache_dir=tmp_path)
        assert Path(path).read_bytes() == expected


@pytest.mark.parametrize("name", ["x.txt", "x.bin"])
@pytest.mark.parametrize(
    ("wanted", "status", "expected"),
    [
        ("bytes=0-3", 206, b"0123"),
        ("bytes=4-", 206, b"456789"),
        ("bytes=-3", 206, b"789"),
        ("bytes=8-99", 206, b"89"),
        ("bytes=10-", 416, None),
        (None, 200, b"0123456789"),
    ],
)
def test_ranges(hub, api, repo, name, wanted, status, expected):
    api.upload_file(path_or_fileobj=b"0123456789", path_in_repo=name, repo_id=repo)
    headers = {"Range": wanted} if wanted else {}
    response = httpx2.get(f"{hub.endpoint}/{repo}/resolve/main/{name}", headers=headers)
    assert response.status_code == status
    if status == 416:
        assert response.headers["content-range"] == "bytes */10"
    else:
        assert response.content == expected
        assert response.headers["content-length"] == str(len(expected))


def test_an_interrupted_download_is_resumed(api, repo, tmp_path):
    api.upload_file(path_or_fileobj=LARGE, path_in_repo="w.bin", repo_id=repo)
    digest = hashlib.sha256(LARGE).hexdigest()
    blobs = tmp_path / f"models--{repo.replace('/', '--')}" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{digest}.incomplete").write_bytes(LARGE[:1_000_000])
    path = api.hf_hub_download(repo, "w.bin", cache_dir=tmp_path)
    assert Path(path).read_bytes() == LARGE


def test_head_tells_what_the_client_caches_by(hub, api, repo):
    commit = api.create_commit(
        repo,
        [CommitOperationAdd("a.txt", b"text"), CommitOperationAdd("a.bin", LARGE)],
        commit_message="Add",
    )
    small = httpx2.head(f"{hub.endpoint}/{repo}/resolve/main/a.txt")
    large = httpx2.head(f"{hub.endpoint}/{repo}/resolve/main/a.bin")
    digest = hashlib.sha256(LARGE).hexdigest()
    assert small.headers["etag"] == f'"{git_blob(b"text")}"'
    assert small.headers["content-length"] == "4"
    assert small.content == b""
    assert large.headers["x-linked-etag"] == f'"{digest}"'
    assert large.headers["x-linked-size"] == str(len(LARGE))
    assert {small.headers["x-repo-commit"], large.headers["x-repo-commit"]} == {commit.oid}
    missing = httpx2.head(f"{hub.endpoint}/{repo}/resolve/main/absent")
    assert missing.status_code == 404
    assert missing.headers["x-error-code"] == "EntryNotFound"
    assert missing.headers["x-repo-commit"] == commit.oid


def git_blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def test_missing_revisions_and_files(api, repo):
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download(repo, "absent.txt")
    with pytest.raises(RevisionNotFoundError):
        api.hf_hub_download(repo, "absent.txt", revision="absent")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(repo, revision="0" * 40)
    with pytest.raises(RevisionNotFoundError):
        api.upload_file(path_or_fileobj=b"", path_in_repo="x", repo_id=repo, revision="absent")
    assert not api.file_exists(repo, "absent.txt")


def test_a_stale_parent_is_refused(api, repo):
    parent = api.model_info(repo).sha
    api.upload_file(path_or_fileobj=b"1", path_in_repo="x", repo_id=repo, parent_commit=parent)
    with pytest.raises(
        HfHubHTTPError, match="The branch was updated since you opened this page"
    ) as error:
        api.upload_file(path_or_fileobj=b"2", path_in_repo="x", repo_id=repo, parent_commit=parent)
    assert error.value.response.status_code == 412


def test_a_large_file_streams(api, repo, tmp_path):
    source = tmp_path / "big.bin"
    with source.open("wb") as file:
        for _ in range(20):
            file.write(os.urandom(1 << 20))
    api.upload_file(path_or_fileobj=source, path_in_repo="big.bin", repo_id=repo)
    copy = api.hf_hub_download(repo, "big.bin", local_dir=tmp_path / "copy")
    with source.open("rb") as one, Path(copy).open("rb") as other:
        assert (
            hashlib.file_digest(one, "sha256").digest()
            == hashlib.file_digest(other, "sha256").digest()
        )
