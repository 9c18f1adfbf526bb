"""Bodies that no client would send: whatever comes, the answer is never that the hub itself failed."""

import json

import httpx2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["a.txt", "../x", ".git", "a/b", "\ud800", "base64", "utf-8", "sha256", "aGk="]
    ),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3)
    ),
    max_leaves=8,
)
OIDS = st.sampled_from(["0" * 64, "0" * 63, "G" * 64, "../" * 20, ""])
SIZES = st.sampled_from([0, 1, -1, 2**31, 2**63 - 1, 2**63, 2**200, True, 1.5, "1", None])


def object_of(**fields):
    """An object in which each field may be right, wrong or missing."""
    return st.fixed_dictionaries(
        {}, optional={key: value | ANYTHING for key, value in fields.items()}
    )


HEADER = object_of(
    summary=st.text(min_size=1, max_size=20),
    description=st.text(max_size=20),
    parentCommit=st.sampled_from(["", "0" * 40, "main"]),
)
FILE = object_of(
    path=st.text(max_size=20) | st.sampled_from(["a.txt", "b/c", "A.TXT", "a.txt/b"]),
    content=st.text(max_size=20) | st.sampled_from(["aGk=", "=", "é"]),
    encoding=st.sampled_from(["base64", "utf-8"]),
    oid=OIDS,
    algo=st.just("sha256"),
    size=SIZES,
)
KEYS = st.sampled_from(["header", "file", "lfsFile", "deletedFile", "deletedFolder"]) | ANYTHING
LINE = st.fixed_dictionaries({"key": KEYS, "value": FILE | HEADER}) | ANYTHING
COMMIT = st.lists(LINE, max_size=4).flatmap(
    lambda lines: st.sampled_from([lines, [{"key": "header", "value": {"summary": "x"}}, *lines]])
)
BATCH = object_of(
    operation=st.sampled_from(["upload", "download"]),
    transfers=st.just(["basic"]),
    hash_algo=st.just("sha256"),
    objects=st.lists(object_of(oid=OIDS, size=SIZES), max_size=3),
)
PREUPLOAD = object_of(
    files=st.lists(
        object_of(path=st.text(max_size=9), size=SIZES, sample=st.sampled_from(["", "aGk=", "?"])),
        max_size=3,
    ),
    gitIgnore=st.text(max_size=20),
)
many = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
    database=None,
)


@pytest.fixture(scope="module")
def target(hub):
    hub.api().create_repo("acme/fuzzed", exist_ok=True)
    return "acme/fuzzed"


@pytest.fixture(scope="module")
def client(hub):
    headers = {"Authorization": f"Bearer {hub.tokens['alice']}"}
    with httpx2.Client(base_url=hub.endpoint, headers=headers) as opened:
        yield opened


def told(answer):
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.json()["error"]


@many
@given(COMMIT, st.sampled_from(["main", "main?create_pr=1", "refs%2Fpr%2F1", "nothing", "%00"]))
@example([{"key": "header", "value": {"summary": "x" * 300}}], "main?create_pr=1")
def test_commits(client, target, lines, revision):
    body = "\n".join(map(json.dumps, lines)).encode()
    told(client.post(f"/api/models/{target}/commit/{revision}", content=body))


@many
@given(st.binary(max_size=200))
def test_commits_that_are_not_json(client, target, body):
    told(client.post(f"/api/models/{target}/commit/main", content=body))


@many
@given(BATCH | ANYTHING)
def test_lfs_batches(client, target, body):
    content = json.dumps(body).encode()
    told(client.post(f"/{target}.git/info/lfs/objects/batch", content=content))


@many
@given(PREUPLOAD | ANYTHING)
def test_preuploads(client, target, body):
    told(client.post(f"/api/models/{target}/preupload/main", content=json.dumps(body).encode()))


@many
@given(
    st.sampled_from(
        ["comment", "title", "status", "merge", "comment/0/edit", "comment/0/hide", ""]
    ),
    st.sampled_from(["1", "2", "0", "x", "99999999999999999999"]),
    object_of(
        title=st.text(max_size=9),
        description=st.text(max_size=9),
        pullRequest=st.booleans(),
        comment=st.text(max_size=9),
        content=st.text(max_size=9),
        status=st.sampled_from(["open", "closed", "merged"]),
    ),
)
def test_discussions(client, target, resource, number, body):
    path = f"/api/models/{target}/discussions"
    path = f"{path}/{number}/{resource}" if resource else path
    told(client.post(path, content=json.dumps(body).encode()))


@many
@given(
    st.sampled_from(["repos/create", "repos/move", "validate-yaml"]),
    object_of(
        name=st.text(max_size=9),
        organization=st.sampled_from(["acme", "bob", "..", ""]),
        type=st.sampled_from(["model", "dataset", "space"]),
        visibility=st.sampled_from(["public", "private", "protected"]),
        fromRepo=st.just("acme/absent"),
        toRepo=st.text(max_size=9),
        content=st.text(max_size=40),
    ),
)
def test_other_bodies(client, path, body):
    told(client.post(f"/api/{path}", content=json.dumps(body).encode()))


@many
@given(
    object_of(
        gated=st.sampled_from(["auto", "manual", False]),
        visibility=st.sampled_from(["public", "protected"]),
    )
)
def test_settings(client, target, body):
    told(client.put(f"/api/models/{target}/settings", content=json.dumps(body).encode()))


@many
@given(
    st.dictionaries(
        st.sampled_from(["filter", "author", "search", "sort", "limit", "cursor", "expand", "p"]),
        st.text(max_size=12),
        max_size=4,
    ),
    st.sampled_from(["", "/acme/fuzzed/discussions", "/acme/fuzzed/tree/main"]),
)
def test_queries(client, query, path):
    told(client.get(f"/api/models{path}", params=query))
