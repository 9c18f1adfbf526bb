"""The embedded hub: downloads against `python -m http.server`, transfers by Xet against those by Git LFS, a
list against a bare route of Starlette, a commit of a thousand files against `git commit`.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

from huggingface_hub import CommitOperationAdd, HfApi, constants

from ggez_hub.embedded import HubStore

GIGABYTE = 1 << 30
TRANSFER = 512 << 20
TRANSFERS = 3
REPOS = 1000
FILES = 1000
PYTHON = sys.executable
# A server of the same make whose one route returns a document that it was given.
BARE = """
import json, sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
document = json.load(sys.stdin)
app = Starlette(routes=[Route("/bare", lambda request: JSONResponse(document))])
uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False, http="h11")
"""
SERVE = "from ggez_hub.cli.main import main; main()"


def main() -> None:
    """Run the measurements."""
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "hub"
        with HubStore.open(root) as store:
            token = store.owner_token()
            large = fill(store, Path(name))
        with served(root) as endpoint:
            download(endpoint, large)
            transfers(endpoint, token, Path(name))
            listing(endpoint)
            commit(endpoint, token, root, Path(name))


def fill(store: HubStore, folder: Path) -> Path:
    """A large file, and many repos of which every tenth has the tag that is asked for; the file."""
    source = folder / "large.bin"
    with source.open("wb") as file:
        for _ in range(GIGABYTE >> 20):
            file.write(os.urandom(1 << 20))
    store.create_repo("model", "bench/large")
    put(store, "bench/large", {"large.bin": source})
    source.unlink()
    for number in range(REPOS):
        region = ("th", "vn", "id", "ph", "my", "sg", "mm", "kh", "la", "bn")[number % 10]
        card = f"---\nlicense: mit\ntags: [ggez, 'ggez-region:{region}']\n---\n"
        store.create_repo("model", f"bench/repo-{number}")
        put(store, f"bench/repo-{number}", {"README.md": card.encode()})
    (found,) = (path for path in (store.root / "lfs").glob("??/??/*") if path.is_file())
    return found


def put(store: HubStore, repo: str, files: dict[str, bytes | Path]) -> None:
    """Commit files."""
    store.commit("model", repo, files, message="x", author="a", email="a@example.org", date=0)


@contextmanager
def served(root: Path) -> Iterator[str]:
    """The address of the hub, which runs in a process of its own."""
    command = [PYTHON, "-c", SERVE, "serve", "--root", str(root), "--port", "0"]
    with process(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        yield server.stdout.readline().decode().strip()


@contextmanager
def process(command: list[str], **options: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block."""
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, **options) as running:
        try:
            yield running
        finally:
            running.terminate()


def download(endpoint: str, large: Path) -> None:
    """One gigabyte over loopback, from the hub and from the standard library's file server."""
    port = free_port()
    command = [PYTHON, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with process([*command, "--directory", str(large.parent)], stdout=subprocess.DEVNULL):
        plain = f"http://127.0.0.1:{port}"
        wait_for(port)
        both = pairs(
            lambda: fetch(endpoint, "/bench/large/resolve/main/large.bin"),
            lambda: fetch(plain, f"/{large.name}"),
            runs=9,
        )
    ours, theirs = (statistics.median(side) for side in zip(*both, strict=True))
    ratio = statistics.median(y / x for x, y in both)
    print(
        f"1 GiB download: {1.024**3 / ours:.2f} GB/s, http.server {1.024**3 / theirs:.2f} GB/s: "
        f"ratio {ratio:.2f} (at least 0.5 wanted)"
    )


def fetch(endpoint: str, path: str) -> None:
    """Download a file and forget it."""
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 200
    buffer, total = memoryview(bytearray(1 << 20)), 0
    while count := answer.readinto(buffer):
        total += count
    assert total == GIGABYTE
    connection.close()


def transfers(endpoint: str, token: str, folder: Path) -> None:
    """Uploads and downloads of new files by the client, by Xet and by Git LFS."""
    os.environ["HF_XET_CACHE"] = str(folder / "xet-cache")
    api = HfApi(endpoint, token=token)
    api.create_repo("bench/transfers")
    times: dict[str, list[tuple[float, float]]] = {"Xet": [], "LFS": []}
    for number in range(TRANSFERS):
        for way, measured in times.items():
            constants.HF_HUB_DISABLE_XET = way == "LFS"
            source, name = folder / "transfer.bin", f"{number}-{way}.bin"
            source.write_bytes(os.urandom(TRANSFER))
            start = time.perf_counter()
            api.upload_file(path_or_fileobj=source, path_in_repo=name, repo_id="bench/transfers")
            sent = time.perf_counter()
            copy = Path(api.hf_hub_download("bench/transfers", name, cache_dir=folder / "files"))
            measured.append((sent - start, time.perf_counter() - sent))
            assert copy.stat().st_size == TRANSFER
            shutil.rmtree(folder / "files")
    for place, action in enumerate(("upload", "download")):
        xet, lfs = (statistics.median(run[place] for run in times[way]) for way in ("Xet", "LFS"))
        print(
            f"{action} of {TRANSFER >> 20} MiB of noise by Xet {xet:.2f} s, by Git LFS {lfs:.2f} s: "
            f"speed {lfs / xet:.2f} of it (at least 0.5 wanted)"
        )


def listing(endpoint: str) -> None:
    """The first page of a list of models by tag, and the same document from a bare route."""
    path = f"/api/models?filter={quote('ggez-region:th')}&limit=100"
    document = get(http.client.HTTPConnection(urlsplit(endpoint).netloc), path)
    assert len(document) == REPOS // 10
    port = free_port()
    with process([PYTHON, "-c", BARE, str(port)], stdin=subprocess.PIPE) as server:
        assert server.stdin is not None
        server.stdin.write(json.dumps(document).encode())
        server.stdin.close()
        wait_for(port)
        hub = http.client.HTTPConnection(urlsplit(endpoint).netloc)
        bare = http.client.HTTPConnection(f"127.0.0.1:{port}")
        both = pairs(lambda: get(hub, path), lambda: get(bare, "/bare"), runs=200)
        ours, theirs = (statistics.median(side) for side in zip(*both, strict=True))
        print(
            f"first page by tag, 100 of {REPOS} repos: {ours * 1e3:.2f} ms, a bare route that returns "
            f"the same {theirs * 1e3:.2f} ms: ratio {ours / theirs:.2f} (at most 5 wanted)"
        )


def get(connection: http.client.HTTPConnection, path: str) -> list[object]:
    """A JSON document."""
    connection.request("GET", path)
    answer = connection.getresponse()
    found: list[object] = json.loads(answer.read())
    return found


def commit(endpoint: str, token: str, root: Path, folder: Path) -> None:
    """A commit of many small files: by the client over HTTP, by the store, and by git."""
    git = shutil.which("git")
    if git is None:
        print("git is not installed: commits are not compared")
        return
    files = {f"data/{number}.txt": os.urandom(500).hex().encode() for number in range(FILES)}
    api = HfApi(endpoint, token=token)
    numbers = iter(range(1000))

    def client() -> None:
        repo = api.create_repo(f"bench/commit-{next(numbers)}").repo_id
        operations = [CommitOperationAdd(path, content) for path, content in files.items()]
        start = time.perf_counter()
        api.create_commit(repo, operations, commit_message="x")
        times["client"].append(time.perf_counter() - start)

    def direct() -> None:
        with HubStore.open(root) as store:
            repo = f"bench/commit-{next(numbers)}"
            store.create_repo("model", repo)
            start = time.perf_counter()
            put(store, repo, dict(files))
            times["store"].append(time.perf_counter() - start)

    def with_git() -> None:
        work = folder / f"git-{next(numbers)}"
        (work / "data").mkdir(parents=True)
        for path, content in files.items():
            (work / path).write_bytes(content)
        run = [str(git), "-C", str(work)]
        subprocess.run([*run, "init", "-q"], check=True)
        start = time.perf_counter()
        subprocess.run([*run, "add", "."], check=True)
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run([*run, *identity, "commit", "-q", "-m", "x"], check=True)
        times["git"].append(time.perf_counter() - start)

    times: dict[str, list[float]] = {"client": [], "store": [], "git": []}
    for _ in range(5):
        for side in (client, direct, with_git):
            side()
    middle = {side: statistics.median(measured) for side, measured in times.items()}
    print(
        f"commit of {FILES} files: the client over HTTP {middle['client']:.2f} s, the store "
        f"{middle['store']:.2f} s, git add and commit {middle['git']:.2f} s: ratios "
        f"{middle['client'] / middle['git']:.1f} and {middle['store'] / middle['git']:.1f}"
    )


def pairs(a: Callable[[], object], b: Callable[[], object], runs: int) -> list[tuple[float, float]]:
    """Times of two actions in turn."""
    found = []
    for warm in (True, *(False for _ in range(runs))):
        times = []
        for action in (a, b):
            start = time.perf_counter()
            action()
            times.append(time.perf_counter() - start)
        if not warm:
            found.append((times[0], times[1]))
    return found


def free_port() -> int:
    """A port that nobody listens on."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def wait_for(port: int) -> None:
    """Wait until a server listens."""
    import socket

    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(f"nothing listens on port {port}")


if __name__ == "__main__":
    main()
