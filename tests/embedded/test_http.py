"""HTTP as strict clients use it: conditions, ranges, connections that live on, and what is not offered."""

import errno
import http.client
import sqlite3
from urllib.parse import urlsplit

import httpx2
import pytest

from ggez_hub.embedded.listing_index import ListingIndex

LARGE = b"\0" + bytes(range(256)) * 100


@pytest.fixture
def files(api, repo):
    """A repo with a file in git and one in LFS."""
    for name, content in (("a.txt", b"0123456789"), ("large.bin", LARGE)):
        api.upload_file(path_or_fileobj=content, path_in_repo=name, repo_id=repo)
    return repo


@pytest.fixture(params=["a.txt", "large.bin"])
def address(hub, files, request):
    return f"{hub.endpoint}/{files}/resolve/main/{request.param}"


def test_a_file_that_is_known_is_not_sent_again(address):
    first = httpx2.get(address)
    etag = first.headers["ETag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = httpx2.get(address, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == etag
        assert answer.headers["X-Repo-Commit"] == first.headers["X-Repo-Commit"]
    answer = httpx2.get(address, headers={"If-None-Match": '"other"'})
    assert (answer.status_code, answer.content) == (200, first.content)


def test_a_range_of_another_version_is_not_sent(address):
    complete = httpx2.get(address)
    etag = complete.headers["ETag"]
    part = httpx2.get(address, headers={"Range": "bytes=3-5", "If-Range": etag})
    assert (part.status_code, part.content) == (206, complete.content[3:6])
    for version in ('"other"', f"W/{etag}", "Sat, 28 Nov 2026 00:00:00 GMT"):
        answer = httpx2.get(address, headers={"Range": "bytes=3-5", "If-Range": version})
        assert (answer.status_code, answer.content) == (200, complete.content)


@pytest.mark.parametrize(
    "wanted",
    [
        "bytes=",
        "bytes=-",
        "bytes=5-3",
        "bytes=a-b",
        "lines=1-2",
        "bytes=1-2,4-5",
        "bytes=" + "9" * 5000,
    ],
)
def test_a_range_that_is_not_understood_is_ignored(address, wanted):
    answer = httpx2.get(address, headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (200, httpx2.get(address).content)


def test_a_file_is_shown_or_saved_as_was_asked(address):
    assert httpx2.head(address).headers["Content-Disposition"].startswith("inline;")
    saved = httpx2.head(address + "?download=true").headers["Content-Disposition"]
    assert saved.startswith("attachment; filename")


def test_what_git_holds_of_a_file(hub, files):
    raw = f"{hub.endpoint}/{files}/raw/main"
    assert httpx2.get(f"{raw}/a.txt").content == b"0123456789"
    pointer = httpx2.get(f"{raw}/large.bin").text
    assert pointer.startswith("version https://git-lfs")
    assert f"size {len(LARGE)}" in pointer


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("a bug"), 500),
        (OSError(errno.ENOSPC, "No space left on device"), 507),
    ],
)
def test_a_failure_does_not_end_the_connection(hub, repo, monkeypatch, error, status):
    connection = http.client.HTTPConnection(urlsplit(hub.endpoint).netloc)
    connection.request("GET", "/")
    connection.getresponse().read()
    socket = connection.sock

    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(ListingIndex, "search", fail)
        for _ in range(3):
            connection.request("GET", "/api/models")
            answer = connection.getresponse()
            assert answer.status == status
            assert b"a bug" not in answer.read()
    connection.request("GET", f"/api/models/{repo}")
    assert connection.getresponse().status == 200
    assert connection.sock is socket


def test_a_full_database_is_a_full_disk(hub, monkeypatch):
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL

    def fail(*_):
        raise full

    monkeypatch.setattr(ListingIndex, "search", fail)
    answer = httpx2.get(hub.endpoint + "/api/models")
    assert answer.status_code == 507
    assert "full" in answer.json()["error"]


@pytest.mark.parametrize(
    "key", ["downloads", "likes", "trendingScore", "lastModified", "createdAt"]
)
def test_lists_are_sorted_by_every_key_that_clients_offer(hub, api, files, key):
    author = files.partition("/")[0]
    for direction in ("1", "-1"):
        query = {"sort": key, "direction": direction, "author": author}
        answer = httpx2.get(hub.endpoint + "/api/models", params=query)
        assert answer.status_code == 200
        assert files in [item["id"] for item in answer.json()]


def test_filters_are_applied_or_refused(hub, api, files, new_id):
    gated = new_id()
    api.create_repo(gated)
    api.update_repo_settings(gated, gated="auto")
    found = {model.id for model in api.list_models(author="acme", gated=True)}
    assert gated in found
    assert files not in found
    assert files in {model.id for model in api.list_models(author="acme", gated=False)}
    for key in ("apps", "inference", "inference_provider", "num_parameters"):
        answer = httpx2.get(hub.endpoint + "/api/models", params={key: "x"})
        assert answer.status_code == 501
        assert key in answer.json()["error"]


@pytest.mark.parametrize("name", ["papers", "jobs", "settings/billing"])
def test_a_part_of_the_api_that_is_not_offered_is_named(hub, name):
    for path in (f"/api/{name}", f"/api/{name}/acme/x"):
        answer = httpx2.get(hub.endpoint + path)
        assert answer.status_code == 501
        assert f"does not offer {name.partition('/')[0]}" in answer.json()["error"]


def test_a_part_of_the_api_of_a_repo_that_is_not_offered_is_named(hub, repo, secret_repo):
    """But nobody learns by it which private repos there are."""
    for method, part in (("DELETE", "like"), ("GET", "likers"), ("POST", "secrets")):
        answer = httpx2.request(method, f"{hub.endpoint}/api/models/{repo}/{part}")
        assert answer.status_code == 501
        assert answer.json()["error"] == f"This hub does not offer {method} {part} of a repo"
        for absent in (secret_repo, "acme/absent", "absent"):
            answer = httpx2.request(method, f"{hub.endpoint}/api/models/{absent}/{part}")
            assert answer.status_code == 401
            assert answer.headers["X-Error-Code"] == "RepoNotFound"


def test_the_id_of_a_request_is_the_clients(hub):
    def identity(sent):
        headers = {"X-Request-Id": sent} if sent else {}
        return httpx2.get(hub.endpoint + "/", headers=headers).headers["X-Request-Id"]

    assert identity("3f2a-77.x_y") == "3f2a-77.x_y"
    for sent in (None, "x" * 65, "a b", "a\x1b[31m"):
        made = identity(sent)
        assert made != sent
        assert len(made) == 16
