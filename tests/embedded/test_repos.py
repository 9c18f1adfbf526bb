"""Repos: making them, finding them by tags, renaming and removing them."""

from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

CARD = """---
tags: [ggez, "ggez-region:th"]
base_model: google/siglip2-base-patch16-224
base_model_relation: adapter
library_name: peft
pipeline_tag: zero-shot-image-classification
license: apache-2.0
language: [th, "no"]
datasets: [acme/photos]
---
Made as in https://arxiv.org/abs/2604.11490.
"""


@pytest.fixture(scope="module")
def listed(hub, new_id):
    api = hub.api()
    repo_id = new_id()
    api.create_repo(repo_id)
    api.upload_file(path_or_fileobj=CARD.encode(), path_in_repo="README.md", repo_id=repo_id)
    api.upload_file(
        path_or_fileobj=b"\0", path_in_repo="adapter_model.safetensors", repo_id=repo_id
    )
    return repo_id


def ids(repos):
    return [repo.id for repo in repos]


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_create_and_delete(api, new_id, kind):
    repo_id = new_id()
    sdk = "gradio" if kind == "space" else None
    url = api.create_repo(repo_id, repo_type=kind, space_sdk=sdk)
    assert (url.repo_id, url.repo_type) == (repo_id, kind)
    assert api.repo_exists(repo_id, repo_type=kind)
    assert ".gitattributes" in api.list_repo_files(repo_id, repo_type=kind)
    api.delete_repo(repo_id, repo_type=kind)
    with pytest.raises(RepositoryNotFoundError):
        api.repo_info(repo_id, repo_type=kind)


def test_create_twice(api, repo):
    assert api.create_repo(repo, exist_ok=True).repo_id == repo
    with pytest.raises(HfHubHTTPError, match="already created this model repo") as error:
        api.create_repo(repo.upper().replace("ACME", "acme"))
    assert error.value.response.status_code == 409


def test_duplicate(hub, api, new_id, secret_repo):
    """All files as they are now, the large ones by reference; private as the source is."""
    copy = new_id()
    url = api.duplicate_repo(secret_repo, copy)
    assert (url.repo_id, url.files_copy_pending) == (copy, False)
    files = api.list_repo_files(secret_repo)
    assert api.list_repo_files(copy) == files
    assert api.model_info(copy).private
    assert [commit.title for commit in api.list_repo_commits(copy)] == [
        f"Duplicate from {secret_repo}"
    ]
    with pytest.raises(HfHubHTTPError, match="already created this model repo") as error:
        api.duplicate_repo(secret_repo, copy)
    assert error.value.response.status_code == 409
    assert api.duplicate_repo(secret_repo, copy, exist_ok=True).repo_id == copy
    api.delete_repo(secret_repo)
    for name, content in (("a.txt", b"hidden"), ("a.bin", b"\0hidden")):
        assert (
            httpx2.get(
                f"{hub.endpoint}/{copy}/resolve/main/{name}",
                headers={"Authorization": f"Bearer {hub.tokens['alice']}"},
            ).content
            == content
        )


def test_no_one_duplicates_what_they_may_not_read_or_to_where_they_may_not_write(
    hub, api, repo, secret_repo
):
    with pytest.raises(RepositoryNotFoundError):
        hub.api("bob").duplicate_repo(secret_repo, "bob/copy")
    with pytest.raises(HfHubHTTPError, match="403"):
        hub.api("bob").duplicate_repo(repo, "acme/copy")
    with pytest.raises(HfHubHTTPError, match="403"):
        hub.api("reader").duplicate_repo(repo, "alice/copy")
    assert hub.api("bob").duplicate_repo(repo).repo_id == repo.replace("acme", "bob")


def test_kernels_are_repos(api, new_id):
    repo = new_id()
    assert api.create_repo(repo, repo_type="kernel").repo_type == "kernel"
    done = api.upload_file(
        path_or_fileobj=b"x", path_in_repo="build/k.py", repo_id=repo, repo_type="kernel"
    )
    assert f"/kernels/{repo}/commit/" in done.commit_url
    assert "build/k.py" in api.list_repo_files(repo, repo_type="kernel")
    assert api.kernel_info(repo).id == repo
    assert Path(api.hf_hub_download(repo, "build/k.py", repo_type="kernel")).read_bytes() == b"x"


def test_what_the_repos_of_an_owner_take(hub, api, new_id):
    hub.store.add_account("carol", orgs=["carols"])
    carol = HfApi(hub.endpoint, token=hub.store.new_token("carol", "write"))
    for kind, name in (("model", "carol/a"), ("dataset", "carol/b"), ("model", "carols/c")):
        carol.create_repo(name, repo_type=kind, private=name == "carol/b")
    carol.upload_file(path_or_fileobj=b"\0" * 900, path_in_repo="x.bin", repo_id="carol/a")
    found = {(repo.type, repo.id): repo for repo in carol.list_user_repos()}
    assert found.keys() == {("model", "carol/a"), ("dataset", "carol/b")}
    model, data = found["model", "carol/a"], found["dataset", "carol/b"]
    assert (model.storage, model.storage_percent, model.visibility) == (900, 100, "public")
    assert (data.storage, data.visibility) == (0, "private")
    assert [repo.id for repo in carol.list_user_repos("carols")] == ["carols/c"]
    # Others see what is public.
    assert [repo.id for repo in api.list_user_repos("carol")] == ["carol/a"]
    assert carol.list_liked_repos().total == 0


def test_a_bare_name_is_made_in_the_callers_namespace(api):
    assert api.create_repo("mine").repo_id == "alice/mine"


@pytest.mark.parametrize("name", ["a--b", "x.git", "a..b"])
def test_names_the_hub_does_not_allow(hub, name):
    with pytest.raises(Exception, match=r"(?i)400|cannot|forbidden"):
        hub.api().create_repo(f"acme/{name}")


def test_no_one_creates_in_the_namespace_of_another(hub):
    with pytest.raises(HfHubHTTPError, match="403"):
        hub.api("bob").create_repo("acme/intruder")
    with pytest.raises(HfHubHTTPError, match="403"):
        hub.api("reader").create_repo("acme/intruder")
    with pytest.raises(HfHubHTTPError, match="401"):
        HfApi(hub.endpoint, token=False).create_repo("acme/intruder")


def test_tags_are_those_the_hub_derives(api, listed):
    info = api.model_info(listed)
    assert set(info.tags) == {
        "ggez",
        "ggez-region:th",
        "peft",
        "safetensors",
        "zero-shot-image-classification",
        "th",
        "no",
        "dataset:acme/photos",
        "base_model:google/siglip2-base-patch16-224",
        "base_model:adapter:google/siglip2-base-patch16-224",
        "license:apache-2.0",
        "arxiv:2604.11490",
    }
    assert info.library_name == "peft"
    assert info.pipeline_tag == "zero-shot-image-classification"
    assert info.card_data.base_model == "google/siglip2-base-patch16-224"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"filter": "ggez"}, True),
        ({"filter": ["ggez", "ggez-region:th"]}, True),
        ({"filter": ["ggez", "ggez-region:vn"]}, False),
        ({"filter": "base_model:adapter:google/siglip2-base-patch16-224"}, True),
        ({"trained_dataset": "acme/photos"}, True),
        ({"pipeline_tag": "zero-shot-image-classification"}, True),
        ({"pipeline_tag": "text-generation"}, False),
        ({"filter": "ggez", "author": "acme"}, True),
        ({"filter": "ggez", "author": "bob"}, False),
        ({"filter": "ggez", "search": "REPO"}, True),
        ({"filter": "ggez", "search": "absent"}, False),
    ],
)
def test_list_models(hub, listed, query, found):
    assert (listed in ids(hub.api(None).list_models(**query))) is found


def test_list_gives_cards_and_files_when_asked(api, listed):
    def found(**query):
        (model,) = [m for m in api.list_models(filter="ggez-region:th", **query) if m.id == listed]
        return model

    plain, full = found(), found(full=True, cardData=True)
    assert plain.card_data is None
    assert plain.sha == full.sha
    assert full.card_data.license == "apache-2.0"
    assert "README.md" in {sibling.rfilename for sibling in full.siblings}
    expanded = found(expand=["cardData"])
    assert expanded.card_data.license == "apache-2.0"
    assert expanded.tags is None


def test_lists_are_paged(hub, new_id):
    api = hub.api()
    made = {new_id() for _ in range(5)}
    for repo_id in made:
        api.create_repo(repo_id, repo_type="dataset")
    every = ids(api.list_datasets(author="acme"))
    assert made <= set(every)
    assert ids(api.list_datasets(author="acme", limit=2)) == every[:2]


def test_a_dataset_has_the_tags_of_a_dataset(api, new_id):
    repo_id = new_id()
    api.create_repo(repo_id, repo_type="dataset")
    card = "---\nlicense: mit\ntask_categories: [image-classification]\nlanguage: th\n---\n"
    api.upload_file(
        path_or_fileobj=card.encode(),
        path_in_repo="README.md",
        repo_id=repo_id,
        repo_type="dataset",
    )
    found = api.list_datasets(filter=["task_categories:image-classification", "language:th"])
    assert ids(found) == [repo_id]


def test_a_space_has_its_sdk(api, new_id):
    repo_id = new_id()
    api.create_repo(repo_id, repo_type="space", space_sdk="gradio")
    assert api.space_info(repo_id).sdk == "gradio"
    assert repo_id in ids(api.list_spaces(filter="gradio"))


def test_whoami(hub):
    hub.store.add_account("wanda", fullname="Wanda W", orgs=["acme"])
    for scope in ("write", "read"):
        hub.tokens["wanda"] = hub.store.new_token("wanda", scope)
        wanda = hub.api("wanda").whoami()
        assert (wanda["name"], wanda["fullname"], wanda["type"]) == ("wanda", "Wanda W", "user")
        assert [org["name"] for org in wanda["orgs"]] == ["acme"]
        assert wanda["auth"]["accessToken"]["role"] == scope


def test_move(api, repo, new_id):
    target = new_id()
    api.move_repo(repo, target)
    assert api.list_repo_files(target) == [".gitattributes"]
    taken = new_id()
    api.create_repo(taken)
    with pytest.raises(HfHubHTTPError, match=r"A model repository called .* already exists"):
        api.move_repo(target, taken)


class TestMoved:
    """The old name leads to the repo until another repo takes it."""

    @pytest.fixture
    def moved(self, api, repo, new_id):
        api.upload_file(path_or_fileobj=b"hello", path_in_repo="a.txt", repo_id=repo)
        api.upload_file(path_or_fileobj=b"\0", path_in_repo="a.bin", repo_id=repo)
        target = new_id()
        api.move_repo(repo, target)
        return repo, target

    def test_it_is_found_by_its_old_name(self, hub, api, moved, tmp_path):
        old, new = moved
        assert api.model_info(old).id == new
        assert api.list_repo_files(old, revision="main") == [".gitattributes", "a.bin", "a.txt"]
        api.snapshot_download(old, local_dir=tmp_path)
        assert (tmp_path / "a.txt").read_text() == "hello"
        answer = httpx2.head(f"{hub.endpoint}/{old}/resolve/main/a.txt?x=1")
        assert answer.status_code == 307
        assert answer.headers["location"] == f"/{new}/resolve/main/a.txt?x=1"

    def test_uploads_to_the_old_name_arrive(self, api, moved):
        old, new = moved
        api.upload_file(path_or_fileobj=b"\0new", path_in_repo="b.bin", repo_id=old)
        assert api.file_exists(new, "b.bin")

    def test_it_is_not_deleted_by_its_old_name(self, api, moved):
        old, new = moved
        with pytest.raises(RepositoryNotFoundError):
            api.delete_repo(old)
        assert api.repo_exists(new)

    def test_the_old_name_can_be_taken(self, api, moved):
        old, new = moved
        api.create_repo(old)
        assert api.model_info(old).id == old
        assert api.model_info(new).id == new

    def test_the_old_name_of_a_private_repo_tells_nothing(self, hub, api, moved):
        old, new = moved
        api.update_repo_settings(new, private=True)
        assert not hub.api("bob").repo_exists(old)
        answer = httpx2.get(f"{hub.endpoint}/api/models/{old}")
        assert answer.status_code == 401
        assert new not in answer.text


def test_visibility(hub, api, repo):
    api.update_repo_settings(repo, private=True)
    assert not hub.api(None).repo_exists(repo)
    api.update_repo_settings(repo, private=False)
    assert hub.api(None).repo_exists(repo)


def test_invalid_metadata_are_refused_before_the_commit(api, repo):
    with pytest.raises(ValueError, match="model-index"):
        api.upload_file(
            path_or_fileobj=b"---\nmodel-index: foo\n---\n", path_in_repo="README.md", repo_id=repo
        )


def test_large_files_of_a_deleted_repo_are_deleted_with_the_last_holder(hub, api, new_id):
    first, second = new_id(), new_id()
    for repo_id in (first, second):
        api.create_repo(repo_id)
        api.upload_file(path_or_fileobj=b"\0shared", path_in_repo="x.bin", repo_id=repo_id)
    oid = api.model_info(first, files_metadata=True).siblings[1].lfs.sha256
    api.delete_repo(first)
    assert hub.store.lfs.path(oid).exists()
    api.delete_repo(second)
    assert not hub.store.lfs.path(oid).exists()
