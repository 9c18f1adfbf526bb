"""Gated repos: everybody sees them, and reads their files once access was granted."""

import subprocess

import httpx2
import pytest
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

from .conftest import Hub


@pytest.fixture
def gated(api, repo):
    api.upload_file(path_or_fileobj=b"hidden", path_in_repo="a.txt", repo_id=repo)
    api.upload_file(path_or_fileobj=b"\0hidden", path_in_repo="a.bin", repo_id=repo)
    api.update_repo_settings(repo, gated="manual")
    return repo


@pytest.mark.parametrize("who", ["bob", None])
def test_files_are_for_those_with_access(hub: Hub, gated, who):
    api = hub.api(who)
    assert api.model_info(gated).gated == "manual"
    assert len(api.list_repo_files(gated)) == 3
    with pytest.raises(GatedRepoError, match="restricted"):
        api.hf_hub_download(gated, "a.txt")
    with pytest.raises(GatedRepoError):
        api.auth_check(gated)
    headers = {"Authorization": f"Bearer {hub.tokens[who]}"} if who else {}
    for method, path in (
        ("GET", f"/{gated}/info/refs?service=git-upload-pack"),
        ("POST", f"/{gated}/git-upload-pack"),
        ("POST", f"/{gated}.git/info/lfs/objects/batch"),
    ):
        content = '{"operation": "download", "objects": []}'
        answer = httpx2.request(method, hub.endpoint + path, headers=headers, content=content)
        assert answer.status_code == (403 if who else 401)
        assert answer.headers["x-error-code"] == "GatedRepo"


def test_members_have_access(hub: Hub, gated):
    hub.api("reader").auth_check(gated)
    hub.api("reader").hf_hub_download(gated, "a.bin")


def test_a_difference_shows_no_content(hub: Hub, api, gated):
    api.upload_file(path_or_fileobj=b"secret", path_in_repo="b.txt", repo_id=gated, create_pr=True)
    assert "secret" in api.get_discussion_details(gated, 1).diff
    assert hub.api("bob").get_discussion_details(gated, 1).diff is None


def test_access_is_asked_for_and_granted(hub: Hub, api, gated):
    bob = {"Authorization": f"Bearer {hub.tokens['bob']}"}
    assert httpx2.post(f"{hub.endpoint}/{gated}/ask-access", headers=bob).status_code == 200
    with pytest.raises(GatedRepoError):
        hub.api("bob").auth_check(gated)
    (pending,) = api.list_pending_access_requests(gated)
    assert (pending.username, pending.status) == ("bob", "pending")
    api.accept_access_request(gated, "bob")
    hub.api("bob").auth_check(gated)
    hub.api("bob").hf_hub_download(gated, "a.txt")
    api.reject_access_request(gated, "bob", rejection_reason="")
    with pytest.raises(GatedRepoError):
        hub.api("bob").auth_check(gated)
    assert [item.username for item in api.list_rejected_access_requests(gated)] == ["bob"]


def test_access_is_granted_unasked_once(hub: Hub, api, gated):
    api.grant_access(gated, "bob")
    hub.api("bob").auth_check(gated)
    for wrong in ("bob", "nobody", "acme"):
        with pytest.raises(HfHubHTTPError):
            api.grant_access(gated, wrong)


def test_automatic_access(hub: Hub, api, gated):
    api.update_repo_settings(gated, gated="auto")
    bob = {"Authorization": f"Bearer {hub.tokens['bob']}"}
    httpx2.post(f"{hub.endpoint}/{gated}/ask-access", headers=bob).raise_for_status()
    hub.api("bob").auth_check(gated)


def test_only_the_owners_grant(hub: Hub, gated):
    for attempt in (
        lambda: hub.api("bob").grant_access(gated, "bob"),
        lambda: hub.api("reader").grant_access(gated, "bob"),
        lambda: list(hub.api("bob").list_pending_access_requests(gated)),
    ):
        with pytest.raises(HfHubHTTPError, match="403"):
            attempt()


def test_the_gate_can_be_removed(hub: Hub, api, gated):
    api.update_repo_settings(gated, gated=False)
    hub.api(None).hf_hub_download(gated, "a.txt")


def test_git_asks_for_the_token(hub: Hub, gated, tmp_path):
    address = f"{hub.endpoint}/{gated}".replace("http://", "http://bob:{}@")
    for token, code in ((hub.tokens["bob"], 128), (hub.tokens["alice"], 0)):
        command = ["git", "clone", "-q", address.format(token), tmp_path / token]
        assert subprocess.run(command, capture_output=True, check=False).returncode == code
