"""A hub or a network that fails: success after a retry, or one clear error; and a repeat succeeds."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import constants

from ggez_hub import retry
from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import seed
from ggez_hub.embedded.store import HubStore

from ..faults import RESET, Ending, Failing, NotedClock, altered, answer, wire
from ..worlds import serving

WEIGHTS = "adapter_model.safetensors"
INFO = "GET /api/models/ggez-world/clip-emoji-th"
BODY = f"GET /ggez-world/clip-emoji-th/resolve/{{}}/{WEIGHTS}"


def pull(endpoint, out):
    return CliRunner().invoke(cli, ["pull", "--region", "th", "--hub", endpoint, "-o", str(out)])


def failed(result, out):
    assert result.exit_code == 1
    assert result.stderr.count("error: ") == 1
    assert "Traceback" not in result.stderr
    assert "clearer message" not in result.stderr
    assert not out.exists()
    assert not list(out.parent.glob(".*partial"))
    # Nothing half-downloaded: every file in the cache is whole, and what it is named for.
    assert not list(Path(constants.HF_HUB_CACHE).rglob("*.incomplete"))
    return result.stderr


@pytest.fixture(autouse=True)
def slept(monkeypatch):
    """The client waits between its retries; here it is only noted how long."""
    return NotedClock.of_clients(monkeypatch)


@pytest.fixture(scope="module")
def failing_hub(world, tmp_path_factory):
    with HubStore.open(tmp_path_factory.mktemp("store")) as store:
        seed(store, world)
        hubs = []

        def around(app):
            hubs.append(Failing(app))
            return hubs[0]

        with serving(store, around) as endpoint:
            hub = hubs[0]
            hub.endpoint, hub.commit = endpoint, store.head("model", "ggez-world/clip-emoji-th")
            yield hub


@pytest.fixture
def failing(failing_hub):
    failing_hub.fails.clear()
    failing_hub.asked.clear()
    return failing_hub


def at(hub, place):
    return place.format(hub.commit)


@pytest.mark.parametrize("marker", [b"visual.", b'"siblings"'], ids=["weights", "listing"])
def test_a_hub_that_dies_in_mid_answer(seeded, tmp_path, marker):
    ending = Ending(marker)
    with wire(seeded.endpoint, lambda data: None if ending.place(data) else data) as line:
        message = failed(pull(line.endpoint, tmp_path / "out"), tmp_path / "out")
    assert "hub could not be reached" in message
    assert pull(seeded.endpoint, tmp_path / "out").exit_code == 0


def test_a_hub_that_is_not_there(tmp_path, slept):
    message = failed(pull("http://127.0.0.1:9", tmp_path / "out"), tmp_path / "out")
    assert "hub could not be reached" in message
    assert not slept


def test_a_hub_that_goes_between_resolving_and_fetching(seeded, tmp_path):
    def die_at_the_first_file(data):
        return None if b"HEAD /ggez-world/" in data else data

    with wire(seeded.endpoint, lambda data: data, die_at_the_first_file) as line:
        message = failed(pull(line.endpoint, tmp_path / "out"), tmp_path / "out")
    assert "hub could not be reached" in message
    assert pull(seeded.endpoint, tmp_path / "out").exit_code == 0


def test_a_byte_that_changes_on_the_way(seeded, world, tmp_path):
    tail = (world / "embedding" / "th" / WEIGHTS).read_bytes()[-64:]

    ending = Ending(tail)

    def flip(data):
        changed = bytearray(data)
        if end := ending.place(data):
            changed[end - 1] ^= 1
        return changed

    with wire(seeded.endpoint, flip) as line:
        message = failed(pull(line.endpoint, tmp_path / "out"), tmp_path / "out")
    assert WEIGHTS in message
    assert "is not the file that was recorded" in message
    assert pull(seeded.endpoint, tmp_path / "out").exit_code == 0


@pytest.mark.parametrize("place", [INFO, BODY], ids=["listing", "weights"])
@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_passing_failure_is_waited_out(failing, tmp_path, slept, place, status):
    failing.fails.append((at(failing, place), 2, answer(status, retry_after=7)))
    result = pull(failing.endpoint, tmp_path / "out")
    assert result.exit_code == 0, result.output
    # As long as the hub asks; the client itself adds a second.
    assert [wait for wait in slept if wait in {7, 8}] == slept[:2]


@pytest.mark.parametrize("place", [INFO, BODY], ids=["listing", "weights"])
def test_a_lasting_failure_is_one_error(failing, tmp_path, place):
    failing.fails.append((at(failing, place), 1000, answer(500)))
    message = failed(pull(failing.endpoint, tmp_path / "out"), tmp_path / "out")
    assert "the hub is busy or out of order: " in message
    assert len([line for line in failing.asked if at(failing, place) in line]) == retry.ATTEMPTS
    failing.fails.clear()
    assert pull(failing.endpoint, tmp_path / "out").exit_code == 0


def test_a_hub_that_asks_for_an_hour_is_not_waited_for(failing, tmp_path, slept):
    failing.fails.append((INFO, 1000, answer(429, retry_after=3600)))
    message = failed(pull(failing.endpoint, tmp_path / "out"), tmp_path / "out")
    assert "429" in message
    assert not slept


def test_a_reset_in_mid_body(seeded, world, tmp_path):
    tail = (world / "embedding" / "th" / WEIGHTS).read_bytes()[-64:]
    ending, resets = Ending(tail), []

    def reset_once(data):
        if ending.place(data) and not resets:
            resets.append(1)
            return RESET
        return data

    with wire(seeded.endpoint, reset_once) as line:
        result = pull(line.endpoint, tmp_path / "out")
    assert resets
    assert result.exit_code == 0, result.output


def test_resets_without_end(seeded, world, tmp_path):
    tail = (world / "embedding" / "th" / WEIGHTS).read_bytes()[-64:]
    ending = Ending(tail)
    with wire(seeded.endpoint, lambda data: RESET if ending.place(data) else data) as line:
        message = failed(pull(line.endpoint, tmp_path / "out"), tmp_path / "out")
    assert "hub could not be reached" in message
    assert pull(seeded.endpoint, tmp_path / "out").exit_code == 0


@pytest.mark.parametrize("times", [1, 1000], ids=["once", "always"])
def test_a_truncated_body(failing, tmp_path, times):
    failing.fails.append((at(failing, BODY), times, altered(lambda body: body[:-100])))
    result = pull(failing.endpoint, tmp_path / "out")
    if times == 1:
        assert result.exit_code == 0, result.output
        return
    assert "hub could not be reached" in failed(result, tmp_path / "out")
    failing.fails.clear()
    assert pull(failing.endpoint, tmp_path / "out").exit_code == 0


def test_a_hub_that_holds_another_file(failing, tmp_path):
    """Not a byte on the way: the hub itself answers with something else of the same length."""
    other = altered(lambda body: body[:-1] + bytes([body[-1] ^ 255]))
    failing.fails.append((at(failing, BODY), 1000, other))
    message = failed(pull(failing.endpoint, tmp_path / "out"), tmp_path / "out")
    assert "is not the file that was recorded" in message
    failing.fails.clear()
    assert pull(failing.endpoint, tmp_path / "out").exit_code == 0


@pytest.mark.parametrize(("times", "limit"), [(1, 1), (1000, 0.1)], ids=["once", "always"])
def test_a_stalled_body(failing, tmp_path, monkeypatch, times, limit):
    failing.fails.append((at(failing, BODY), times, altered(lambda body: body, stalls=True)))
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", limit)
        result = pull(failing.endpoint, tmp_path / "out")
    if times == 1:
        assert result.exit_code == 0, result.output
        return
    assert "hub could not be reached" in failed(result, tmp_path / "out")
    failing.fails.clear()
    assert pull(failing.endpoint, tmp_path / "out").exit_code == 0


def test_a_stalled_listing(failing, tmp_path, monkeypatch):
    from ggez_hub.hub import guard

    monkeypatch.setitem(guard.TIMEOUTS, "read", 0.2)
    failing.fails.append((INFO, 1000, altered(lambda body: body, stalls=True)))
    message = failed(pull(failing.endpoint, tmp_path / "out"), tmp_path / "out")
    assert "hub could not be reached" in message


@pytest.mark.parametrize("place", [INFO, BODY], ids=["listing", "body"])
def test_ctrl_c_does_not_wait_for_a_hub_that_stalls(failing, tmp_path, place):
    place = at(failing, place)
    failing.fails.append((place, 1000, altered(lambda body: body, stalls=True)))
    arguments = ["pull", "--region", "th", "--hub", failing.endpoint, "-o", tmp_path / "out"]
    # What a shell starts in the background ignores Ctrl-C, and so does what that starts.
    heeding = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from ggez_hub.cli.main import main; main()"
    )
    command = [sys.executable, "-c", heeding, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            while place not in "".join(failing.asked):
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            # The client itself gives up later than that.
            assert process.wait(timeout=9) == 1
        finally:
            process.kill()
        assert process.stderr.read().endswith("Aborted!\n")
    assert not (tmp_path / "out").exists()


@contextmanager
def files_of_at_most(nbytes):
    """No file grows beyond `nbytes`, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("what", ["download", "merge"])
def test_a_file_that_cannot_grow(seeded, tmp_path, what):
    out = tmp_path / "out"
    if what == "merge":  # what is downloaded is there already
        assert pull(seeded.endpoint, tmp_path / "before").exit_code == 0
    with files_of_at_most(100_000):
        message = failed(pull(seeded.endpoint, out), out)
    assert "no room to write" in message
    assert pull(seeded.endpoint, out).exit_code == 0


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 300 kB; only root can mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize("what", ["cache", "target"])
def test_a_full_disk(seeded, tmp_path, small_disk, monkeypatch, what):
    out = small_disk / "out" if what == "target" else tmp_path / "out"
    if what == "cache":
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(small_disk / "hub"))
    (small_disk / "filler").write_bytes(b"x" * 200_000)
    message = failed(pull(seeded.endpoint, out), out)
    assert "no room to write" in message or "kB free" in message
    assert not list(small_disk.rglob("*partial"))
    subprocess.run(["mount", "-o", "remount,size=3m", str(small_disk)], check=True)
    assert pull(seeded.endpoint, out).exit_code == 0


def test_what_killed_downloads_left_is_removed(seeded, tmp_path):
    """But not what another process may be writing: what it holds the lock of, or wrote just now."""
    from filelock import FileLock

    assert pull(seeded.endpoint, tmp_path / "first").exit_code == 0
    cache = Path(constants.HF_HUB_CACHE)
    blobs = cache / "models--ggez-world--clip-emoji-th" / "blobs"
    left, held, fresh = (blobs / f"{name * 8}.12345678.incomplete" for name in "abc")
    for path in (left, held, fresh):
        path.write_bytes(b"half")
    for path in (left, held):
        os.utime(path, (0, 0))
    lock = cache / ".locks" / blobs.parent.name / f"{'b' * 8}.lock"
    with FileLock(lock):
        assert pull(seeded.endpoint, tmp_path / "second").exit_code == 0
    assert [path.exists() for path in (left, held, fresh)] == [False, True, True]


@pytest.mark.skipif(os.name != "posix", reason="users have numbers")
def test_a_lock_folder_of_somebody_else_is_not_used(seeded, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    another = os.getuid() + 1
    (tmp_path / "tmp" / f"ggez-hub-{another}").mkdir(parents=True)
    monkeypatch.setattr(os, "getuid", lambda: another)
    message = failed(pull(seeded.endpoint, tmp_path / "out"), tmp_path / "out")
    assert "is not a folder of yours" in message
