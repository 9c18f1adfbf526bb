"""Counts for who keeps the hub, and for nobody else."""

import httpx2
import pytest

from ggez_hub.embedded.http.app import create_app
from ggez_hub.embedded.http.network import Network
from ggez_hub.embedded.store import HubStore

from .. import worlds


def values(text):
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def test_requests_bytes_and_repos_are_counted(hub, api, repo):
    address = f"{hub.endpoint}/metrics"
    before = values(httpx2.get(address).text)
    # Others may have brought the same file.
    own = repo.encode().rjust(5000, b"\0")
    api.upload_file(path_or_fileobj=own, path_in_repo="a.bin", repo_id=repo)
    httpx2.get(f"{hub.endpoint}/{repo}/resolve/main/a.bin")
    httpx2.request("BREW", hub.endpoint)
    answer = httpx2.get(address)
    assert answer.headers["content-type"].startswith("text/plain; version=")
    after = values(answer.text)
    gained = {name: after[name] - before.get(name, 0) for name in after}
    assert gained["hub_sent_bytes_total"] > 5000 < gained["hub_received_bytes_total"]
    assert gained['hub_requests_total{method="other",status="405"}'] == 1
    assert gained["hub_large_files"] == 1
    assert gained["hub_large_file_bytes"] == 5000
    assert after['hub_repositories{type="model"}'] >= 1
    assert after['hub_accounts{kind="user"}'] >= 2
    assert repo not in answer.text


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_who_comes_through_a_proxy_needs_the_token_of_an_administrator(hub, name):
    headers = {name: "203.0.113.9"}
    address = f"{hub.endpoint}/metrics"
    assert httpx2.get(address, headers=headers).status_code == 401
    headers["Authorization"] = f"Bearer {hub.tokens['alice']}"
    assert httpx2.get(address, headers=headers).status_code == 403
    headers["Authorization"] = f"Bearer {hub.store.owner_token()}"
    assert httpx2.get(address, headers=headers).status_code == 200


def test_behind_a_public_address_everybody_needs_it(tmp_path):
    network = Network("https://hub.example.org")
    with HubStore.open(tmp_path) as store:
        server = worlds.serving(store, lambda app: create_app(store, network=network))
        with server as url:
            assert httpx2.get(f"{url}/metrics").status_code == 401
