"""A hub behind a proxy, and one that web pages call."""

import os
import shutil
import socket
import ssl
import subprocess
import sys

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


def addresses(endpoint, token, headers=None, verify=True):
    """The addresses in the answers of a hub: of an upload by LFS, by Xet, and of a next page."""
    headers = {"Authorization": f"Bearer {token}"} | (headers or {})
    with httpx2.Client(base_url=endpoint, headers=headers, verify=verify) as client:
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


@pytest.fixture
def certificate(tmp_path):
    """A certificate for localhost, and its key."""
    paths = tmp_path / "hub.pem", tmp_path / "hub.key"
    asked = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -days 2"
    )
    command = [*asked.split(), "-out", paths[0], "-keyout", paths[1]]
    subprocess.run(command, check=True, capture_output=True)
    return paths


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_https_by_a_certificate(public, certificate):
    chain, key = certificate
    trusting = ssl.create_default_context(cafile=chain)
    with served(public, Network(certificate=chain, key=key)) as endpoint:
        assert endpoint.startswith("https://127.0.0.1:")
        token = public.owner_token()
        for address in addresses(endpoint, token, verify=trusting):
            assert address.startswith("https://127.0.0.1:")
        with pytest.raises(httpx2.TransportError):
            httpx2.get(endpoint.replace("https:", "http:"))
        # The client, in a process of its own, as the variable is read once.
        script = "from huggingface_hub import HfApi; print(HfApi().model_info('acme/one').id)"
        environment = {
            **os.environ,
            "HF_ENDPOINT": endpoint,
            "HF_TOKEN": token,
            "SSL_CERT_FILE": str(chain),
        }
        command = [sys.executable, "-c", script]
        found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert found.stdout == "acme/one\n"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_files_that_are_not_a_certificate_with_its_key(certificate, tmp_path):
    chain, key = certificate
    locked = tmp_path / "locked.key"
    command = ["openssl", "ec", "-in", key, "-out", locked, "-aes256", "-passout", "pass:x"]
    subprocess.run(command, check=True, capture_output=True)
    for pair in ((key, chain), (chain, None), (chain, locked), (tmp_path / "absent", key)):
        with pytest.raises(InvalidRequestError, match="cannot be used for HTTPS"):
            Network(certificate=pair[0], key=pair[1]).tls()
    with pytest.raises(InvalidRequestError, match="--certificate"):
        Network(key=key).tls()
