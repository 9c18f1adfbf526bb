"""Accounts, tokens and quotas that are changed on the command line while the hub serves."""

import json
import os

import httpx2
import pytest
from click.testing import CliRunner
from huggingface_hub import CommitOperationAdd, HfApi, constants
from huggingface_hub.errors import HfHubHTTPError

from ggez_hub.cli.main import cli
from ggez_hub.embedded.garbage import collect
from ggez_hub.embedded.http import commit_routes
from ggez_hub.embedded.xet.hashing import hash_chunk, to_hex

from .conftest import Hub, running_hub
from .test_xet_formats import packed


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with running_hub(tmp_path_factory.mktemp("accounts")) as hub:
        yield hub


@pytest.fixture
def keep(hub):
    """Runs a command of `hub` on the folder of the hub that serves."""

    def run(*words, code=0):
        command = ["hub", *map(str, words), "--root", str(hub.store.root)]
        found = CliRunner().invoke(cli, command)
        assert found.exit_code == code, found.output
        return found.stdout if code == 0 else found.stderr

    return run


def test_a_running_server_takes_users_and_tokens_at_once(hub: Hub, keep):
    keep("user", "add", "carol", "--fullname", "Carol C", "--org", "lab:write")
    made = json.loads(keep("token", "add", "carol", "--scope", "write", "--json"))
    hub.tokens["carol"] = made["token"]
    api = hub.api("carol")
    assert api.whoami()["orgs"][0]["name"] == "lab"
    api.create_repo("lab/one", private=True)
    hub.tokens["carol"] = keep("token", "add", "carol").strip()
    with pytest.raises(HfHubHTTPError, match="scope 'read'"):
        hub.api("carol").create_repo("lab/two")
    listed = json.loads(keep("token", "list", "carol", "--json"))
    assert {token["scope"] for token in listed} == {"read", "write"}
    assert made["token"] not in json.dumps(listed) + (
        hub.store.root / "hub.sqlite3"
    ).read_bytes().decode(errors="replace")
    keep("token", "remove", made["id"])
    with pytest.raises(HfHubHTTPError, match="Invalid"):
        api.whoami()
    assert "no token" in keep("token", "remove", made["id"], code=2)
    assert "no user 'nobody'" in keep("token", "list", "nobody", code=2)


def test_what_is_not_given_stays(hub: Hub, keep):
    keep("user", "add", "dora", "--fullname", "Dora D", "--admin", "--org", "lab")
    keep("user", "add", "dora", "--org", "other:read")
    (dora,) = [
        user for user in json.loads(keep("user", "list", "--json")) if user["name"] == "dora"
    ]
    assert (dora["fullname"], dora["admin"]) == ("Dora D", True)
    assert dora["belongs"] == ["lab:write", "other:read"]
    hub.store.add_account("dora", orgs=["lab"])
    kept = hub.store.database.row("SELECT fullname, admin FROM accounts WHERE name = 'dora'")
    assert kept is not None
    assert tuple(kept) == ("Dora D", 1)
    keep("org", "add", "other", "--private", "--member", "dora:admin", "--member", "bob")
    assert "bob:write dora:admin" in keep("org", "list")
    keep("org", "remove", "other", "--member", "bob")
    assert "is not a member" in keep("org", "remove", "other", "--member", "bob", code=2)
    assert "not a role" in keep("org", "add", "other", "--member", "bob:king", code=2)
    assert "no user" in keep("org", "add", "other", "--member", "nobody", code=2)


def test_who_has_repos_is_not_removed(hub: Hub, keep):
    keep("user", "add", "emil")
    hub.tokens["emil"] = keep("token", "add", "emil", "--scope", "write").strip()
    api = hub.api("emil")
    api.create_repo("emil/a")
    assert "delete or move" in keep("user", "remove", "emil", code=2)
    api.delete_repo("emil/a")
    keep("user", "remove", "emil")
    with pytest.raises(HfHubHTTPError, match="Invalid"):
        api.whoami()
    assert "no user" in keep("user", "remove", "emil", code=2)
    hub.store.owner_token()
    assert "stays" in keep("user", "remove", "local", code=2)


@pytest.mark.parametrize("by_xet", [False, True])
def test_a_quota_is_for_all_that_is_uploaded(hub: Hub, keep, monkeypatch, by_xet):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", not by_xet)
    org = f"small{int(by_xet)}"
    keep("org", "add", org, "--member", "bob", "--quota", "300kB")
    api, repo = hub.api("bob"), f"{org}/a"
    api.create_repo(repo)
    api.upload_file(path_or_fileobj=b"\0" + os.urandom(200_000), path_in_repo="a.bin", repo_id=repo)
    with pytest.raises(Exception, match=f"The quota of {org} is 300000 bytes") as refused:
        api.upload_file(
            path_or_fileobj=b"\0" + os.urandom(210_000), path_in_repo="b.bin", repo_id=repo
        )
    assert "Delete what is not needed" in str(refused.value)
    with pytest.raises(HfHubHTTPError, match="quota"):
        api.upload_file(
            path_or_fileobj=os.urandom(70_000).hex().encode(), path_in_repo="c.txt", repo_id=repo
        )
    if by_xet:
        # A client that does not announce what it sends.
        monkeypatch.setattr(commit_routes, "_check_quota", lambda granted, files: None)
        with pytest.raises(Exception, match="403"):
            api.upload_file(
                path_or_fileobj=b"\0" + os.urandom(200_000), path_in_repo="b.bin", repo_id=repo
            )
    # A deletion is possible whatever is held, and makes room after a collection.
    hub.store.quotas.set(org, 1000, [])
    api.delete_file("a.bin", repo)
    api.super_squash_history(repo)
    collect(hub.store, -1)
    keep("org", "add", org, "--quota", "none")
    api.upload_file(path_or_fileobj=b"\0" + os.urandom(400_000), path_in_repo="b.bin", repo_id=repo)
    held = next(each for each in json.loads(keep("org", "list", "--json")) if each["name"] == org)
    assert 400_000 < held["used"] < 450_000
    assert held["quota"] is None


def test_chunks_count_until_a_file_is_made_of_them(hub: Hub, keep, monkeypatch):
    """A client that sends xorbs and never a file fills no disk: those of a stranger count against themselves."""
    keep("org", "add", "open", "--member", "alice", "--quota", "150kB")
    keep("user", "add", "carol", "--quota", "150kB")
    hub.api("alice").create_repo("open/a")
    carol = HfApi(hub.endpoint, token=hub.store.new_token("carol", "write"))
    for api, account in ((carol, "carol"), (hub.api("alice"), "open")):
        path = f"{hub.endpoint}/api/models/open/a/xet-write-token/main?create_pr=1"
        given = httpx2.get(path, headers=api._build_hf_headers()).json()

        answers = [
            httpx2.post(
                f"{given['casUrl']}/v1/xorbs/default/{to_hex(hash_chunk(chunk))}",
                headers={"Authorization": f"Bearer {given['accessToken']}"},
                content=packed(chunk),
            )
            for chunk in (os.urandom(60_000) for _ in range(3))
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 403]
        refused = answers[-1]
        assert f"The quota of {account}" in refused.json()["error"]
        assert 120_000 < hub.store.quotas.unnamed(account) < 130_000
        assert hub.store.quotas.used(account) == 0
    collect(hub.store, -1)
    assert hub.store.quotas.unnamed("open") == hub.store.quotas.unnamed("carol") == 0
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    data = b"\0" + os.urandom(100_000)
    hub.api("alice").upload_file(path_or_fileobj=data, path_in_repo="a.bin", repo_id="open/a")
    assert hub.store.quotas.unnamed("open") == 0


def test_addresses_that_were_signed_before_do_not_pass_the_quota(hub: Hub, keep):
    keep("org", "add", "tight", "--member", "bob", "--quota", "30kB")
    api = hub.api("bob")
    api.create_repo("tight/a")
    files = [CommitOperationAdd(f"{n}.bin", b"\0" + os.urandom(20_000)) for n in range(2)]
    batch = f"{hub.endpoint}/tight/a.git/info/lfs/objects/batch"
    headers = {"Authorization": f"Bearer {hub.tokens['bob']}"}
    hrefs = []
    for file in files:
        info = file.upload_info
        objects = [{"oid": info.sha256.hex(), "size": info.size}]
        document = {"operation": "upload", "objects": objects}
        answer = httpx2.post(batch, json=document, headers=headers).json()
        hrefs.append(answer["objects"][0]["actions"]["upload"]["href"])
    answers = [
        httpx2.put(href, content=file.path_or_fileobj)
        for href, file in zip(hrefs, files, strict=True)
    ]
    assert [answer.status_code for answer in answers] == [200, 507]


def test_wrong_uses_are_told(tmp_path, keep):
    assert "not a number of bytes" in keep("org", "add", "x", "--quota", "much", code=2)
    assert "reserved" in keep("user", "add", "api", code=2)
    assert "is an organisation" in keep("user", "add", "acme", code=2)
    assert "no user" in keep("token", "add", "nobody", code=2)
    found = CliRunner().invoke(cli, ["hub", "user", "list", "--root", str(tmp_path)])
    assert found.exit_code == 2
    assert "not the folder of a hub" in found.stderr
