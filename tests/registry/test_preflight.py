"""What is known and checked before the first byte of weights."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi, constants

from ggez_hub import hardware
from ggez_hub.cli.main import cli
from ggez_hub.hub import Hub
from ggez_hub.registry.pull import preflight
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolver.resolver import resolve

from ..faults import wire
from ..worlds import BASE_REPO

KEYS = {
    "fetch_bytes", "disk_bytes", "ram_bytes", "vram_bytes", "gated", "licences", "lacking",
    "fits",
}  # fmt: skip


def pull(hub, *arguments):
    return CliRunner().invoke(
        cli, ["pull", "--hub", hub.endpoint, "--region", "th", *map(str, arguments)]
    )


@pytest.fixture
def gated(assets, hub_of):
    """The world, whose base is gated; and a token that was granted access."""
    hub, store = hub_of(assets)
    store.add_account("owner", orgs=["ggez-world"])
    store.add_account("reader")
    api = HfApi(hub.endpoint, token=store.new_token("owner", "write"))
    api.update_repo_settings(BASE_REPO, gated="manual")
    api.grant_access(BASE_REPO, "reader")
    return hub, store.new_token("reader", "read")


def test_a_gated_base_is_named_with_its_page_before_any_weights(gated, tmp_path):
    hub, _ = gated
    passed = bytearray()

    def watch(data):
        passed.extend(data)
        return data

    with wire(hub.endpoint, watch) as line:
        result = pull(Hub(line.endpoint), "-o", tmp_path / "out")
        page = f"{line.endpoint}/{BASE_REPO}"
    assert result.exit_code == 1
    assert f"access to {BASE_REPO} is restricted" in result.stderr
    assert f"Accept it at {page}" in result.stderr
    # Nothing of the adapter was fetched either.
    assert b"lora_A" not in passed
    assert not (tmp_path / "out").exists()


def test_a_dry_run_says_what_is_gated(gated, tmp_path):
    hub, _ = gated
    result = pull(hub, "-o", tmp_path / "out", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    costs = json.loads(result.stdout)
    assert set(costs) == KEYS
    assert costs["gated"] == [BASE_REPO]
    told = pull(hub, "-o", tmp_path / "out", "--dry-run")
    assert f"its licence is accepted at {hub.endpoint}/{BASE_REPO}" in told.stdout


def test_who_was_granted_access_pulls(gated, tmp_path):
    from ggez_hub.registry.pull.plan import plan
    from ggez_hub.registry.pull.pull import carry_out

    hub, token = gated
    reader = Hub(hub.endpoint, token)
    planned = plan(Request("th"), reader, tmp_path / "out")
    assert planned.resolution.gated
    assert carry_out(planned, reader, tmp_path / "out").model.is_dir()
    # What is in the cache has been granted: the second time nothing is asked.
    assert carry_out(planned, hub, tmp_path / "again").model.is_dir()


def test_the_largest_tensor_decides_the_memory(seeded, world, tmp_path, monkeypatch):
    resolution = resolve(Request("th"), seeded).resolution
    (size,) = resolution.base.weight_sizes
    small = preflight.preflight(resolution, seeded, tmp_path / "x").ram_bytes
    assert small == preflight.IMPORT_BYTES + preflight.TENSORS_HELD * size
    monkeypatch.setattr(preflight, "SMALL_FILE", 1000)
    exact = preflight.preflight(resolution, seeded, tmp_path / "x").ram_bytes
    held = (exact - preflight.IMPORT_BYTES) // preflight.TENSORS_HELD
    from ggez_hub.safetensors_header import read_header

    header = read_header(world / "embedding" / "base" / "open_clip_model.safetensors")
    assert held == max(t.nbytes for t in header.tensors.values())


@pytest.mark.parametrize("what", ["memory_bytes", "device_bytes", "free_disk_bytes"])
def test_what_this_machine_lacks_does_not_fit(seeded, tmp_path, monkeypatch, what):
    resolution = resolve(Request("th"), seeded).resolution
    assert preflight.preflight(resolution, seeded, tmp_path / "x").fits
    module = hardware if what == "free_disk_bytes" else preflight
    monkeypatch.setattr(module, what, lambda *_: 1000)
    costs = preflight.preflight(resolution, seeded, tmp_path / "x")
    assert not costs.fits
    (lacking,) = costs.lacking
    assert ("disk" in lacking) is (what == "free_disk_bytes")
    assert "1 kB" in lacking


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="another disk is needed")
def test_what_is_fetched_and_the_result_may_have_disks_of_their_own(seeded, tmp_path, monkeypatch):
    resolution = resolve(Request("th"), seeded).resolution
    total = preflight.preflight(resolution, seeded, tmp_path / "x").disk_bytes
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        monkeypatch.setattr(constants, "HF_HUB_CACHE", other)
        costs = preflight.preflight(resolution, seeded, tmp_path / "x")
        fetched, written = costs.fetch_bytes, costs.disk_bytes - costs.fetch_bytes
        assert costs.disk_bytes >= total > fetched > 0

        def lacking(there, here):
            free = {Path(other): there, tmp_path / "x": here}
            monkeypatch.setattr(hardware, "free_disk_bytes", free.__getitem__)
            return preflight.preflight(resolution, seeded, tmp_path / "x").lacking

        # Each has room for its part, and neither for both.
        assert lacking(fetched * 1.03, written * 1.03) == ()
        (full,) = lacking(fetched, written * 1.03)
        assert full.endswith(f"are free where {other} is to be")
        (full,) = lacking(fetched * 1.03, written)
        assert full.endswith(f"are free where {tmp_path / 'x'} is to be")


def test_what_cannot_be_written_is_known_before_the_hub_is_asked(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    for out, words in (
        (tmp_path / "full", "exists already"),
        (tmp_path / "file" / "out", "Not a directory"),
    ):
        arguments = ["pull", "--region", "th", "--hub", "http://127.0.0.1:9", "-o", str(out)]
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 1
        assert words in result.stderr
        assert "could not be reached" not in result.stderr


def test_an_error_is_all_that_is_printed(seeded, tmp_path, monkeypatch):
    monkeypatch.setattr("ggez_hub.hardware.free_disk_bytes", lambda _: 1000)
    result = pull(seeded, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "has 1 kB free, this needs" in result.stderr
    # The region; not base, adapter and licences of what is not pulled.
    assert len(result.stdout.splitlines()) == 1


def test_an_unknown_device_hinders_nothing(seeded, tmp_path, monkeypatch):
    resolution = resolve(Request("th"), seeded).resolution
    monkeypatch.setattr(preflight, "device_bytes", lambda: None)
    monkeypatch.setattr(preflight, "memory_bytes", lambda: None)
    assert preflight.preflight(resolution, seeded, tmp_path / "x").fits


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for nvidia-smi")
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("echo 24564; echo 81559", 81559 * 2**20),
        ("echo '[N/A]'", None),
        ("echo broken >&2; exit 9", None),
    ],
)
def test_the_memory_of_the_device(tmp_path, monkeypatch, answer, expected):
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{answer}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert hardware.device_bytes() == expected


def test_the_memory_of_a_container(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(hardware, "CGROUP_LIMITS", (limit,))
    whole = hardware.memory_bytes()
    limit.write_text("max\n")
    assert hardware.memory_bytes() == whole
    limit.write_text("1000000\n")
    assert hardware.memory_bytes() == 1_000_000
    assert hardware.free_disk_bytes(Path(tmp_path) / "not" / "there") > 0
