"""`git clone` and `git fetch` over HTTP, with git itself."""

import gzip
import hashlib
import os
import shutil
import subprocess

import httpx2
import pytest

GIT = shutil.which("git")

pytestmark = pytest.mark.skipif(GIT is None, reason="needs git")


@pytest.fixture(autouse=True)
def _no_prompt(monkeypatch):
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")
    monkeypatch.setenv("GIT_ASKPASS", "true")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture(autouse=True, params=["git", "dulwich"])
def server(request, monkeypatch):
    """What answers git in the hub: git itself, or dulwich where it is not installed."""
    found = GIT if request.param == "git" else None
    monkeypatch.setattr("ggez_hub.embedded.http.git_routes.find_git", lambda: found)
    return request.param


def git(*arguments, cwd=None):
    return subprocess.run(
        [GIT, *map(str, arguments)], cwd=cwd, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def filled(api, repo):
    api.upload_file(path_or_fileobj=b"hello\n", path_in_repo="a/b.txt", repo_id=repo)
    api.upload_file(path_or_fileobj=b"\0large", path_in_repo="x.bin", repo_id=repo)
    api.create_tag(repo, tag="v1", tag_message="First")
    api.create_branch(repo, branch="next")
    return repo


@pytest.mark.parametrize("suffix", ["", ".git"])
def test_clone(hub, api, filled, tmp_path, suffix):
    git("clone", "-q", f"{hub.endpoint}/{filled}{suffix}", tmp_path / "clone")
    assert (tmp_path / "clone/a/b.txt").read_text() == "hello\n"
    assert (tmp_path / "clone/x.bin").read_text().startswith("version https://git-lfs")
    head = git("rev-parse", "HEAD", cwd=tmp_path / "clone").strip()
    assert head == api.model_info(filled).sha
    assert git("tag", cwd=tmp_path / "clone").split() == ["v1"]
    assert "origin/next" in git("branch", "-r", cwd=tmp_path / "clone")
    git("fsck", "--strict", cwd=tmp_path / "clone")


def test_fetch_what_is_new(hub, api, filled, tmp_path):
    git("clone", "-q", f"{hub.endpoint}/{filled}", tmp_path)
    api.upload_file(path_or_fileobj=b"new\n", path_in_repo="new.txt", repo_id=filled)
    api.upload_file(path_or_fileobj=b"pr\n", path_in_repo="pr.txt", repo_id=filled, create_pr=True)
    git("pull", "-q", cwd=tmp_path)
    assert (tmp_path / "new.txt").read_text() == "new\n"
    git("fetch", "-q", "origin", "refs/pr/1", cwd=tmp_path)
    assert git("show", "FETCH_HEAD:pr.txt", cwd=tmp_path) == "pr\n"


def test_a_shallow_clone(hub, filled, tmp_path):
    git("clone", "-q", "--depth", "1", f"{hub.endpoint}/{filled}", tmp_path / "clone")
    assert git("rev-list", "--count", "HEAD", cwd=tmp_path / "clone").strip() == "1"


def test_a_clone_without_contents_and_a_fetch_of_one_commit(hub, api, filled, tmp_path, server):
    if server == "dulwich":
        pytest.skip("dulwich does neither")
    address = f"{hub.endpoint}/{filled}"
    git("clone", "-q", "--bare", "--filter=blob:none", address, tmp_path / "partial")
    missing = git("rev-list", "--objects", "--missing=print", "--all", cwd=tmp_path / "partial")
    assert "?" in missing
    older = api.list_repo_commits(filled)[1].commit_id
    git("init", "-q", tmp_path / "one")
    git("fetch", "-q", "--depth", "1", address, older, cwd=tmp_path / "one")
    assert git("rev-parse", "FETCH_HEAD", cwd=tmp_path / "one").strip() == older


def test_datasets_and_many_objects(hub, api, new_id, tmp_path):
    repo = new_id()
    api.create_repo(repo, repo_type="dataset")
    (tmp_path / "in").mkdir()
    for number in range(300):
        (tmp_path / f"in/{number}.txt").write_text(os.urandom(1000).hex())
    api.upload_folder(folder_path=tmp_path / "in", repo_id=repo, repo_type="dataset")
    git("clone", "-q", f"{hub.endpoint}/datasets/{repo}", tmp_path / "clone")
    for number in range(300):
        name = f"{number}.txt"
        assert (tmp_path / "clone" / name).read_bytes() == (tmp_path / "in" / name).read_bytes()


def test_a_private_repo_needs_the_token(hub, secret_repo, tmp_path):
    address = f"{hub.endpoint}/{secret_repo}"
    with pytest.raises(subprocess.CalledProcessError):
        git("clone", "-q", address, tmp_path / "nobody")
    withtoken = address.replace("http://", f"http://alice:{hub.tokens['reader']}@")
    git("clone", "-q", withtoken, tmp_path / "alice")
    assert (tmp_path / "alice/a.txt").read_text() == "hidden"


def test_nothing_can_be_pushed(hub, filled, tmp_path):
    address = f"{hub.endpoint}/{filled}".replace("http://", f"http://alice:{hub.tokens['alice']}@")
    git("clone", "-q", address, tmp_path)
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    git(*identity, "commit", "-q", "--allow-empty", "-m", "x", cwd=tmp_path)
    with pytest.raises(subprocess.CalledProcessError) as failure:
        git("push", "-q", cwd=tmp_path)
    assert f"remote error: this hub takes no pushes: send files with `hf upload {filled}" in (
        failure.value.stderr
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"0000",
        b"zzzz",
        b"0032want " + b"0" * 40 + b"\n00000009done\n",
        b"\xff" * 100,
        b"0004" * 9,
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_no_request_of_git(hub, filled, body, packed):
    answer = httpx2.post(
        f"{hub.endpoint}/{filled}/git-upload-pack",
        content=gzip.compress(body) if packed else body,
        headers={"Content-Encoding": "gzip"} if packed else {},
    )
    assert answer.status_code in {200, 400}


def test_a_request_that_unpacks_without_end(hub, filled):
    bomb = gzip.compress(b"0" * (20 << 20))
    answer = httpx2.post(
        f"{hub.endpoint}/{filled}/git-upload-pack",
        content=bomb,
        headers={"Content-Encoding": "gzip"},
    )
    assert answer.status_code == 413
    answer = httpx2.post(
        f"{hub.endpoint}/{filled}/git-upload-pack",
        content=b"not gzip",
        headers={"Content-Encoding": "gzip"},
    )
    assert answer.status_code == 400


def test_lfs_downloads_for_git_lfs(hub, filled):
    oid = hashlib.sha256(b"\0large").hexdigest()
    objects = [{"oid": oid, "size": 6}, {"oid": "0" * 64, "size": 1}]
    answer = httpx2.post(
        f"{hub.endpoint}/{filled}.git/info/lfs/objects/batch",
        json={"operation": "download", "transfers": ["basic"], "objects": objects},
    ).json()
    held, absent = answer["objects"]
    href = held["actions"]["download"]["href"]
    assert httpx2.get(href).content == b"\0large"
    assert absent["error"]["code"] == 404
    assert httpx2.put(href, content=b"\0large").status_code == 403
    assert httpx2.get(href.replace("signature=", "signature=0")).status_code == 403


def test_lfs_download_addresses_expire(hub, filled, monkeypatch):
    monkeypatch.setattr("ggez_hub.embedded.lfs.LIFETIME", -1)
    objects = [{"oid": hashlib.sha256(b"\0large").hexdigest(), "size": 6}]
    answer = httpx2.post(
        f"{hub.endpoint}/{filled}.git/info/lfs/objects/batch",
        json={"operation": "download", "objects": objects},
    ).json()
    response = httpx2.get(answer["objects"][0]["actions"]["download"]["href"])
    assert response.status_code == 403
    assert "expired" in response.json()["error"]
