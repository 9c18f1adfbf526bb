"""The same pull again: one request, no bytes, nothing merged; and what makes it look closer."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.registry.constants import INDEX_REPO
from ggez_hub.registry.lock import read_lock

from ..faults import wire

WEIGHTS = "open_clip_model.safetensors"
SENTENCE = "is there already, with the same merge digest"


def pull(endpoint, *arguments):
    command = ["pull", "--region", "th", "--hub", endpoint, *map(str, arguments)]
    return CliRunner().invoke(cli, command)


@pytest.fixture
def pulled(seeded, tmp_path):
    out = tmp_path / "out"
    first = pull(seeded.endpoint, "-o", out)
    assert first.exit_code == 0, first.output
    return out, first


def again(hub, *arguments):
    """A second pull with every request that reaches the hub counted."""
    from ggez_hub.hub import Hub

    asked = []
    real = Hub._head

    def head(self, *args):
        asked.append("HEAD")
        return real(self, *args)

    def everything(self, *_):
        raise AssertionError("the hub was asked for more than the commit of its index")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hub, "_head", head)
        for name in ("at_commit", "fetch", "read_text", "discover", "exists"):
            patch.setattr(Hub, name, everything)
        result = pull(hub.endpoint, *arguments)
    return result, asked


def test_it_says_the_same_with_one_request(seeded, pulled):
    out, first = pulled
    result, asked = again(seeded, "-o", out)
    assert result.exit_code == 0, result.output
    assert asked == ["HEAD"]
    assert result.stdout == first.stdout.replace(" written;", f" {SENTENCE};")
    assert SENTENCE in result.stdout


def test_it_clears_up_after_a_run_that_was_killed_when_the_folder_was_complete(
    seeded, pulled, tmp_path, monkeypatch
):
    out, _ = pulled
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    script = (
        "import os, sys\nfrom pathlib import Path\n"
        "from ggez_hub.output_lock import lock_output\n"
        "with lock_output(Path(sys.argv[1])) as scratch:\n"
        "    scratch.mkdir()\n    print(scratch, flush=True)\n    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, str(out)],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    scratch = Path(killed.stdout.strip())
    assert scratch.is_dir()
    assert scratch.is_relative_to(tmp_path)
    result, asked = again(seeded, "-o", out)
    assert (result.exit_code, asked) == (0, ["HEAD"])
    assert not scratch.exists()


def test_over_the_wire_it_is_one_small_request(seeded, tmp_path):
    with wire(seeded.endpoint, lambda data: data) as line:
        passed, sent = [], bytearray()
        line.alter = lambda data: passed.append(len(data)) or data
        line.upstream = lambda data: sent.extend(data) or data
        assert pull(line.endpoint, "-o", tmp_path / "out").exit_code == 0
        passed.clear()
        sent.clear()
        assert pull(line.endpoint, "-o", tmp_path / "out").exit_code == 0
    assert len(re.findall(rb"(?m)^[A-Z]+ /\S+", bytes(sent))) == 1
    assert sum(passed) < 2000


def test_json_after_text_and_text_after_json(seeded, pulled):
    out, first = pulled
    result, _ = again(seeded, "-o", out, "--json")
    document = json.loads(result.stdout)
    assert document["reused"] is True
    read = read_lock(out / "ggez.lock").resolution
    assert document["merge_digest"] == read.merge_digest
    slow = json.loads(pull(seeded.endpoint, "-o", out, "--json", "--verify").stdout)
    assert slow == document
    assert again(seeded, "-o", out)[0].stdout.count("\n") == first.stdout.count("\n")


def test_it_imports_neither_models_nor_schemas(seeded, tmp_path):
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
        "from ggez_hub.cli.main import main\n"
        "sys.argv[0] = 'ggez-hub'\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, "pull", "--region", "th", "--as", "peft", "--hub", seeded.endpoint]  # fmt: skip
    imported = []
    for _ in range(2):
        result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        imported.append(set(json.loads(result.stderr.splitlines()[-1])))
    heavy = {
        "pydantic",
        "torch",
        "safetensors",
        "ggez_hub.registry.resolver.resolver",
        "huggingface_hub.hf_api",
    }
    assert heavy & imported[0] > {"pydantic"}
    assert heavy & imported[1] == set()


def change(path, *, keep_time):
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    # A second: times of file systems are less fine than their numbers.
    times = before.st_mtime_ns + (0 if keep_time else 10**9)
    os.utime(path, ns=(times, times))


def test_a_changed_file_of_the_same_size_is_noticed(seeded, pulled):
    out, _ = pulled
    change(out / "embedding" / WEIGHTS, keep_time=False)
    result = pull(seeded.endpoint, "-o", out)
    assert result.exit_code == 1
    assert (
        f"was changed since it was pulled: embedding/{WEIGHTS} has another sha256" in result.stderr
    )


def test_verify_reads_what_size_and_time_hide(seeded, pulled):
    out, _ = pulled
    change(out / "embedding" / WEIGHTS, keep_time=True)
    assert pull(seeded.endpoint, "-o", out).exit_code == 0  # size and time are trusted
    result = pull(seeded.endpoint, "-o", out, "--verify")
    assert result.exit_code == 1
    assert "has another sha256" in result.stderr


def test_a_touched_file_is_read_once(seeded, pulled, monkeypatch):
    from ggez_hub.registry import lock

    out, _ = pulled
    read = []
    real = lock.sha256_file
    monkeypatch.setattr(lock, "sha256_file", lambda path: read.append(path.name) or real(path))
    touched = out / "embedding" / WEIGHTS
    later = touched.stat().st_mtime_ns + 10**9
    os.utime(touched, ns=(later, later))
    for _ in range(2):
        assert pull(seeded.endpoint, "-o", out).exit_code == 0
    assert read == [WEIGHTS]


def test_a_missing_file_is_noticed(seeded, pulled):
    out, _ = pulled
    (out / "embedding" / "tokenizer_config.json").unlink()
    result = pull(seeded.endpoint, "-o", out)
    assert "tokenizer_config.json is missing" in result.stderr
    assert result.exit_code == 1


def test_another_question_is_resolved(seeded, pulled):
    out, _ = pulled
    result = pull(seeded.endpoint, "-o", out, "--beta", "1")
    assert result.exit_code == 1
    assert "holds another pull" in result.stderr


def test_a_changed_index_is_resolved(hub_of, assets, tmp_path):
    hub, store = hub_of(assets)
    out = tmp_path / "out"
    assert pull(hub.endpoint, "-o", out).exit_code == 0
    before = again(hub, "-o", out)[0]
    assert before.exit_code == 0, before.output
    path = "cards/th/embedding/clip-emoji-th.md"
    card = hub.read_text(INDEX_REPO, store.head("dataset", INDEX_REPO), path, "dataset")
    yanked = card.replace("state: active", "state: yanked\n    reason: wrong data")
    assert yanked != card
    store.commit("dataset", INDEX_REPO, {path: yanked.encode()}, message="Yank", author="x", email="x@x", date=1_800_000_000)  # fmt: skip
    result = pull(hub.endpoint, "-o", out)
    assert "clip-emoji-southeast-asia" in result.stderr  # which this folder does not hold


def test_an_imported_release_of_kof_is_resolved(seeded, pulled, monkeypatch):
    from ggez_hub.cli import pull_cache as module

    out, _ = pulled
    real = module._key
    monkeypatch.setattr(
        module, "_key", lambda *a: module.PullKey(**vars(real(*a)) | {"alpha": 0.5})
    )
    asked = []
    monkeypatch.setattr("ggez_hub.cli.pull_steps.run_pull", lambda *a: asked.append(a))
    pull(seeded.endpoint, "-o", out)
    assert asked


def notes():
    return sorted(Path(os.environ["XDG_CACHE_HOME"]).glob("ggez-hub/pulls/*"))


def test_notes_do_not_accumulate(seeded, pulled, tmp_path):
    out, _ = pulled
    (note,) = notes()
    assert "/tmp" not in (out / "ggez.lock").read_text()
    for damage in (b"", b"[" * 100_000, b"[]", b'{"format": 1, "question": 3}'):
        note.write_bytes(damage)
        assert pull(seeded.endpoint, "-o", out).exit_code == 0
    (out).rename(tmp_path / "elsewhere")
    assert pull(seeded.endpoint, "-o", tmp_path / "elsewhere").exit_code == 0
    assert len(notes()) == 1


@pytest.mark.slow
def test_two_pulls_of_one_target_at_once(seeded, tmp_path):
    """Two processes: one writes, the other waits for it and takes what is there then."""
    command = [sys.executable, "-m", "ggez_hub", "pull", "--region", "th", "--json",
               "--hub", seeded.endpoint, "-o", str(tmp_path / "out")]  # fmt: skip

    def run(_):
        return subprocess.run(command, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, range(2)))
    assert [r.returncode for r in results] == [0, 0], [r.stderr for r in results]
    answers = [json.loads(r.stdout) for r in results]
    assert sorted(a["reused"] for a in answers) == [False, True]
    assert len({a["merge_digest"] for a in answers}) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
