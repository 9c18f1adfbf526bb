"""The life of a session's server: one for all, and gone with the last."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from huggingface_hub import HfApi

from ggez_hub.embedded import SessionError, session, session_token
from ggez_hub.embedded.sessions import SessionFiles

# A session in a process of its own: prints the address, and ends when its input does.
CLIENT = """
import sys
from pathlib import Path
from ggez_hub.embedded import session
with session(Path(sys.argv[1])) as endpoint:
    print(endpoint, flush=True)
    sys.stdin.read()
"""


class Client:
    def __init__(self, root):
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.endpoint = self.process.stdout.readline().strip()

    def end(self):
        self.process.communicate()

    def kill(self):
        self.process.kill()
        self.process.communicate()


def answers(endpoint):
    try:
        return httpx2.get(endpoint + "/api/models").status_code == 200
    except httpx2.TransportError:
        return False


def server_pid(root):
    return json.loads((root / "server.json").read_text())["pid"]


def wait_until_over(root):
    """Until no server runs on the folder; the test run's own limit ends what does not end."""
    files = SessionFiles(root)
    deadline = time.monotonic() + 120
    while True:
        with files.joining():
            if not files.is_serving():
                return
        assert time.monotonic() < deadline, (root / "server.log").read_text()
        time.sleep(0.02)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "hub"
    yield folder
    if folder.exists():
        wait_until_over(folder)


def seed(store):
    store.create_repo("model", "acme/tiny", exist_ok=True)
    if store.head("model", "acme/tiny") is None:
        store.commit(
            "model", "acme/tiny", {"a.txt": b"1"}, message="Add", author="a", email="e", date=0
        )


def test_a_session_is_seeded_readable_and_writable(root):
    with session(root, seed) as endpoint:
        anonymous = HfApi(endpoint, token=False)
        assert anonymous.list_repo_files("acme/tiny") == [".gitattributes", "a.txt"]
        owner = HfApi(endpoint, token=session_token(root))
        owner.upload_file(path_or_fileobj=b"2", path_in_repo="a.txt", repo_id="acme/tiny")
        owner.create_repo("anyone/new", private=True)
        assert not anonymous.repo_exists("anyone/new")
    assert (root / "token").stat().st_mode & 0o777 == 0o600


def test_no_token_before_the_first_session(tmp_path):
    assert session_token(tmp_path) is None


def test_the_seed_is_planted_once(root):
    heads = []
    for _ in range(2):
        with session(root, seed) as endpoint:
            heads.append(HfApi(endpoint, token=False).model_info("acme/tiny").sha)
    assert heads[0] == heads[1]


def test_processes_share_a_server_and_it_ends_with_the_last(root):
    first, second = Client(root), Client(root)
    pid = server_pid(root)
    assert first.endpoint == second.endpoint
    with session(root) as joined:
        assert joined == first.endpoint
        first.end()
        second.end()
        assert answers(joined)
        assert server_pid(root) == pid
    wait_until_over(root)
    assert not answers(joined)
    assert not (root / "server.json").exists()
    assert not list((root / "clients").iterdir())


def test_sessions_that_begin_together_share_a_server(root):
    with ThreadPoolExecutor(4) as pool:
        clients = list(pool.map(Client, [root] * 4))
    assert len({client.endpoint for client in clients}) == 1
    assert answers(clients[0].endpoint)
    for client in clients:
        client.end()


def test_sessions_nest(root):
    with session(root) as outer:
        with session(root) as inner:
            assert inner == outer
        assert answers(outer)


def test_the_server_ends_with_a_client_that_was_killed(root):
    client = Client(root)
    assert answers(client.endpoint)
    client.kill()
    wait_until_over(root)
    assert not answers(client.endpoint)


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_server_that_was_killed_is_replaced(root):
    client = Client(root)
    pid = server_pid(root)
    os.kill(pid, signal.SIGKILL)
    while SessionFiles(root).is_serving():
        time.sleep(0.01)
    with session(root) as endpoint:
        assert answers(endpoint)
        assert server_pid(root) != pid
        client.end()
        assert answers(endpoint)


@pytest.mark.skipif(os.name == "nt", reason="no SIGTERM")
def test_a_server_that_was_told_to_end_is_replaced(root):
    client = Client(root)
    pid = server_pid(root)
    os.kill(pid, signal.SIGTERM)
    while answers(client.endpoint):
        time.sleep(0.01)
    with session(root) as endpoint:
        assert answers(endpoint)
        assert server_pid(root) != pid
        client.end()


def test_an_address_that_is_left_from_another_time_is_not_believed(root):
    root.mkdir()
    (root / "server.json").write_text(json.dumps({"endpoint": "http://127.0.0.1:9", "pid": 1}))
    with session(root) as endpoint:
        assert answers(endpoint)


def test_a_new_session_begins_while_the_old_server_ends(root):
    for _ in range(5):
        with session(root) as endpoint:
            assert answers(endpoint)


def test_an_error_in_the_seed_leaves_nothing_running(root):
    def broken(store):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), session(root, broken):
        pass
    assert not SessionFiles(root).is_serving()


def test_a_server_that_does_not_start_says_why(root, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(root / "broken"))
    package = root / "broken" / "uvicorn"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('no such luck')")
    with pytest.raises(SessionError, match="no such luck"), session(root):
        pass
    assert not list((root / "clients").iterdir())


def test_a_module_in_the_folder_is_not_imported(root):
    root.mkdir()
    (root / "uvicorn.py").write_text("raise SystemExit('imported from the folder')")
    with session(root) as endpoint:
        assert answers(endpoint)


def test_the_log_holds_no_token(root):
    with session(root) as endpoint:
        token = session_token(root)
        api = HfApi(endpoint, token=token)
        api.create_repo("acme/x")
        api.upload_file(path_or_fileobj=b"\0", path_in_repo="x.bin", repo_id="acme/x")
    wait_until_over(root)
    log = (root / "server.log").read_text()
    assert "PUT /lfs/" in log
    assert "signature" not in log
    assert token not in log
