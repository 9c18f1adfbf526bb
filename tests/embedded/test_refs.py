"""Branches, tags and history."""

from pathlib import Path

import pytest
from huggingface_hub.errors import BadRequestError, HfHubHTTPError, RevisionNotFoundError


def put(api, repo, content, **options):
    return api.upload_file(
        path_or_fileobj=content, path_in_repo="x.txt", repo_id=repo, **options
    ).oid


def test_branches(api, repo, tmp_path):
    first = put(api, repo, b"1")
    second = put(api, repo, b"2")
    api.create_branch(repo, branch="feat/ü", revision=first)
    api.create_branch(repo, branch="dev")
    on_branch = put(api, repo, b"3", revision="feat/ü")
    refs = api.list_repo_refs(repo)
    assert {ref.name: ref.target_commit for ref in refs.branches} == {
        "dev": second,
        "feat/ü": on_branch,
        "main": second,
    }
    assert api.model_info(repo, revision="feat/ü").sha == on_branch
    path = api.hf_hub_download(repo, "x.txt", revision="feat/ü", local_dir=tmp_path)
    assert Path(path).read_bytes() == b"3"
    api.delete_branch(repo, branch="feat/ü")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(repo, revision="feat/ü")
    assert api.model_info(repo, revision=on_branch).sha == on_branch


def test_a_branch_is_made_once(api, repo):
    api.create_branch(repo, branch="cool")
    api.create_branch(repo, branch="cool", exist_ok=True)
    with pytest.raises(HfHubHTTPError, match="Reference refs/heads/cool already exists"):
        api.create_branch(repo, branch="cool")


@pytest.mark.parametrize("name", ["a..b", "a b", "-x", ".x", "x.lock", "a~1", "a^", "a:b", "a\\b"])
def test_names_that_git_does_not_allow(api, repo, name):
    with pytest.raises(BadRequestError):
        api.create_branch(repo, branch=name)
    with pytest.raises(BadRequestError):
        api.create_tag(repo, tag=name)


def test_a_branch_cannot_be_a_folder_of_another(api, repo):
    api.create_branch(repo, branch="a")
    with pytest.raises(BadRequestError):
        api.create_branch(repo, branch="a/b")
    api.create_branch(repo, branch="c/d")
    with pytest.raises(BadRequestError):
        api.create_branch(repo, branch="c")


def test_main_cannot_be_deleted(api, repo):
    with pytest.raises(HfHubHTTPError, match="403"):
        api.delete_branch(repo, branch="main")


def test_tags(api, repo):
    commit = put(api, repo, b"1")
    api.create_tag(repo, tag="v1")
    api.create_tag(repo, tag="v1-notes", tag_message="With a message", revision=commit)
    put(api, repo, b"2")
    tags = {ref.name: ref.target_commit for ref in api.list_repo_refs(repo).tags}
    assert tags == {"v1": commit, "v1-notes": commit}
    assert api.model_info(repo, revision="v1-notes").sha == commit
    with pytest.raises(HfHubHTTPError, match="already exists"):
        api.create_tag(repo, tag="v1")
    with pytest.raises(RevisionNotFoundError):
        api.create_tag(repo, tag="v2", revision="absent")
    api.delete_tag(repo, tag="v1")
    with pytest.raises(RevisionNotFoundError):
        api.delete_tag(repo, tag="v1")


def test_commits_are_listed_newest_first(api, repo):
    api.upload_file(
        path_or_fileobj=b"1",
        path_in_repo="x",
        repo_id=repo,
        commit_message="Add <x>",
        commit_description="Because.\n\nOf that.",
    )
    newest, initial = api.list_repo_commits(repo, formatted=True)
    assert (newest.title, newest.message) == ("Add <x>", "Because.\n\nOf that.")
    assert newest.formatted_title == "Add &lt;x&gt;"
    assert newest.authors == ["alice"]
    assert initial.title == "initial commit"


def test_squash(api, repo):
    put(api, repo, b"1")
    put(api, repo, b"2")
    files = api.list_repo_files(repo)
    api.super_squash_history(repo, commit_message="All of it")
    assert [commit.title for commit in api.list_repo_commits(repo)] == ["All of it"]
    assert api.list_repo_files(repo) == files
