"""The lock file: the same inputs and the same bytes again, or a refusal that says why."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi, constants

from ggez_hub.cli.main import cli
from ggez_hub.digests import sha256_file
from ggez_hub.registry.lock import differences, read_lock

from ..dishonest_hub import dishonest, honest
from ..worlds import BASE_REPO, card, write_card

ADAPTER = f"{BASE_REPO}-th"


def pull(hub, *arguments):
    return CliRunner().invoke(cli, ["pull", "--hub", hub.endpoint, *map(str, arguments)])


@pytest.fixture
def locked(hub_of, assets, tmp_path):
    """A hub, its store, and the lock of a pull from it."""
    hub, store = hub_of(assets)
    assert pull(hub, "--region", "th", "-o", tmp_path / "first").exit_code == 0
    shutil.copy(tmp_path / "first" / "ggez.lock", tmp_path / "kept.lock")
    return hub, store, tmp_path / "kept.lock"


def again(hub, lock, out):
    return pull(hub, "--region", "th", "--locked", "--lock", lock, "-o", out)


def commit(store, files, **options):
    return store.commit("model", ADAPTER, files, message="Change it", author="x",
                        email="x@x", date=1_800_000_000, **options)  # fmt: skip


def test_locked_gives_the_same_bytes(locked, tmp_path):
    hub, _, lock = locked
    result = again(hub, lock, tmp_path / "second")
    assert result.exit_code == 0, result.output
    assert read_lock(tmp_path / "second" / "ggez.lock") == read_lock(lock)


def test_the_lock_names_the_region(locked, tmp_path):
    hub, _, lock = locked
    result = pull(hub, "--locked", "--lock", lock, "-o", tmp_path / "second")
    assert result.exit_code == 0, result.output
    assert "th is Thailand" in result.output
    unnamed = pull(hub, "--locked")
    assert unnamed.exit_code == 2
    assert "--locked needs a lock file" in unnamed.stderr


def test_locked_takes_the_old_commit_when_the_branch_moved(locked, assets, tmp_path):
    hub, store, lock = locked
    commit(store, {"adapter_model.safetensors": b"something else"})
    result = again(hub, lock, tmp_path / "second")
    assert result.exit_code == 0, result.output
    assert read_lock(tmp_path / "second" / "ggez.lock") == read_lock(lock)


def test_lock_in_the_folder_itself_reuses_it(locked, tmp_path):
    hub, _, _ = locked
    result = pull(hub, "--region", "th", "--locked", "-o", tmp_path / "first", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["reused"] is True


def test_a_deleted_upstream_is_refused(locked, tmp_path):
    hub, store, lock = locked
    HfApi(hub.endpoint, token=_owner(store)).delete_repo(ADAPTER)
    result = again(hub, lock, tmp_path / "second")
    assert result.exit_code == 1
    assert f"{ADAPTER}@" in result.stderr
    assert "gone" in result.stderr
    assert not (tmp_path / "second").exists()


def test_another_machine_gets_the_same_bytes(locked, tmp_path, monkeypatch):
    """Another home, an empty cache, nothing but the lock file."""
    hub, _, lock = locked
    for name in ("HOME", "HF_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "other" / name))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "other" / "hub"))
    result = again(hub, lock, tmp_path / "second")
    assert result.exit_code == 0, result.output
    # Inputs by sha256 and outputs by sha256: the lock holds both, and says nothing of a machine.
    assert (tmp_path / "second" / "ggez.lock").read_bytes() == lock.read_bytes()
    assert not differences(read_lock(lock), tmp_path / "second")
    for pinned in read_lock(lock).resolution.inputs:
        folder = next((tmp_path / "other" / "hub").glob(f"*/snapshots/{pinned.revision}"))
        for path, digest in pinned.weights.items():
            assert sha256_file(folder / path) == digest


def test_a_moved_tag_is_refused_with_the_difference(hub_of, assets, tmp_path):
    hub, store = hub_of(assets)
    api = HfApi(hub.endpoint, token=_owner(store))
    api.create_tag(BASE_REPO, tag="v1")
    first = pull(hub, "--region", "th", "--base", f"{BASE_REPO}@v1", "-o", tmp_path / "first")
    assert first.exit_code == 0, first.output
    lock = tmp_path / "first" / "ggez.lock"
    pinned = read_lock(lock).resolution.base
    assert (pinned.tag, pinned.revision) == ("v1", store.head("model", BASE_REPO))
    store.commit("model", BASE_REPO, {"open_clip_model.safetensors": b"other"}, message="x",
                 author="x", email="x@x", date=1_800_000_000)  # fmt: skip
    # The branch may move; the tag may not.
    assert again(hub, lock, tmp_path / "second").exit_code == 0
    api.delete_tag(BASE_REPO, tag="v1")
    result = again(hub, lock, tmp_path / "third")
    assert result.exit_code == 1
    assert "the tag v1 is gone" in result.stderr
    api.create_tag(BASE_REPO, tag="v1")
    result = again(hub, lock, tmp_path / "third")
    assert result.exit_code == 1
    now = store.head("model", BASE_REPO)[:12]
    assert f"{BASE_REPO}@{pinned.revision[:12]}: the tag v1 names the commit {now} now" in (
        result.stderr
    )
    assert not (tmp_path / "third").exists()


def test_the_tag_of_an_adapter_is_pinned_too(hub_of, assets, tmp_path):
    hub, store = hub_of(assets)
    api = HfApi(hub.endpoint, token=_owner(store))
    api.create_tag(ADAPTER, tag="v1")
    first = pull(hub, "--region", "th", "--adapter", f"{ADAPTER}@v1", "--trust", "any", "--as",
                 "peft", "-o", tmp_path / "first")  # fmt: skip
    assert first.exit_code == 0, first.output
    (pinned,) = read_lock(tmp_path / "first" / "ggez.lock").resolution.adapters
    assert pinned.source.tag == "v1"


def test_a_rewritten_branch_is_refused(locked, assets, tmp_path):
    """A history that begins anew: the pinned commit exists no longer."""
    hub, store, lock = locked
    HfApi(hub.endpoint, token=_owner(store)).delete_repo(ADAPTER)
    store.create_repo("model", ADAPTER)
    commit(store, {p.name: p for p in (assets / "embedding" / "th").iterdir()})
    result = again(hub, lock, tmp_path / "second")
    assert result.exit_code == 1
    pinned = read_lock(lock).resolution.adapters[0].source.revision[:12]
    assert f"{ADAPTER}@{pinned}: the commit is gone (the branch was rewritten)" in result.stderr
    assert "Pull anew without --locked" in result.stderr
    assert not (tmp_path / "second").exists()


def test_a_squashed_history_counts_as_long_as_the_hub_has_the_commit(locked, tmp_path):
    hub, store, lock = locked
    commit(store, {"notes.txt": b"x"})
    HfApi(hub.endpoint, token=_owner(store)).super_squash_history(ADAPTER)
    result = again(hub, lock, tmp_path / "second")
    assert result.exit_code == 0, result.output


@pytest.fixture
def rewritable(assets, tmp_path):
    """A hub that changes what a commit holds, as no honest one does, and the lock of a pull."""
    with dishonest(honest(assets / "embedding" / "th")) as hub:
        assert pull(hub, "--region", "th", "-o", tmp_path / "first").exit_code == 0
        shutil.copy(tmp_path / "first" / "ggez.lock", tmp_path / "kept.lock")
        hub.asked.clear()
        yield hub, tmp_path / "kept.lock"


def test_a_deleted_file_is_refused(rewritable, tmp_path):
    hub, lock = rewritable
    del hub.repos[ADAPTER]["adapter_model.safetensors"]
    result = again(hub, lock, tmp_path / "second")
    assert result.exit_code == 1
    assert "adapter_model.safetensors is gone" in result.stderr
    assert not [line for line in hub.asked if "/resolve/" in line and "index" not in line]


def test_another_sha256_is_refused_with_the_difference(rewritable, tmp_path):
    hub, lock = rewritable
    content = bytearray(hub.repos[ADAPTER]["adapter_model.safetensors"])
    content[-1] ^= 1
    hub.repos[ADAPTER]["adapter_model.safetensors"] = bytes(content)
    result = again(hub, lock, tmp_path / "second")
    assert result.exit_code == 1
    pinned = read_lock(lock).resolution.adapters[0].source.weights["adapter_model.safetensors"]
    now = hashlib.sha256(content).hexdigest()
    assert (
        f"has changed: {now[:16]}… of {len(content):,} bytes, pinned {pinned[:16]}…"
        in result.stderr
    )
    assert not [line for line in hub.asked if "/resolve/" in line and "index" not in line]


def test_several_differences_are_all_told(rewritable, tmp_path):
    hub, lock = rewritable
    del hub.repos[ADAPTER]
    hub.repos[BASE_REPO]["tokenizer_config.json"] = b"{ }"
    result = again(hub, lock, tmp_path / "second")
    assert f"{ADAPTER}@" in result.stderr
    assert "the repository is gone or private" in result.stderr
    assert "tokenizer_config.json has changed" in result.stderr


def test_a_file_that_is_listed_and_not_there(rewritable, tmp_path, monkeypatch):
    """As after the deletion of a large file on the Hub: the commit still names it."""
    hub, lock = rewritable
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    hub.false_answers["missing"] = "adapter_model.safetensors"
    result = again(hub, lock, tmp_path / "second")
    assert result.exit_code == 1
    assert "404" in result.stderr
    assert "clearer message" not in result.stderr
    assert not (tmp_path / "second").exists()


def _owner(store):
    store.add_account("owner", orgs=["ggez-world"])
    return store.new_token("owner", "write")


def test_other_choices_are_refused(locked, tmp_path):
    hub, _, lock = locked
    arguments = ("--region", "th", "--locked", "--lock", lock, "-o", tmp_path / "x")
    result = pull(hub, *arguments, "--beta", "0.3")
    assert result.exit_code == 2
    assert "--beta cannot be chosen" in result.stderr
    assert pull(hub, "--region", "vn", *arguments[2:]).exit_code == 2


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"schema_version": 2}'])
def test_what_is_no_lock(locked, tmp_path, content):
    hub, _, lock = locked
    lock.write_text(content)
    result = again(hub, lock, tmp_path / "x")
    assert result.exit_code == 1
    assert "is not a lock file" in result.stderr


def test_an_output_that_differs_is_refused(locked, tmp_path):
    hub, _, lock = locked
    data = json.loads(lock.read_text())
    data["outputs"]["embedding/open_clip_model.safetensors"]["sha256"] = "f" * 64
    lock.write_text(json.dumps(data))
    result = again(hub, lock, tmp_path / "second")
    assert result.exit_code == 1
    assert "the result differs from the lock" in result.stderr
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (("adapters", 0, "beta", "value"), 0.75, "the lock has 'beta 0.75: "),
        (("alpha", "value"), 0.9, "the lock has 'alpha 0.90000: "),
        (("base", "revision"), "0" * 40, "the lock has 'base: "),
    ],
    ids=["beta", "alpha", "base"],
)
def test_a_lock_that_was_edited_is_named(locked, tmp_path, key, value, words):
    folder = tmp_path / "first"
    assert CliRunner().invoke(cli, ["verify", str(folder)]).exit_code == 0
    content = json.loads((folder / "ggez.lock").read_text())
    part = content["resolution"]
    for name in key[:-1]:
        part = part[name]
    part[key[-1]] = value
    (folder / "ggez.lock").write_text(json.dumps(content))
    result = CliRunner().invoke(cli, ["verify", str(folder)])
    assert result.exit_code == 1
    assert words in result.stderr


def test_a_poisoned_cache_is_noticed_and_cleaned(locked, tmp_path):
    hub, _, lock = locked
    cache = Path(constants.HF_HUB_CACHE)
    (file,) = cache.glob("models--ggez-world--clip-emoji-th/snapshots/*/adapter_model.safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.resolve().write_bytes(content)
    result = again(hub, lock, tmp_path / "second")
    assert result.exit_code == 1
    assert "is not the file that was recorded" in result.stderr
    assert not file.exists()
    assert again(hub, lock, tmp_path / "second").exit_code == 0


def test_offline_after_one_pull(locked, tmp_path, monkeypatch):
    hub, _, lock = locked
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    arguments = ("--region", "th", "--locked", "--lock", lock, "--offline")
    result = pull(hub, *arguments, "-o", tmp_path / "second")
    assert result.exit_code == 0, result.output


def test_the_lock_names_every_input(locked):
    _, _, lock = locked
    pinned = read_lock(lock).resolution
    assert set(pinned.base.weights) == {"open_clip_model.safetensors"}
    assert {f.path for f in pinned.adapters[0].source.files} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    text = lock.read_text()
    assert "/tmp" not in text
    assert "http" not in text


def test_beta_follows_the_curve_of_the_card(hub_of, assets, tmp_path):
    folder = assets / "embedding" / "th"
    base = assets / "embedding" / "base"
    write_card(folder, card("th", base, folder, points={"0": (60.0, 1.0), "1": (60.0, 50.0)}))
    hub, _ = hub_of(assets)
    result = pull(hub, "--region", "th", "-o", tmp_path / "out", "--json")
    assert json.loads(result.stdout)["adapters"][0]["beta"]["value"] == 1.0
