"""A hub behind a proxy, and one that web pages call."""

import socket

import httpx2
import pytest

from ggez_hub.embedded import Network
from ggez_hub.embedded.errors import InvalidRequestError
from ggez_hub.embedded.server import Server

from ..worlds import running


def served(store, network):
    return running(Server(store, network=network))


@pytest.fixture
def public(store):
    """A store with two repos."""
    for name in ("one", "two"):
        store.create_repo("model", f"acme/{name}")
    return store


def addresses(endpoint, token, headers=None):
    """The addresses in the answers of a hub: of an upload by LFS, by Xet, and of a next page."""
    headers = {"Authorization": f"Bearer {token}"} | (headers or {})
    with httpx2.Client(base_url=endpoint, headers=headers) as client:
        body = {"operation": "upload", "objects": [{"oid": "0" * 64, "size": 5}]}
        batch = client.post("/acme/one.git/info/lfs/objects/batch", json=body).json()
        cas = client.get("/api/models/acme/one/xet-write-token/main").json()
        page = client.get("/api/models?limit=1")
    return (
        batch["objects"][0]["actions"]["upload"]["href"],
        cas["casUrl"],
        page.links["next"]["url"],
    )


def test_addresses_begin_with_the_public_one(public):
    with served(public, Network(public_url="https://hub.example.org")) as endpoint:
        for address in addresses(endpoint, public.owner_token()):
            assert address.startswith("https://hub.example.org/")


def test_the_scheme_of_a_trusted_proxy_is_believed_and_no_other(public):
    forwarded = {"X-Forwarded-Proto": "https", "Host": "hub.example.org"}
    for proxies, scheme in ((("127.0.0.1",), "https"), (("192.0.2.1",), "http"), ((), "http")):
        network = Network(proxies=proxies, hosts=("hub.example.org",))
        with served(public, network) as endpoint:
            for address in addresses(endpoint, public.owner_token(), forwarded):
                assert address.startswith(f"{scheme}://hub.example.org/")


def test_web_pages_that_may_call_the_hub(public):
    page = {"Origin": "https://page.example.org"}
    asked = page | {
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization,range",
    }
    path = "/api/models/acme/one"
    for origins, allowed in ((("https://page.example.org",), True), (("*",), True), ((), False)):
        with served(public, Network(origins=origins)) as endpoint:
            answer = httpx2.get(endpoint + path, headers=page)
            assert ("Access-Control-Allow-Origin" in answer.headers) == allowed
            preflight = httpx2.options(endpoint + path, headers=asked)
            assert (preflight.status_code == 200) == allowed


def test_a_page_whose_name_was_made_to_lead_here_is_refused(public):
    """DNS rebinding: the name is the page's own, and the address that of the hub."""
    own = socket.gethostname()
    network = Network(public_url="https://hub.example.org", hosts=("GPU-1",))
    with served(public, network) as endpoint:
        path = endpoint + "/api/models/acme/one"
        for name in ("127.0.0.1", "localhost:8000", "[::1]:80", "10.0.0.1", "gpu-1:8000", own):
            assert httpx2.get(path, headers={"Host": name}).status_code == 200
        assert httpx2.get(path, headers={"Host": "HUB.example.org"}).status_code == 200
        for name in ("evil.example.org", "evil.example.org:8000", "localhost.evil.org", "a]b", "@"):
            answer = httpx2.get(path, headers={"Host": name})
            assert answer.status_code == 421
            assert "--allowed-host" in answer.json()["error"]
            assert "X-Request-Id" in answer.headers


@pytest.mark.parametrize("address", ["hub.example.org", "ftp://hub", "https://", "https://a/b"])
def test_a_public_address_is_checked(address):
    with pytest.raises(InvalidRequestError, match="public address"):
        Network(public_url=address)
