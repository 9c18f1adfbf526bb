"""Who may see and change what."""

import hashlib
import json
import re

import httpx2
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from ggez_hub.embedded.http.app import create_app

# Jobs belong to no repo; test_jobs has their rights.
API_ROUTES = sorted(
    (method, route.path)
    for route in create_app(None).routes
    for method in route.methods or ()
    if "namespace:" in route.path and not route.path.startswith("/api/jobs/")
)


def header(hub, who):
    return {"Authorization": f"Bearer {hub.tokens[who]}"} if who else {}


def address(template, repo_id):
    namespace, name = repo_id.split("/")
    values = {
        "kind:hub_kind": "models",
        "kind:hub_bucket": "buckets",
        "kind:hub_prefix": "",
        "namespace:hub_segment": namespace,
        "name:hub_segment": name,
        "revision:hub_revision": "main",
        "path:hub_rest": "a.txt",
        "number:hub_segment": "1",
        "status:hub_segment": "pending",
        "comment:hub_segment": "0" * 24,
    }
    return re.sub(r"{([^}]+)}", lambda match: values[match[1]], template)


def body(path):
    if "/commit/" in path:
        lines = [
            {"key": "header", "value": {"summary": "x"}},
            {"key": "file", "value": {"path": "x", "content": "x"}},
        ]
        return "\n".join(map(json.dumps, lines))
    objects = [{"oid": "0" * 64, "size": 1}]
    return json.dumps(
        {"files": [], "paths": ["a.txt"], "tag": "t", "operation": "upload", "objects": objects}
    )


def test_the_routes_of_a_repo_are_known():
    assert len(API_ROUTES) > 20


@pytest.mark.parametrize("who", [None, "bob"])
@pytest.mark.parametrize(("method", "template"), API_ROUTES)
def test_a_private_repo_looks_like_a_missing_one(hub, secret_repo, method, template, who):
    answers = []
    if "hub_bucket" in template:
        hub.api().create_bucket(secret_repo, private=True)
    for repo_id in (secret_repo, "acme/absent"):
        path = address(template, repo_id)
        headers = {**header(hub, who), "Content-Type": "application/json"}
        response = httpx2.request(method, hub.endpoint + path, headers=headers, content=body(path))
        told = {
            key: value
            for key, value in response.headers.items()
            if key not in {"x-request-id", "date"}
        }
        answers.append((response.status_code, response.content, told))
    assert answers[0] == answers[1]
    assert answers[0][0] == (404 if who else 401)
    assert answers[0][2]["x-error-code"] == "RepoNotFound"


# What is asked for with a POST and changes nothing.
QUESTIONS = ("/paths-info", "/git-upload-pack")
CHANGES = [
    (method, template)
    for method, template in API_ROUTES
    if method in {"POST", "PUT", "DELETE"} and not any(part in template for part in QUESTIONS)
]


@pytest.mark.parametrize("who", [None, "reader"])
@pytest.mark.parametrize(("method", "template"), CHANGES)
def test_nothing_is_changed_without_a_token_that_may_write(hub, api, repo, method, template, who):
    if "hub_bucket" in template:
        api.create_bucket(repo)
    # Routes of a thread or a comment are asked about one that exists.
    thread = api.create_discussion(repo, "A question")
    path = address(template, repo).replace("0" * 24, thread.events[0].id)
    headers = {**header(hub, who), "Content-Type": "application/json"}
    response = httpx2.request(method, hub.endpoint + path, headers=headers, content=body(path))
    assert response.status_code in ({403} if who else {401, 403})
    assert api.list_repo_files(repo) == [".gitattributes"]


def test_a_private_repo_is_listed_for_its_members_alone(hub, secret_repo):
    def listed(who):
        return secret_repo in {item.id for item in hub.api(who).list_models()}

    assert [listed(who) for who in (None, "bob", "alice", "reader")] == [False, False, True, True]


def test_a_private_repo_cannot_be_deleted_moved_or_taken_by_others(hub, secret_repo):
    bob = hub.api("bob")
    with pytest.raises(RepositoryNotFoundError):
        bob.delete_repo(secret_repo)
    with pytest.raises(HfHubHTTPError, match="404"):
        bob.move_repo(secret_repo, "bob/mine")


def test_members_read_a_private_repo(hub, secret_repo, tmp_path):
    hub.api("reader").snapshot_download(secret_repo, local_dir=tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == b"\0hidden"
    hub.api("reader").auth_check(secret_repo)
    hub.api("alice").auth_check(secret_repo, write=True)


def test_a_read_token_does_not_write(hub, repo):
    reader = hub.api("reader")
    for attempt in (
        lambda: reader.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo),
        lambda: reader.create_tag(repo, tag="x"),
        lambda: reader.delete_repo(repo),
        lambda: reader.auth_check(repo, write=True),
    ):
        with pytest.raises(HfHubHTTPError, match="scope 'read'"):
            attempt()


def test_a_public_repo_is_not_everyones_to_write(hub, repo):
    with pytest.raises(HfHubHTTPError, match="403"):
        hub.api("bob").upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo)


@pytest.mark.parametrize("value", ["Bearer hf_wrong", "Basic !", "Digest x", "Bearer"])
def test_an_unknown_token_is_refused_even_for_public_repos(hub, repo, value):
    response = httpx2.get(f"{hub.endpoint}/api/models/{repo}", headers={"Authorization": value})
    assert response.status_code == 401
    assert response.headers["x-error-message"] == "Invalid credentials in Authorization header"


def test_tokens_are_stored_hashed(hub):
    stored = b"".join(path.read_bytes() for path in hub.store.root.glob("hub.sqlite3*"))
    for token in hub.tokens.values():
        assert token.encode() not in stored


def test_a_revoked_token_is_refused(hub, repo):
    token = hub.store.new_token("bob", "write")
    HfApi(hub.endpoint, token=token).whoami()
    assert hub.store.revoke_token(token)
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        HfApi(hub.endpoint, token=token).whoami()
    assert not hub.store.revoke_token(token)


class TestLargeFiles:
    """A sha256 must not be enough to read or replace what it names."""

    CONTENT = b"\0hidden"
    OID = hashlib.sha256(CONTENT).hexdigest()

    def batch(self, hub, repo, who="alice"):
        response = httpx2.post(
            f"{hub.endpoint}/{repo}.git/info/lfs/objects/batch",
            headers=header(hub, who),
            json={"operation": "upload", "objects": [{"oid": self.OID, "size": 7}]},
        )
        assert response.status_code == 200
        (answer,) = response.json()["objects"]
        return answer

    def commit(self, hub, repo, *lines):
        header_line = {"key": "header", "value": {"summary": "x"}}
        return httpx2.post(
            f"{hub.endpoint}/api/models/{repo}/commit/main",
            headers=header(hub, "bob"),
            content="\n".join(json.dumps(line) for line in (header_line, *lines)),
        )

    @pytest.fixture
    def bobs(self, hub, new_id):
        repo_id = new_id().replace("acme", "bob")
        hub.api("bob").create_repo(repo_id)
        return repo_id

    def test_present_elsewhere_is_not_present_here(self, hub, secret_repo, bobs):
        assert "actions" not in self.batch(hub, secret_repo)
        assert "upload" in self.batch(hub, bobs, who="bob")["actions"]

    def test_a_commit_cannot_refer_to_the_object_of_another_repo(self, hub, secret_repo, bobs):
        line = {"key": "lfsFile", "value": {"path": "x", "algo": "sha256", "oid": self.OID}}
        assert self.commit(hub, bobs, line).status_code == 400

    def test_nor_by_a_pointer_in_a_regular_file(self, hub, secret_repo, bobs):
        pointer = (
            "version https://git-lfs.github.com/spec/v1\n"
            f"oid sha256:{self.OID}\nsize {len(self.CONTENT)}\n"
        )
        line = {"key": "file", "value": {"path": "x", "content": pointer}}
        assert self.commit(hub, bobs, line).status_code == 400

    def test_an_upload_must_be_what_was_announced(self, hub, repo):
        for content in (b"\0other!", b"\0hid", b"\0hidden and more"):
            href = self.batch(hub, repo)["actions"]["upload"]["href"]
            assert httpx2.put(href, content=content).status_code in {400, 413}
        href = self.batch(hub, repo)["actions"]["upload"]["href"]
        assert httpx2.put(href, content=self.CONTENT).status_code == 200
        assert not list((hub.store.root / "lfs" / "incoming").iterdir())

    def test_an_address_is_good_for_one_object_repo_size_and_time(self, hub, repo):
        href = self.batch(hub, repo)["actions"]["upload"]["href"]
        for pattern, replacement in (
            (r"/lfs/\d+/", "/lfs/1/"),
            (self.OID, "0" * 64),
            (r"size=\d+", "size=8"),
            (r"expires=\d+", "expires=99999999999"),
            (r"signature=\w+", "signature=" + "0" * 64),
            (r"&signature=\w+", ""),
        ):
            forged = re.sub(pattern, replacement, href)
            assert httpx2.put(forged, content=self.CONTENT).status_code == 403

    def test_an_address_expires(self, hub, repo, monkeypatch):
        monkeypatch.setattr("ggez_hub.embedded.lfs.LIFETIME", -1)
        href = self.batch(hub, repo)["actions"]["upload"]["href"]
        response = httpx2.put(href, content=self.CONTENT)
        assert response.status_code == 403
        assert "expired" in response.json()["error"]
