"""Uploads and downloads by Xet: the client as it is installed, over HTTP, and what the hub refuses."""

import hashlib
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hf_xet
import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, constants, hf_hub_download

from ggez_hub.embedded.lfs import LIFETIME
from ggez_hub.embedded.xet import hashing
from ggez_hub.embedded.xet.shard import FileInfo, Term, parse
from ggez_hub.embedded.xet.xorb import unpack

from .test_xet_formats import FILES, packed, sent


@pytest.fixture(autouse=True)
def _xet(monkeypatch, tmp_path):
    """The client with nothing switched off, and with a cache of its own."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet"))
    monkeypatch.setattr("huggingface_hub.utils.are_progress_bars_disabled", lambda *_: True)
    monkeypatch.setattr("huggingface_hub.utils._xet.XET_CONNECTION_INFO_CACHE", {})
    monkeypatch.setattr(
        "huggingface_hub.utils._xet._GLOBAL_XET_HOLDER",
        type("Holder", (), {"get": lambda self: hf_xet.XetSession()})(),
    )


def noise(seed, size):
    return random.Random(seed).randbytes(size)  # noqa: S311 - content, not a secret


def upload(api, repo, content, name="model.safetensors", **options):
    return api.upload_file(path_or_fileobj=content, path_in_repo=name, repo_id=repo, **options)


def download(api, repo, folder, name="model.safetensors"):
    """What a client that speaks Xet, and one that does not, get."""
    options = {"endpoint": api.endpoint, "token": api.token}
    by_xet = hf_hub_download(repo, name, cache_dir=folder / "xet-files", **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        plain = hf_hub_download(repo, name, cache_dir=folder / "plain-files", **options)
    assert Path(by_xet).read_bytes() == Path(plain).read_bytes()
    return Path(by_xet).read_bytes()


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def request_as(hub):
    """A request to the hub by somebody."""

    def ask(method, path, who="alice", **options):
        headers = bearer(hub.tokens[who]) if who else {}
        headers |= options.pop("headers", {})
        return httpx2.request(method, hub.endpoint + path, headers=headers, **options)

    return ask


class Cas:
    """The protocol as one token opens it."""

    def __init__(self, answer):
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert answer.headers["X-Xet-Cas-Url"] == document["casUrl"]
        assert answer.headers["X-Xet-Access-Token"] == document["accessToken"]
        assert answer.headers["X-Xet-Token-Expiration"] == str(document["exp"])
        assert 0 <= time.time() + LIFETIME - document["exp"] < 60
        self.url, self.token = document["casUrl"], document["accessToken"]

    def ask(self, method, path, headers=None, **options):
        headers = bearer(self.token) | (headers or {})
        return httpx2.request(method, self.url + path, headers=headers, **options)

    def send_xorb(self, data, digest):
        return self.ask("POST", f"/v1/xorbs/default/{hashing.to_hex(digest)}", content=data)


@pytest.fixture
def cas(request_as):
    def open_cas(repo, right="write", who="alice", revision="main"):
        path = f"/api/models/{repo}/xet-{right}-token/{revision}"
        return Cas(request_as("GET", path, who))

    return open_cas


def xorbs(store):
    return {path.name for path in (store.root / "xet").glob("??/??/*")}


def test_a_file_goes_by_xet_and_comes_by_every_way(hub, api, repo, request_as, tmp_path):
    content = noise(1, 3_000_000) + b"again " * 200_000
    before = xorbs(hub.store)
    upload(api, repo, content)
    digest = hashlib.sha256(content).hexdigest()
    assert not hub.store.lfs.path(digest).exists()
    (new,) = xorbs(hub.store) - before
    assert download(api, repo, tmp_path) == content
    (entry,) = api.get_paths_info(repo, "model.safetensors")
    assert (entry.lfs.sha256, entry.lfs.size) == (digest, len(content))
    address = f"/{repo}/resolve/main/model.safetensors"
    head = request_as("HEAD", address)
    assert head.headers["X-Xet-Hash"] == entry.xet_hash
    assert int(head.headers["Content-Length"]) == len(content)
    assert head.links["xet-auth"]["url"].endswith(
        f"/xet-read-token/{head.headers['X-Repo-Commit']}"
    )
    ends = (
        (0, 0),
        (5, 70_000),
        (2_999_999, 3_000_001),
        (100_000, 2_500_000),
        (len(content) - 1, 9**9),
    )
    for start, end in ends:
        part = request_as("GET", address, headers={"Range": f"bytes={start}-{end}"})
        assert part.status_code == 206
        assert part.content == content[start : end + 1]
        last = min(end, len(content) - 1)
        assert part.headers["Content-Range"] == f"bytes {start}-{last}/{len(content)}"
    assert request_as("GET", address, headers={"Range": "bytes=-3"}).content == content[-3:]
    outside = request_as("GET", address, headers={"Range": f"bytes={len(content)}-"})
    assert (outside.status_code, outside.content) == (416, b"")
    batch = request_as(
        "POST",
        f"/{repo}.git/info/lfs/objects/batch",
        json={"operation": "download", "objects": [{"oid": digest, "size": len(content)}]},
    )
    (large,) = batch.json()["objects"]
    assert httpx2.get(large["actions"]["download"]["href"]).content == content
    assert len((hub.store.root / "xet" / new[:2] / new[2:4] / new).read_bytes()) < 3_100_000


def test_a_file_that_came_by_lfs_is_found_by_a_client_that_speaks_xet(hub, api, repo, tmp_path):
    content = noise(2, 300_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        upload(api, repo, content)
    assert download(api, repo, tmp_path) == content
    # Then it comes by Xet as well, elsewhere.
    other = f"{repo}-other"
    api.create_repo(other)
    upload(api, other, content)
    assert download(api, other, tmp_path / "other") == content
    api.delete_repo(other)
    assert download(api, repo, tmp_path / "after") == content


def test_many_files_in_one_commit(hub, api, repo, tmp_path):
    contents = {f"{number}.bin": b"\0" + noise(number, 1 + number * 9_000) for number in range(40)}
    api.create_commit(
        repo,
        [CommitOperationAdd(name, content) for name, content in contents.items()],
        commit_message="Add many",
    )
    folder = Path(api.snapshot_download(repo, cache_dir=tmp_path / "files"))
    assert {path.name: path.read_bytes() for path in folder.glob("*.bin")} == contents


def test_what_files_share_is_sent_and_stored_once(hub, api, repo, new_id, tmp_path, monkeypatch):
    content = noise(3, 4_000_000)
    changed = content[:2_000_000] + b"a few new bytes" + content[2_000_000:]
    upload(api, repo, content)
    before = xorbs(hub.store)
    other = new_id()
    api.create_repo(other)
    # Somebody else's client, which remembers nothing: only the hub can tell it.
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "elsewhere"))
    upload(api, other, changed)
    new = [
        hub.store.root / "xet" / name[:2] / name[2:4] / name for name in xorbs(hub.store) - before
    ]
    assert 0 < sum(path.stat().st_size for path in new) < 400_000
    assert download(api, other, tmp_path) == changed
    # And the second survives the first.
    api.delete_repo(repo)
    assert download(api, other, tmp_path / "after") == changed


def test_a_deleted_repo_takes_its_xorbs_along_and_clients_forget_them(hub, api, new_id, tmp_path):
    content = noise(4, 500_000)
    first, second = new_id(), new_id()
    before = xorbs(hub.store)
    for repo in (first, second):
        api.create_repo(repo)
        upload(api, repo, content)
    assert xorbs(hub.store) - before
    api.delete_repo(first)
    assert xorbs(hub.store) - before
    api.delete_repo(second)
    assert not xorbs(hub.store) - before
    for repo in (first, second):
        api.create_repo(repo)
        upload(api, repo, content)
        assert download(api, repo, tmp_path / repo) == content


def test_a_large_file_is_copied_to_another_repo_without_a_transfer(
    hub, api, repo, new_id, tmp_path
):
    content, other = noise(11, 300_000), new_id()
    upload(api, repo, content, "data/model.safetensors")
    api.create_repo(other, repo_type="dataset")
    before = xorbs(hub.store)
    api.copy_files(f"hf://{repo}/data/", f"hf://datasets/{other}/copied/")
    assert xorbs(hub.store) == before
    api.delete_repo(repo)
    options = {"repo_type": "dataset", "cache_dir": tmp_path / "files"}
    found = api.hf_hub_download(other, "copied/model.safetensors", **options)
    assert Path(found).read_bytes() == content


def test_who_may_copy_large_files(hub, api, repo, secret_repo, request_as):
    upload(api, secret_repo, noise(12, 1000), "secret.bin")
    (entry,) = api.get_paths_info(secret_repo, "secret.bin")
    body = {"target": {"type": "model", "name": repo}, "files": [{"sha256": entry.lfs.sha256}]}

    def status(source, who, target=repo):
        answer = request_as(
            "POST",
            f"/api/models/{source}/lfs-files/duplicate",
            who,
            json=body | {"target": {"type": "model", "name": target}},
        )
        return answer.status_code, len(answer.json().get("failed", []))

    assert status(secret_repo, "bob") == (404, 0)
    assert status(secret_repo, "reader") == (403, 0)
    assert status(repo, "bob") == (403, 0)
    assert status(repo, "bob", secret_repo) == (404, 0)
    assert status(repo, "alice") == (200, 1)
    assert status(secret_repo, "alice") == (200, 0)


def test_an_upload_to_a_pull_request(hub, api, repo, tmp_path):
    bob, content = hub.api("bob"), noise(5, 100_000)
    pull = upload(bob, repo, content, create_pr=True)
    assert pull.pr_num
    found = hf_hub_download(
        *(repo, "model.safetensors"),
        revision=f"refs/pr/{pull.pr_num}",
        endpoint=hub.endpoint,
        cache_dir=tmp_path / "files",
    )
    assert Path(found).read_bytes() == content
    upload(bob, repo, content[1:], revision=f"refs/pr/{pull.pr_num}")


# Tokens


def test_who_gets_a_token(hub, api, repo, secret_repo, request_as):
    def status(repo, right, who, revision="main", query=""):
        path = f"/api/models/{repo}/xet-{right}-token/{revision}{query}"
        answer = request_as("GET", path, who)
        return answer.status_code, answer.headers.get("X-Error-Code")

    api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo)
    assert status(repo, "read", None) == status(repo, "read", "bob") == (200, None)
    assert status(repo, "write", None)[0] == 401
    assert status(repo, "write", "bob")[0] == status(repo, "write", "reader")[0] == 403
    # Whoever may propose changes may bring the files for them.
    assert status(repo, "write", "bob", "None", "?create_pr=1")[0] == 200
    assert status(repo, "read", "alice", "absent") == (404, "RevisionNotFound")
    for right in ("read", "write"):
        assert status(secret_repo, right, "bob") == (404, "RepoNotFound")
        assert status(secret_repo, right, None) == (401, "RepoNotFound")
        assert status(secret_repo, right, "alice")[0] == 200


def test_a_token_is_for_one_repo_and_one_right(hub, api, repo, secret_repo, cas):
    api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo)
    reader, writer, secret = cas(repo, "read"), cas(repo), cas(secret_repo)
    shard = sent("hf_xet", "shard")
    digest = parse(shard).xorbs[0].hash
    assert reader.send_xorb(sent("hf_xet", "xorb"), digest).status_code == 403
    assert reader.ask("POST", "/v1/shards", content=shard).status_code == 403
    mixed = Cas.__new__(Cas)
    mixed.url, mixed.token = secret.url, writer.token
    assert mixed.send_xorb(sent("hf_xet", "xorb"), digest).status_code == 403
    forged = (
        "xet",
        reader.token.replace("read", "write"),
        writer.token[:-1] + ("0" if writer.token[-1] != "0" else "1"),
        hub.tokens["alice"],
    )
    for token in forged:
        mixed.url, mixed.token = writer.url, token
        assert mixed.send_xorb(sent("hf_xet", "xorb"), digest).status_code == 401
    assert writer.send_xorb(sent("hf_xet", "xorb"), digest).json() == {"was_inserted": True}


def test_a_token_expires_and_loses_its_right_with_its_owner(hub, api, repo, cas, monkeypatch):
    api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo)
    absent = "/v1/reconstructions/" + "0" * 64
    bobs = cas(repo, "read", "bob")
    assert bobs.ask("GET", absent).status_code == 404
    api.update_repo_settings(repo, private=True)
    assert bobs.ask("GET", absent).status_code == 401
    mine = cas(repo, "read")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + LIFETIME + 2)
    assert mine.ask("GET", absent).status_code == 401


# False statements


@pytest.fixture
def fresh(cas, repo):
    """The protocol of a repo that has the xorb of hf_xet's upload, and the shard that goes with it."""
    opened = cas(repo)
    shard = parse(sent("hf_xet", "shard"))
    assert opened.send_xorb(sent("hf_xet", "xorb"), shard.xorbs[0].hash).status_code == 200
    return opened


def patched(places):
    data = bytearray(sent("hf_xet", "shard"))
    for place in places:
        data[place] ^= 1
    return bytes(data)


_TERMS = len(parse(sent("hf_xet", "shard")).files[0].terms)
_PROOFS = 96 + 48 * _TERMS
_SHA256 = _PROOFS + 48 * _TERMS


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    "place",
    {
        "hash of the file": 48,
        "xorb of a term": 96,
        "length of a term": 132,
        "first chunk": 136,
        "last chunk": 140,
        "proof": _PROOFS,
        "sha256": _SHA256,
        "chunk of a xorb": -96,
    }.items(),
    ids=lambda place: place[0].replace(" ", "-"),
)
def test_a_shard_that_is_false_is_refused(hub, fresh, repo, place, version):
    answer = fresh.ask("POST", f"/{version}/shards", content=patched([place[1]]))
    if place[0] == "sha256" and version == "v2":
        assert answer.status_code == 200
        error = answer.json()
        assert (error["type"], error["retryable"]) == ("error", False)
        assert "sha256" in error["message"]
    else:
        assert answer.status_code == 400
        assert answer.json()["error"]
    record = hub.store.repo("model", repo)
    oids = [file.sha256 for file in parse(sent("hf_xet", "shard")).files]
    assert not hub.store.catalog.linked(record, oids)
    assert not hub.store.catalog.used_storage(record)


def test_a_true_shard_is_taken_twice(hub, fresh, repo):
    for _ in range(2):
        answer = fresh.ask("POST", "/v1/shards", content=sent("hf_xet", "shard"))
        assert answer.json() == {"result": 1}
        answer = fresh.ask("POST", "/v2/shards", content=sent("hf_xet", "shard"))
        assert answer.json() == {"type": "result"}
    record = hub.store.repo("model", repo)
    assert hub.store.catalog.used_storage(record) == sum(map(len, FILES))


def test_a_xorb_that_is_false_is_not_stored(hub, cas, repo):
    opened, before = cas(repo), xorbs(hub.store)
    digest = hashing.hash_xorb([(hashing.hash_chunk(b"one"), 3), (hashing.hash_chunk(b"two"), 3)])
    for data in (
        packed(b"one"),
        packed(b"two") + packed(b"one"),
        packed(b"one") + packed(b"two")[:-1],
    ):
        assert opened.send_xorb(data, digest).status_code == 400
    assert opened.ask("POST", "/v1/xorbs/default/short", content=b"").status_code == 400
    assert xorbs(hub.store) == before
    assert not list((hub.store.root / "xet" / "incoming").iterdir())
    name = hashing.to_hex(digest)
    assert opened.ask("POST", f"/v1/xorb-grants/default/{name}").status_code == 404
    assert opened.send_xorb(packed(b"one") + packed(b"two"), digest).status_code == 200
    assert opened.ask("POST", f"/v1/xorb-grants/default/{name}").status_code == 200


def test_a_shard_may_not_refer_to_what_others_brought(hub, api, secret_repo, repo, cas):
    secrets = cas(secret_repo)
    shard = sent("hf_xet", "shard")
    assert secrets.send_xorb(sent("hf_xet", "xorb"), parse(shard).xorbs[0].hash).status_code == 200
    assert secrets.ask("POST", "/v1/shards", content=shard).status_code == 200
    assert cas(repo).ask("POST", "/v1/shards", content=shard).status_code == 400


# Deduplication


def test_chunks_of_others_stay_secret(hub, api, secret_repo, repo, cas):
    content = noise(6, 200_000)
    upload(api, secret_repo, content)
    (entry,) = api.get_paths_info(secret_repo, "model.safetensors")
    file = hub.store.xet.catalog.file(entry.lfs.sha256)
    index = hub.store.xet.index(file.terms[0].xorb)
    known, unknown = hashing.to_hex(index.hashes(0, 1)[0]), "1" * 64

    def ask(opened, chunk):
        answer = opened.ask("GET", f"/v1/chunks/default/{chunk}")
        return answer.status_code, answer.content

    bobs = f"bob/{repo.partition('/')[2]}"
    hub.api("bob").create_repo(bobs)
    stranger = cas(bobs, "write", "bob")
    assert ask(stranger, known) == ask(stranger, unknown)
    assert ask(stranger, known)[0] == 404
    # With a token to read one learns of that repo alone, with one to write of all that one may read.
    api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo)
    assert ask(cas(repo, "read"), known)[0] == 404
    assert ask(cas(secret_repo, "read"), known)[0] == 200
    status, shard = ask(cas(repo), known)
    assert status == 200
    assert not any(digest in shard for digest in index.hashes(0, len(index)))
    assert hub.store.xet.catalog.use(
        hub.store.repo("model", repo), hashing.to_hex(file.terms[0].xorb)
    )


# Reconstruction


def rebuilt(info, content_of):
    """The file that a reconstruction describes; `content_of` fetches a range of a xorb."""
    found = b""
    for term in info["terms"]:
        parts = info["fetch_info"][term["hash"]]
        (part,) = [
            part
            for part in parts
            if part["range"]["start"] <= term["range"]["start"]
            and part["range"]["end"] >= term["range"]["end"]
        ]
        data, chunks = content_of(part), []
        while data:
            length = 8 + int.from_bytes(data[1:4], "little")
            chunks.append(unpack(data[:length]))
            data = data[length:]
        first = part["range"]["start"]
        wanted = chunks[term["range"]["start"] - first : term["range"]["end"] - first]
        assert sum(map(len, wanted)) == term["unpacked_length"]
        found += b"".join(wanted)
    return found


def fetch(part):
    span = "bytes={start}-{end}".format(**part["url_range"])
    answer = httpx2.get(part["url"], headers={"Range": span})
    assert answer.status_code == 206
    return answer.content


@pytest.fixture
def uploaded(api, repo):
    # What comes again is one chunk of one xorb, in several terms.
    content = FILES[0] + noise(7, 1_000_000) + FILES[0]
    upload(api, repo, content)
    (entry,) = api.get_paths_info(repo, "model.safetensors")
    return content, entry.xet_hash


def test_reconstructions_of_files_and_of_their_ranges(hub, uploaded, repo, cas):
    content, digest = uploaded
    opened = cas(repo, "read")
    info = opened.ask("GET", f"/v1/reconstructions/{digest}").json()
    assert info["offset_into_first_range"] == 0
    assert rebuilt(info, fetch) == content
    size = len(content)
    for start, end in (
        (0, 1),
        (70_000, 80_000),
        (39_999, size - 1),
        (size - 5, size + 5),
        (900_000, 900_001),
    ):
        answer = opened.ask(
            "GET", f"/v1/reconstructions/{digest}", headers={"Range": f"bytes={start}-{end - 1}"}
        )
        part = answer.json()
        skip = part["offset_into_first_range"]
        assert rebuilt(part, fetch)[skip : skip + end - start] == content[start:end]
        assert skip <= 128 << 10
    outside = opened.ask(
        "GET", f"/v1/reconstructions/{digest}", headers={"Range": f"bytes={size}-{size + 1}"}
    )
    assert outside.status_code == 416
    assert opened.ask("GET", "/v1/reconstructions/xyz").status_code == 400
    other = opened.ask("GET", f"/v2/reconstructions/{digest}").json()
    assert other["terms"] == info["terms"]
    again = {
        name: [
            {"range": found["ranges"][0]["chunks"], "url_range": found["ranges"][0]["bytes"]}
            for found in parts
        ]
        for name, parts in other["xorbs"].items()
    }
    for parts in info["fetch_info"].values():
        for part in parts:
            del part["url"]
    assert again == info["fetch_info"]


def test_reconstructions_of_several_files_at_once(hub, api, uploaded, repo, cas):
    content, first = uploaded
    upload(api, repo, content[::-1], "other.bin")
    (entry,) = api.get_paths_info(repo, "other.bin")
    query = f"file_id={first}&file_id={entry.xet_hash}"
    answer = cas(repo, "read").ask("GET", f"/v1/reconstructions?{query}").json()
    for digest, expected in ((first, content), (entry.xet_hash, content[::-1])):
        info = {"terms": answer["files"][digest], "fetch_info": answer["fetch_info"]}
        assert rebuilt(info, fetch) == expected


def test_a_file_is_known_to_its_repo_alone(hub, api, uploaded, secret_repo, cas):
    api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=secret_repo)
    answer = cas(secret_repo, "read").ask("GET", f"/v1/reconstructions/{uploaded[1]}")
    assert answer.status_code == 404


def test_an_address_is_for_its_range_and_expires(hub, uploaded, repo, cas, monkeypatch):
    info = cas(repo, "read").ask("GET", f"/v1/reconstructions/{uploaded[1]}").json()
    part = next(iter(info["fetch_info"].values()))[0]
    first, last = part["url_range"]["start"], part["url_range"]["end"]

    def status(url, span):
        return httpx2.get(url, headers={"Range": span} if span else {}).status_code

    assert status(part["url"], f"bytes={first}-{last}") == 206
    for span in (None, f"bytes={first}-{last + 1}", f"bytes={first}-{last - 1}", f"bytes={first}-"):
        assert status(part["url"], span) == 403
    wider = part["url"].replace(f"-{last}&", f"-{last + 9}&")
    assert wider != part["url"]
    assert status(wider, f"bytes={first}-{last + 9}") == 403
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + LIFETIME + 2)
    assert status(part["url"], f"bytes={first}-{last}") == 403


def test_uploads_at_once_of_the_same_and_of_other_content(hub, api, repo, tmp_path):
    contents = [noise(8, 400_000), noise(8, 400_000), noise(9, 400_000), noise(10, 400_000)]

    def send(number):
        upload(hub.api(), repo, contents[number], f"{number}.bin", revision="main")

    api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=repo)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(4)))
    for number, content in enumerate(contents):
        assert download(api, repo, tmp_path / str(number), f"{number}.bin") == content


def test_a_file_may_not_be_larger_than_the_hub_takes(hub, fresh, monkeypatch):
    file = FileInfo(bytes(32), (Term(bytes(32), 1 << 31, 0, 1),) * 64, "0" * 64)
    data = sent("hf_xet", "shard")
    huge = bytearray(file.encode())
    huge[32:36] = (3 << 30).to_bytes(4, "little")
    huge[-48:-48] = bytes(48 * 64)
    answer = fresh.ask("POST", "/v1/shards", content=data[:48] + bytes(huge) + data[48:])
    assert answer.status_code == 413
