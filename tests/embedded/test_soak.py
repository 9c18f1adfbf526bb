"""`make soak`: a server that is killed at any moment, under writers that try again."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, HfApi, constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import _http

from ggez_hub.embedded.history import first_parents
from ggez_hub.embedded.store import HubStore
from ggez_hub.embedded.xet import hashing
from ggez_hub.embedded.xet.xorb import MAX_CHUNK, read_chunks, read_index

from .test_xet_formats import packed

pytestmark = pytest.mark.slow

KILLS = 50
WRITERS = 3
SERVE = [sys.executable, "-c", "from ggez_hub.cli.main import main; main()", "serve"]


# What the client makes of a server that dies: an upload is wrapped in a RuntimeError, and connections
# that all threads share are dropped when one of them meets a dead server (AttributeError).
UNLUCKY = (OSError, RuntimeError, AttributeError)


class Server:
    """A server that is started again at the same address after each kill."""

    def __init__(self, root):
        self.root = root
        self.port = "0"
        self.start()

    def start(self):
        command = [*SERVE, "--root", str(self.root), "--port", self.port]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.endpoint = self.process.stdout.readline().strip()
        assert self.endpoint, "the server did not start again"
        self.port = self.endpoint.rpartition(":")[2]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@dataclass
class Writer:
    """Commits to a repo of its own until it is told to stop, and tries again what was not acknowledged."""

    server: Server
    token: str
    repo: str
    stop: threading.Event
    acknowledged: list = field(default_factory=list)
    attempted: dict = field(default_factory=dict)
    failure: BaseException | None = None

    def run(self):
        try:
            self.write()
        except BaseException as error:
            self.failure = error

    def write(self):
        chance = random.Random(self.repo)  # noqa: S311
        api = HfApi(self.server.endpoint, token=self.token)
        number = 0
        while not self.stop.is_set():
            number += 1
            files = {
                f"text/{number}.txt": chance.randbytes(300).hex().encode(),
                f"large/{number}.bin": b"\0" + chance.randbytes(chance.choice([10, 3_000_000])),
            }
            if number % 5 == 0:
                files |= {f"many/{number}-{item}.txt": b"%d" % item for item in range(60)}
            self.attempted |= {path: sha(content) for path, content in files.items()}
            # Until it is acknowledged: what was tried before may have arrived, which changes nothing.
            while not self.stop.is_set():
                try:
                    commit = api.create_commit(
                        self.repo,
                        [CommitOperationAdd(path, content) for path, content in files.items()],
                        commit_message=f"{number}",
                    )
                except (httpx2.TransportError, HfHubHTTPError, *UNLUCKY) as error:
                    the_hub_did_not_fail(error)
                    time.sleep(0.05)
                else:
                    self.acknowledged.append((commit.oid, list(files)))
                    break


def the_hub_did_not_fail(error):
    """No attempt may have been answered with an error of the hub itself."""
    while error is not None:
        answer = getattr(error, "response", None)
        assert answer is None or answer.status_code < 500, answer.text
        error = error.__cause__


def sha(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(params=["lfs", "xet"])
def transfer(request, monkeypatch, tmp_path):
    """How the client sends large files."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", request.param == "lfs")
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet"))
    # It would wait for seconds after each kill.
    monkeypatch.setenv("HF_XET_CLIENT_RETRY_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("HF_XET_CLIENT_RETRY_BASE_DELAY", "50ms")
    return request.param


def test_kill_at_random_points_under_concurrent_writers(tmp_path, monkeypatch, transfer):
    # The client would wait for seconds after each kill, and the next kill would meet an idle server.
    for function in (_http._http_backoff_base, _http.http_backoff):
        monkeypatch.setitem(function.__kwdefaults__, "max_retries", 0)
    root = tmp_path / "hub"
    with HubStore.open(root) as store:
        token = store.owner_token()
        for number in range(WRITERS):
            store.create_repo("model", f"acme/{number}")
    server = Server(root)
    stop = threading.Event()
    writers = [Writer(server, token, f"acme/{number}", stop) for number in range(WRITERS)]
    threads = [threading.Thread(target=writer.run) for writer in writers]
    for thread in threads:
        thread.start()
    chance = random.Random(0)  # noqa: S311
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.05, 0.9))
        server.kill()
        with HubStore.open(root) as store:
            for writer in writers:
                readable(store, writer)
        server.start()
    # However slow the machine is: from the server that stays, each writer gets something acknowledged.
    enough = [len(writer.acknowledged) + 1 for writer in writers]
    for _ in range(3000):
        if all(len(writer.acknowledged) >= n for writer, n in zip(writers, enough, strict=True)):
            break
        time.sleep(0.1)
    stop.set()
    for thread in threads:
        thread.join(timeout=120)
    server.kill()
    assert [writer.failure for writer in writers] == [None] * WRITERS
    assert all(len(writer.acknowledged) >= n for writer, n in zip(writers, enough, strict=True))
    with HubStore.open(root) as store:
        for writer in writers:
            whole(store, writer)
        objects_are_what_they_are_called(store, transfer)
    for writer in writers:
        fsck(root, writer.repo)


def readable(store, writer):
    """The head can be read, and is not older than what was acknowledged."""
    acknowledged = [oid for oid, _ in writer.acknowledged]
    with store.git(store.repo("model", writer.repo)) as git:
        head = git.refs.head("main")
        if acknowledged:
            assert head is not None
            git.refs.resolve(acknowledged[-1])
        if head is not None:
            history = {link.commit for link in first_parents(git.objects, head)}
            assert set(acknowledged) <= history
            git.snapshot().files()


def whole(store, writer):
    """Every file of every acknowledged commit is there with the content that was sent."""
    with store.git(store.repo("model", writer.repo)) as git:
        snapshot = git.snapshot()
        for path in {path for _, paths in writer.acknowledged for path in paths}:
            entry = snapshot.file(path)
            if entry.lfs is not None:
                file = store.xet.catalog.file(entry.lfs.oid)
                content = (
                    b"".join(store.xet.content(file, 0, file.size))
                    if file
                    else store.lfs.path(entry.lfs.oid).read_bytes()
                )
            else:
                content = snapshot.read(entry)
            assert sha(content) == writer.attempted[path], path


def objects_are_what_they_are_called(store, transfer):
    """Every large file and every xorb, also of uploads that were never committed."""
    found = [path for path in (store.root / transfer).glob("??/??/*") if path.is_file()]
    assert found
    for path in found:
        if transfer == "xet":
            index = read_index(path)
            chunks = [
                hashing.hash_chunk(b"".join(read_chunks(path, index, place, place + 1)))
                for place in range(len(index))
            ]
            assert chunks == index.hashes(0, len(index))
            assert hashing.to_hex(index.hash) == path.name
        else:
            with path.open("rb") as file:
                assert hashlib.file_digest(file, "sha256").hexdigest() == path.name


def fsck(root, repo):
    git = shutil.which("git")
    if git is not None:
        command = [git, "-C", str(root / "models" / f"{repo}.git"), "fsck", "--full", "--strict"]
        subprocess.run(command, check=True, capture_output=True)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads /proc")  # noqa: PTH110
def test_a_large_upload_costs_little_memory(tmp_path, transfer):
    size = 2 << 30
    root = tmp_path / "hub"
    source = tmp_path / "large.bin"
    with source.open("wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))
    with HubStore.open(root) as store:
        token = store.owner_token()
    server = Server(root)
    try:
        api = HfApi(server.endpoint, token=token)
        repo = api.create_repo("acme/large").repo_id
        before = memory(server.process.pid)
        api.upload_file(path_or_fileobj=source, path_in_repo="large.bin", repo_id=repo)
        after = memory(server.process.pid)
        (entry,) = api.get_paths_info(repo, "large.bin")
        assert entry.size == size
        assert (entry.xet_hash is not None) == (transfer == "xet")
    finally:
        server.kill()
    sys.stdout.write(
        f"peak of the server by {transfer}: {after >> 20} MiB, {before >> 20} MiB before\n"
    )
    assert after < 100 << 20


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads /proc")  # noqa: PTH110
def test_dozens_of_xorbs_at_once_cost_little_memory(tmp_path):
    """As many as a client sends to a server that is slow, each of the largest chunks."""
    many, root = 64, tmp_path / "hub"
    with HubStore.open(root) as store:
        headers = {"Authorization": f"Bearer {store.owner_token()}"}
        store.create_repo("model", "acme/large")
    chunks = [os.urandom(MAX_CHUNK) for _ in range(64)]
    digest = hashing.hash_xorb((hashing.hash_chunk(chunk), len(chunk)) for chunk in chunks)
    body = b"".join(map(packed, chunks))
    server = Server(root)
    try:
        address = f"{server.endpoint}/api/models/acme/large/xet-write-token/main"
        cas = httpx2.get(address, headers=headers).json()
        headers = {"Authorization": f"Bearer {cas['accessToken']}"}
        address = f"{cas['casUrl']}/v1/xorbs/default/{hashing.to_hex(digest)}"
        connected = threading.Barrier(many)

        def send(_):
            connected.wait()
            return httpx2.post(address, headers=headers, content=body, timeout=600).status_code

        with ThreadPoolExecutor(many) as threads:
            assert set(threads.map(send, range(many))) == {200}
        peak = memory(server.process.pid)
    finally:
        server.kill()
    sys.stdout.write(f"peak of the server: {peak >> 20} MiB for {many} xorbs at once\n")
    assert peak < 110 << 20


UPLOAD = """
import sys
from huggingface_hub import HfApi
HfApi(sys.argv[1], token=sys.argv[2]).upload_file(
    path_or_fileobj=sys.argv[3], path_in_repo="large.bin", repo_id="acme/large"
)
"""


@pytest.mark.parametrize("victim", ["client", "server"])
def test_what_was_acknowledged_is_not_sent_again(tmp_path, victim):
    """A client or a server that is killed in mid-upload: nothing is visible, and the rest is enough."""
    root, source, log = tmp_path / "hub", tmp_path / "large.bin", tmp_path / "log"
    source.write_bytes(os.urandom(400 << 20))
    with HubStore.open(root) as store:
        token = store.owner_token()
        store.create_repo("model", "acme/large")
    logging = "import logging; logging.basicConfig(level=logging.INFO); "
    environment = os.environ | {"HF_HUB_DISABLE_XET": "0", "HF_XET_CACHE": str(tmp_path / "xet")}

    def acknowledged():
        lines = log.read_text().splitlines() if log.exists() else []
        return [
            line.split()[2]
            for line in lines
            if "POST" in line and "/xorbs/" in line and " 200 " in line
        ]

    def serve(port):
        command = [*SERVE[:2], logging + SERVE[2], *SERVE[3:], "--root", str(root), "--port", port]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log.open("a"), text=True)
        return process, process.stdout.readline().strip()

    server, endpoint = serve("0")
    upload = [sys.executable, "-c", UPLOAD, endpoint, token, source]
    client = subprocess.Popen(upload, env=environment, stderr=subprocess.DEVNULL)
    while not acknowledged():
        assert client.poll() is None
        time.sleep(0.01)
    killed = client if victim == "client" else server
    killed.kill()
    killed.wait()
    before = acknowledged()
    with HubStore.open(root) as store:
        record = store.repo("model", "acme/large")
        assert store.head("model", "acme/large") is None
        assert not store.catalog.used_storage(record)
    if victim == "server":
        server, _ = serve(endpoint.rpartition(":")[2])
    client.wait(timeout=300)
    if client.returncode:
        subprocess.run(upload, env=environment, check=True, stderr=subprocess.DEVNULL, timeout=300)
    server.kill()
    server.wait()
    sent = acknowledged()
    assert before
    assert len(sent) == len(set(sent)) > len(before)
    with HubStore.open(root) as store, store.git(store.repo("model", "acme/large")) as git:
        entry = git.snapshot().file("large.bin")
        file = store.xet.catalog.file(entry.lfs.oid)
        digest = hashlib.sha256()
        for block in store.xet.content(file, 0, file.size):
            digest.update(block)
    assert digest.hexdigest() == entry.lfs.oid == hashlib.sha256(source.read_bytes()).hexdigest()


def memory(pid):
    """The most memory that a process has held."""
    with open(f"/proc/{pid}/status") as status:  # noqa: PTH123
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10
