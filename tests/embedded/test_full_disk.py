"""A disk that is full: 507, reading and deleting go on, and the server starts."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ggez_hub.embedded.reserve import SIZE, Reserve

# On a file system of 8 MiB, which the test fills to its last byte.
SCRIPT = """
import os, sys
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
import httpx2
from ggez_hub.embedded.server import Server
from ggez_hub.embedded.store import HubStore

@contextmanager
def running(server):
    thread = Thread(target=server.run_until)
    thread.start()
    yield server.url
    server.should_exit = True
    thread.join()
    server.socket.close()

place = Path(sys.argv[1])

def fill(name):
    try:
        with (place / name).open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError as error:
        assert error.errno == 28, error

def ask(method, path, **body):
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx2.request(method, endpoint + path, headers=headers, json=body or None, timeout=120)
    return answer.status_code, answer.text

with HubStore.open(place / "hub") as store:
    store.reserve.fill()
    token = store.owner_token()
    signed = {"author": "a", "email": "a@example.org", "date": 1}
    for name in ("acme/large", "acme/small"):
        store.create_repo("model", name)
    large = {"x.bin": os.urandom(3 << 20)}
    store.commit("model", "acme/large", large, message="x", **signed)
    fill("first")
    with running(Server(store)) as endpoint:
        status, text = ask("POST", "/api/repos/create", name="more", organization="acme")
        assert (status, "full" in text) == (507, True), text
        assert ask("GET", "/api/models")[0] == 200
        assert ask("GET", "/api/models/acme/large")[0] == 200
        deletion = {"name": "large", "organization": "acme"}
        assert ask("DELETE", "/api/repos/delete", **deletion)[0] == 200
        assert ask("POST", "/api/repos/create", name="more", organization="acme")[0] == 200
assert (place / "hub" / "reserve").exists()
fill("second")
with HubStore.open(place / "hub") as store, running(Server(store)) as endpoint:
    assert '"acme/small"' in ask("GET", "/api/models")[1]
    assert ask("DELETE", "/api/repos/delete", name="small", organization="acme")[0] == 200
print("done")
"""


def test_on_a_full_disk_repos_are_read_and_deleted_and_the_server_starts(tmp_path):
    unshare = shutil.which("unshare")
    mount = "mount -t tmpfs -o size=8m tmpfs "
    alone = [unshare, "--map-root-user", "--mount", "sh", "-c"]
    if unshare is None or subprocess.run([*alone, mount + "/mnt"], check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    place = tmp_path / "small"
    place.mkdir()
    command = [*alone, mount + '"$3" && exec "$1" -c "$2" "$3"', "sh", sys.executable]
    done = subprocess.run(
        [*command, SCRIPT, place],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "done\n", done.stderr[-2000:]


def test_the_reserve_is_spent_once_and_on_a_full_disk_alone(tmp_path):
    reserve, tries = Reserve(tmp_path), []

    def work(*errors):
        def attempt():
            tries.append(None)
            if len(tries) <= len(errors):
                raise errors[len(tries) - 1]
            return len(tries)

        tries.clear()
        return reserve.spend_on(attempt)

    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space"):
        work(full)
    reserve.fill()
    assert (tmp_path / "reserve").stat().st_size == SIZE
    with pytest.raises(PermissionError):
        work(PermissionError())
    assert (tmp_path / "reserve").exists()
    assert work(full) == 2
    assert not (tmp_path / "reserve").exists()
