"""Trusted Publishers: an identity becomes a token for one repository, and for no other."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import _auth
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from ggez_hub.embedded.store import HubStore
from ggez_hub.hub import Hub
from ggez_hub.hub.commits import commit, ensure_repo, write_access

from ..worlds import serving

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"


@dataclass
class FakeIdentities:
    """GitHub's identity of a run, and the Hub's exchange of it (RFC 8693).

    publishers  resource -> the token that it is exchanged for
    writes      (resource, token) of every commit that arrived
    """

    publishers: dict[str, str] = field(default_factory=dict)
    exchanges: list[dict] = field(default_factory=list)
    writes: list[tuple[str, str]] = field(default_factory=list)
    audience: str = ""

    def identity(self, request):
        if request.headers.get("authorization") != "Bearer of-the-run":
            return JSONResponse({"message": "no"}, status_code=401)
        self.audience = request.query_params["audience"]
        return JSONResponse({"value": f"identity for {self.audience}"})

    async def exchange(self, request):
        asked = await request.json()
        self.exchanges.append(asked)
        token = self.publishers.get(asked["resource"])
        good = asked["grant_type"] == GRANT and asked["subject_token"].startswith("identity for")
        if token is None or not good:
            return JSONResponse(
                {"error": "invalid_grant", "error_description": "no publisher"}, status_code=400
            )
        return JSONResponse({"access_token": token, "token_type": "bearer", "expires_in": 3600})

    def around(self, app):
        inner = Starlette(
            routes=[
                Route("/identity", self.identity),
                Route("/oauth/token", self.exchange, methods=["POST"]),
                Mount("/", app),
            ]
        )

        async def noting(scope, receive, send):
            if scope["type"] == "http" and "/commit/" in scope["path"]:
                kind, _, rest = scope["path"].removeprefix("/api/").partition("/")
                repo = rest.partition("/commit/")[0]
                sent = dict(scope["headers"]).get(b"authorization", b"").decode()
                resource = repo if kind == "models" else f"{kind}/{repo}"
                self.writes.append((resource, sent.removeprefix("Bearer ")))
            await inner(scope, receive, send)

        return noting


@pytest.fixture
def identities(tmp_path, monkeypatch):
    """A hub, and a run with an identity; `own` is the token that the environment has."""
    fake = FakeIdentities()
    with HubStore.open(tmp_path / "store") as store, serving(store, fake.around) as endpoint:
        store.add_account("curator", orgs=["ggez-hub"])
        for repo in ("index", "merged", "plain"):
            store.create_repo("dataset" if repo == "index" else "model", f"ggez-hub/{repo}")
        fake.publishers = {
            "datasets/ggez-hub/index": store.new_token("curator", "write"),
            "ggez-hub/merged": store.new_token("curator", "write"),
        }
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(_auth, "_OIDC_TOKEN_CACHE", None)
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{endpoint}/identity")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-run")
        yield fake, Hub(endpoint, store.new_token("curator", "write"))


def test_each_repository_is_written_by_its_own_token(identities):
    fake, hub = identities
    for repo, kind in (("ggez-hub/index", "dataset"), ("ggez-hub/merged", "model")):
        may_write = write_access(hub, repo, kind)
        assert may_write.reason == "trusted publisher"
        ensure_repo(may_write.hub, repo, private=False, repo_type=kind)
        commit(may_write.hub, repo, {"a.txt": b"a"}, "Add", repo_type=kind)
    assert fake.audience == hub.endpoint
    assert [asked["resource"] for asked in fake.exchanges] == list(fake.publishers)
    assert fake.writes == list(fake.publishers.items())


def test_where_there_is_no_publisher_the_own_token_writes(identities):
    fake, hub = identities
    for repo in ("ggez-hub/plain", "ggez-hub/new"):
        may_write = write_access(hub, repo)
        assert may_write.hub == hub
        assert may_write.reason.startswith("HF_TOKEN: no trusted publisher (")
        ensure_repo(may_write.hub, repo, private=False)
        commit(may_write.hub, repo, {"a.txt": b"a"}, "Add")
    assert {token for _, token in fake.writes} == {hub.token}


def test_without_an_identity_nothing_is_asked(identities, monkeypatch):
    fake, hub = identities
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_URL")
    assert write_access(hub, "ggez-hub/merged").reason == "HF_TOKEN"
    assert fake.exchanges == []


def test_another_hub_never_sees_the_identity(identities):
    fake, _ = identities
    assert write_access(Hub("https://elsewhere.test", "t"), "ggez-hub/merged").reason == "HF_TOKEN"
    assert fake.exchanges == []
