"""Requests that no honest client sends."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from ggez_hub.embedded.errors import InvalidPathError
from ggez_hub.embedded.names import check_path

# Of a pair of surrogates: JSON may name it, and no encoding of text has it.
HALF = "\ud800"
BAD_PATHS = [
    "",
    "/etc/passwd",
    "../x",
    "a/../x",
    "a/..",
    ".",
    "./x",
    "a//b",
    "a/",
    "a\\b",
    "..\\x",
    "C:/x",
    "c:x",
    "a\nb",
    "a\0b",
    "a\x7fb",
    ".git/config",
    "a/.GIT/hooks/x",
    ".git /x",
    ".git./x",
    "git~1/x",
    ".g\u200cit/x",
    ".git::$INDEX_ALLOCATION/x",
    HALF,
    "x" * 256,
    "/".join(["x" * 200] * 6),
]
GOOD_PATHS = [
    "README.md",
    ".gitattributes",
    ".gitignore",
    ".github/workflows/ci.yml",
    "a/..b/c..",
    "ไทย/ສະບາຍດີ.txt",
    "a b/#?%2F.txt",
    "x" * 255,
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_bad_paths(path):
    with pytest.raises(InvalidPathError):
        check_path(path)


@pytest.mark.parametrize("path", GOOD_PATHS)
def test_good_paths(path):
    assert check_path(path) == path


class Commit:
    def __init__(self, hub, repo):
        self.url = f"{hub.endpoint}/api/models/{repo}"
        self.headers = {"Authorization": f"Bearer {hub.tokens['alice']}"}

    def __call__(self, *lines, header=None):
        first = {"key": "header", "value": {"summary": "x"}} if header is None else header
        return self.raw("\n".join(json.dumps(line) for line in (first, *lines)))

    def raw(self, content):
        return httpx2.post(f"{self.url}/commit/main", headers=self.headers, content=content)


@pytest.fixture
def commit(hub, repo):
    return Commit(hub, repo)


def put(path, content="x"):
    return {"key": "file", "value": {"path": path, "content": content}}


def remove(path, key="deletedFile"):
    return {"key": key, "value": {"path": path}}


@pytest.mark.parametrize("path", BAD_PATHS)
def test_bad_paths_are_refused_on_commit(hub, api, repo, commit, path):
    refused = 400 if path == HALF else 422
    assert commit(put(path)).status_code == refused
    answer = httpx2.post(
        f"{commit.url}/preupload/main",
        headers={**commit.headers, "Content-Type": "application/json"},
        content=json.dumps({"files": [{"path": path, "size": 1, "sample": ""}]}),
    )
    assert answer.status_code == refused
    assert api.list_repo_files(repo) == [".gitattributes"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/collections", {"title": "half", "namespace": HALF}),
        ("/api/buckets/acme/{name}/batch", {"type": "deleteFile", "path": HALF}),
        ("/api/buckets/acme/{name}/paths-info", {"paths": [HALF]}),
        ("/api/models/{repo}/branch/half", {"startingPoint": HALF}),
        ("/api/models/{repo}/tag/main", {"tag": "half", "message": HALF}),
    ],
)
def test_half_a_character_is_refused_everywhere(hub, api, repo, path, body):
    name = repo.partition("/")[2]
    api.create_bucket(f"acme/{name}")
    answer = httpx2.post(
        hub.endpoint + path.format(repo=repo, name=name),
        headers={
            "Authorization": f"Bearer {hub.tokens['alice']}",
            "Content-Type": "application/json",
        },
        content=json.dumps(body),
    )
    # Of a batch each line is answered.
    assert answer.status_code == (422 if path.endswith("batch") else 400)
    assert "The body is not valid JSON" in answer.text


@pytest.mark.parametrize(
    "paths",
    [
        ["a.txt", "A.txt"],
        ["dir/x", "DIR/y"],
        ["caf\u00e9", "cafe\u0301"],
        ["straße", "STRASSE"],
        ["a", "a/b"],
        ["a/b", "a"],
    ],
)
def test_paths_that_collide(api, repo, commit, paths):
    assert commit(*map(put, paths)).status_code == 422
    assert commit(put(paths[0])).status_code == 200
    assert commit(put(paths[1])).status_code == 422


def test_a_rename_that_changes_case_is_no_collision(api, repo, commit):
    assert commit(put("a.txt")).status_code == 200
    assert commit(put("A.txt"), remove("a.txt")).status_code == 200
    assert api.list_repo_files(repo) == [".gitattributes", "A.txt"]


def test_a_folder_may_take_the_place_of_a_file(api, repo, commit):
    assert commit(put("a")).status_code == 200
    assert commit(remove("a"), put("a/b")).status_code == 200
    assert commit(remove("a", "deletedFolder"), put("a")).status_code == 200
    assert commit(remove("a", "deletedFolder")).status_code == 404
    assert api.list_repo_files(repo) == [".gitattributes", "a"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[]",
        b'{"key": "header"}',
        b'{"key": "header", "value": {"summary": " "}}',
        b'{"key": "header", "value": {"summary": 1}}',
        b'{"key": "file", "value": {"path": "x", "content": ""}}',
        b'{"key": "header", "value": {"summary": "x"}}\n{"key": "rmdir", "value": {"path": "x"}}',
        b'{"key": "header", "value": {"summary": "x"}}\n{"key": "file", "value": {"path": 1}}',
        b'{"key": "header", "value": {"summary": "x"}}\n'
        b'{"key": "file", "value": {"path": "x", "content": "!", "encoding": "base64"}}',
        b'{"key": "header", "value": {"summary": "x"}}\n'
        b'{"key": "lfsFile", "value": {"path": "x", "oid": "../../hub.sqlite3"}}',
        b'{"key": "header", "value": ' + b"[" * 100_000,
    ],
)
def test_malformed_commits(commit, content):
    assert commit.raw(content).status_code == 400


def test_a_file_that_is_too_large_for_git(commit):
    content = base64.b64encode(bytes(7 << 20)).decode()
    line = {"key": "file", "value": {"path": "x", "content": content, "encoding": "base64"}}
    assert commit(line).status_code == 413


def test_a_body_that_does_not_end(commit):
    line = json.dumps(put("x", "y" * (1 << 20))).encode() + b"\n"
    header = json.dumps({"key": "header", "value": {"summary": "x"}}).encode() + b"\n"

    def lines():
        yield header
        for _ in range(100):
            yield line

    try:
        status = commit.raw(lines()).status_code
    except httpx2.TransportError:
        # The hub answered and hung up while this side was still sending.
        status = 413
    assert status == 413


def test_json_that_is_too_large(hub, commit):
    content = json.dumps({"name": "x" * (9 << 20)})
    answer = httpx2.post(
        f"{hub.endpoint}/api/repos/create", headers=commit.headers, content=content
    )
    assert answer.status_code == 413


def test_a_commit_of_too_many_files(api, repo, commit):
    assert commit(*(put(f"{number}.txt") for number in range(1201))).status_code == 413
    assert api.list_repo_files(repo) == [".gitattributes"]


def test_headers_that_are_too_long(hub):
    with httpx2.Client(base_url=hub.endpoint) as client:
        assert client.get("/api/models", headers={"X-Long": "x" * 20_000}).status_code == 200
        try:
            status = client.get("/api/models", headers={"X-Long": "x" * 200_000}).status_code
        except httpx2.TransportError:
            status = 400
        assert 400 <= status < 500


def test_two_commits_on_one_parent(api, repo, commit):
    parent = api.list_repo_commits(repo)[0].commit_id
    header = {"key": "header", "value": {"summary": "x", "parentCommit": parent}}

    def attempt(number):
        return commit(put(f"{number}.txt"), header=header).status_code

    with ThreadPoolExecutor(8) as pool:
        codes = sorted(pool.map(attempt, range(8)))
    assert codes == [200] + [412] * 7
    assert len(api.list_repo_files(repo)) == 2


def test_identities_cannot_break_a_commit(api, repo, commit):
    header = {"key": "header", "value": {"summary": "a\0b", "description": "c\r\n<d>"}}
    assert commit(put("x"), header=header).status_code == 200
    assert api.list_repo_commits(repo)[0].title == "ab"


@pytest.mark.parametrize(
    "path",
    [
        "/api/models/acme/%2e%2e%2f%2e%2e",
        "/acme/..%2f..%2fhub.sqlite3/resolve/main/x",
        "/..%2f..%2ftoken",
        "/api/models/%ff/%00",
        "/acme/x/resolve/main/..%2f..%2f..%2fhub.sqlite3",
        "/api/models/gpt2",
        "/gpt2/resolve/main/config.json",
        "/api/models/gpt2/tree/main",
        "/api/nothing",
        "/nothing",
    ],
)
def test_addresses_that_lead_nowhere(hub, path):
    response = httpx2.get(
        hub.endpoint + path, headers={"Authorization": f"Bearer {hub.tokens['bob']}"}
    )
    assert response.status_code == 404


@pytest.mark.parametrize(
    "revision", ["%2e%2e", "%2e%2e/%2e%2e/HEAD", "refs/heads/../../config", "%00", "a" * 5000]
)
def test_revisions_that_are_none(hub, repo, revision):
    for path in (f"/api/models/{repo}/tree/", f"/{repo}/resolve/"):
        quoted = revision.replace("/", "%2F")
        tail = "/x" if "resolve" in path else ""
        response = httpx2.get(f"{hub.endpoint}{path}{quoted}{tail}")
        assert response.status_code == 404
        assert response.headers["x-error-code"] == "RevisionNotFound"


def test_a_stored_page_does_not_run_in_a_browser(hub, repo, commit):
    assert commit(put("x.html", "<script>alert(1)</script>")).status_code == 200
    headers = httpx2.get(f"{hub.endpoint}/{repo}/resolve/main/x.html").headers
    assert headers["content-type"].startswith("text/plain")
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]


def test_a_path_cannot_write_into_the_log(hub, caplog):
    caplog.set_level("INFO", "ggez_hub.embedded")
    httpx2.get(f"{hub.endpoint}/a%0d%0aforged%1b[31m/%E0%B8%81")
    lines = [record.getMessage() for record in caplog.records]
    assert any("GET /a%0D%0Aforged%1B%5B31m/%E0%B8%81 401" in line for line in lines)
    assert not any("\x1b" in line or "\n" in line for line in lines)
