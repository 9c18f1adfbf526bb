"""The large files of a repo: listing them, and removing them from its history."""

import pytest
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

from ggez_hub.embedded.garbage import collect


@pytest.fixture
def repo(api, new_id):
    """A repo with three commits on main, a branch, a tag and a pull request."""
    repo_id = new_id()
    api.create_repo(repo_id)

    def put(path, data, **options):
        return api.upload_file(path_or_fileobj=data, path_in_repo=path, repo_id=repo_id, **options)

    own = repo_id.encode()
    put("gone/a.bin", b"\0gone" + own)
    put("kept.bin", b"\0kept" + own)
    put("kept.txt", b"text")
    api.create_tag(repo_id, tag="v1", tag_message="annotated")
    api.create_branch(repo_id, branch="dev")
    put("dev.bin", b"\0dev", revision="dev")
    put("again.bin", b"\0gone" + own, create_pr=True)
    return repo_id


def named(api, repo_id):
    return {file.filename: file for file in api.list_lfs_files(repo_id)}


def status(action, *arguments, **options):
    with pytest.raises(HfHubHTTPError) as caught:
        action(*arguments, **options)
    return caught.value.response.status_code


def test_they_are_listed_with_where_they_came_from(api, repo):
    files = named(api, repo)
    assert files.keys() == {"gone/a.bin", "kept.bin", "dev.bin"}
    assert {name: file.ref for name, file in files.items()} == {
        "gone/a.bin": "refs/heads/main",
        "kept.bin": "refs/heads/main",
        "dev.bin": "refs/heads/dev",
    }
    first = api.list_repo_commits(repo)[-1]
    file = files["gone/a.bin"]
    assert file.size == 5 + len(repo)
    assert file.pushed_at >= first.created_at


def test_pages_have_all_of_them(api, repo, monkeypatch):
    monkeypatch.setattr("ggez_hub.embedded.http.lfs_files_routes.PAGE", 2)
    assert len(list(api.list_lfs_files(repo))) == 3


@pytest.mark.parametrize("alone", [True, False], ids=["stored once", "held by another repo"])
def test_history_is_written_anew_without_them(hub, api, repo, new_id, alone):
    other = new_id()
    if not alone:
        api.duplicate_repo(repo, other)
    file = named(api, repo)["gone/a.bin"]
    stored = hub.store.lfs.path(file.file_oid)
    assert stored.exists()
    messages = [commit.title for commit in api.list_repo_commits(repo)]
    old = api.repo_info(repo).sha
    api.permanently_delete_lfs_files(repo, [file])

    assert named(api, repo).keys() == {"kept.bin", "dev.bin"}
    assert [commit.title for commit in api.list_repo_commits(repo)] == messages
    for revision in ("main", "dev", "v1", "refs/pr/1"):
        paths = api.list_repo_files(repo, revision=revision)
        assert (
            {"kept.bin", "kept.txt"}
            <= set(paths)
            <= {".gitattributes", "kept.bin", "kept.txt", "dev.bin"}
        )
    # Also by the id of a commit that no ref leads to any longer.
    for revision in ("main", old):
        with pytest.raises(EntryNotFoundError):
            api.hf_hub_download(repo, "gone/a.bin", revision=revision, force_download=True)
    assert stored.exists() is not alone
    if not alone:
        assert api.hf_hub_download(other, "gone/a.bin", force_download=True)
    collect(hub.store, -1)
    assert api.hf_hub_download(repo, "kept.bin", force_download=True)
    api.upload_file(path_or_fileobj=b"\0gone", path_in_repo="back.bin", repo_id=repo)
    assert api.hf_hub_download(repo, "back.bin", force_download=True)


def test_without_rewriting_the_history_stays_and_the_content_goes(hub, api, repo):
    file = named(api, repo)["kept.bin"]
    old = api.repo_info(repo).sha
    api.permanently_delete_lfs_files(repo, [file], rewrite_history=False)
    assert api.repo_info(repo).sha == old
    assert "kept.bin" in api.list_repo_files(repo)
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download(repo, "kept.bin", force_download=True)
    assert not hub.store.lfs.path(file.file_oid).exists()
    collect(hub.store, -1)
    assert api.repo_info(repo).sha == old


def test_what_another_repo_holds_is_not_removed(hub, api, repo, secret_repo):
    [secret] = api.list_lfs_files(secret_repo)
    api.permanently_delete_lfs_files(repo, [secret])
    assert api.hf_hub_download(secret_repo, "a.bin", force_download=True)


def test_only_those_who_may_write_list_and_remove_them(hub, api, repo, secret_repo):
    files = list(api.list_lfs_files(repo))
    for who, expected in (("bob", 403), ("reader", 403), (None, 401)):
        other = hub.api(who)
        assert status(list, other.list_lfs_files(repo)) == expected
        assert status(other.permanently_delete_lfs_files, repo, files) == expected
    assert status(list, hub.api("bob").list_lfs_files(secret_repo)) == 404
    assert len(list(api.list_lfs_files(repo))) == 3
