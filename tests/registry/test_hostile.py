"""Hostile adapters and hubs, pulled by the real command over HTTP.

Each is refused with one clear error; no byte more is fetched than was needed to see it; cache and
target stay clean; and nothing of an adapter is ever run or unpickled.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import pickle
import shutil
import struct
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import constants

from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import seed
from ggez_hub.digests import sha256_file
from ggez_hub.embedded.store import HubStore
from ggez_hub.hub import Hub, guard
from ggez_hub.hub.cache import ChangedFile
from ggez_hub.registry.constants import INDEX_REPO

from ..dishonest_hub import COMMIT, dishonest, honest
from ..faults import Failing, wire
from ..worlds import BASE_REPO, card, serving, write_card

ADAPTER = f"{BASE_REPO}-th"
CARD = "cards/th/embedding/clip-emoji-th.md"
WEIGHTS = "adapter_model.safetensors"


class Bomb:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.fixture
def mark(tmp_path):
    path = tmp_path / "was-run"
    yield path
    assert not path.exists()


@pytest.fixture
def adapter(assets):
    """The only adapter of the world, to be made hostile."""
    shutil.rmtree(assets / "embedding" / "southeast-asia")
    return assets / "embedding" / "th"


@pytest.fixture
def hub_of(assets, tmp_path):
    """A function that seeds the assets and serves them, with every request listed."""
    with ExitStack() as stack:

        def start(change_index=None):
            store = stack.enter_context(HubStore.open(tmp_path / "store"))
            seed(store, assets)
            if change_index is not None:
                changed = change_index(_index_card(store))
                store.commit("dataset", INDEX_REPO, {CARD: changed}, message="x", author="x",
                             email="x@x", date=1_800_000_000)  # fmt: skip
            hubs = []

            def around(app):
                hubs.append(Failing(app))
                return hubs[0]

            endpoint = stack.enter_context(serving(store, around))
            hubs[0].endpoint = endpoint
            return hubs[0]

        yield start


def _index_card(store):
    from ggez_hub.hub import Hub

    with serving(store) as endpoint:
        head = store.head("dataset", INDEX_REPO)
        return Hub(endpoint).read_text(INDEX_REPO, head, CARD, "dataset")


def recard(adapter, **changes):
    write_card(adapter, card("th", adapter.parent / "base", adapter, **changes))


def pull(endpoint, out, *more):
    command = ["pull", "--region", "th", "--hub", endpoint, "-o", str(out), *more]
    return CliRunner().invoke(cli, command)


def cached():
    """What the pull left in the user's cache of the Hub: the paths of snapshots."""
    root = Path(constants.HF_HUB_CACHE)
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_symlink())


def refused(result, out, *words, code=1):
    assert result.exit_code == code, result.output
    assert result.stderr.count("error: ") == 1
    assert "Traceback" not in result.stderr
    assert "clearer message" not in result.stderr
    for word in words:
        assert word in result.stderr
    assert not out.exists()
    assert not list(out.parent.glob(".*"))
    blobs = list(Path(constants.HF_HUB_CACHE).glob("*/blobs/*"))
    assert not [p for p in blobs if p.name.endswith(".incomplete")]
    return result.stderr


def fetched(hub):
    """The files of models whose content was asked for."""
    return sorted(
        line.rpartition("/")[2]
        for line in hub.asked
        if line.startswith("GET /ggez-world/") and "/resolve/" in line
    )


def header(entries, data=b""):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}

SAFETENSORS = {
    "a header of 1 GB": (struct.pack("<Q", 1_000_000_000) + b"{}", "claims 1,000,000,000 bytes"),
    "overlapping": (header({"a": F32, "b": F32 | {"data_offsets": [4, 12]}}, bytes(12)), "overlaps"),
    "a hole": (header({"a": F32, "b": F32 | {"data_offsets": [12, 20]}}, bytes(20)), "leaves a gap"),
    "a tail": (header({"a": F32}, bytes(100)), "longer than its header says"),
    "truncated": (header({"a": F32}, bytes(4)), "truncated"),
    "a huge shape": (header({"a": F32 | {"shape": [1 << 40, 1 << 40]}}, bytes(8)), "size of its shape"),
    "a negative shape": (header({"a": F32 | {"shape": [-2]}}, bytes(8)), "not sizes"),
    "deep JSON": (struct.pack("<Q", 200_000) + b"[" * 200_000, "no valid safetensors header"),
    "a pickle by another name": (pickle.dumps([1, 2]), "not a safetensors file"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAFETENSORS)
def test_a_broken_safetensors_file(adapter, hub_of, tmp_path, name):
    content, words = SAFETENSORS[name]
    (adapter / WEIGHTS).write_bytes(content)
    recard(adapter)
    hub, out = hub_of(), tmp_path / "out"
    message = refused(pull(hub.endpoint, out), out, words, ADAPTER)
    assert "/tmp" not in message
    # The base is not even begun, and the file does not stay.
    assert fetched(hub) == ["adapter_config.json", WEIGHTS]
    assert not [p for p in cached() if p.endswith(WEIGHTS)]


def test_a_pickle_alone(adapter, hub_of, tmp_path, mark):
    (adapter / WEIGHTS).unlink()
    (adapter / "adapter_model.bin").write_bytes(pickle.dumps(Bomb(mark)))
    record = {"size": (adapter / "adapter_model.bin").stat().st_size,
              "sha256": sha256_file(adapter / "adapter_model.bin")}  # fmt: skip
    recard(adapter, files={"adapter_model.bin": record})
    hub, out = hub_of(), tmp_path / "out"
    refused(pull(hub.endpoint, out), out, f"{ADAPTER} records no safetensors file")
    assert fetched(hub) == []


@pytest.mark.parametrize("recorded", [True, False])
def test_a_pickle_beside_safetensors(adapter, hub_of, tmp_path, mark, recorded):
    (adapter / "adapter_model.bin").write_bytes(pickle.dumps(Bomb(mark)))
    files = card("th", adapter.parent / "base", adapter).card.model_dump()["files"]
    if recorded:
        files["adapter_model.bin"] = {"size": (adapter / "adapter_model.bin").stat().st_size,
                                      "sha256": sha256_file(adapter / "adapter_model.bin")}  # fmt: skip
    recard(adapter, files=files)
    hub, out = hub_of(), tmp_path / "out"
    refused(pull(hub.endpoint, out), out, "adapter_model.bin")
    assert WEIGHTS not in fetched(hub)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base_model_name_or_path": "evil/base"}, "names the base 'evil/base'"),
        ({"base_model_name_or_path": ["evil"]}, "names the base"),
        ({"auto_mapping": {"parent_library": "evil"}}, "auto_mapping"),
        ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map"),
        ({"trust_remote_code": True}, "trust_remote_code"),
    ],
)
def test_a_configuration_that_leads_to_code(adapter, hub_of, tmp_path, changes, words):
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    recard(adapter)
    hub, out = hub_of(), tmp_path / "out"
    refused(pull(hub.endpoint, out), out, words)
    assert fetched(hub) == ["adapter_config.json"]


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, '{"r": ' + "9" * 5000 + "}", "{", "[]", '"x"', " " * 1_000_001, "\\ud800", '{"a":1e999'],
    ids=["deep", "huge int", "broken", "list", "string", "large", "no JSON", "cut"],
)  # fmt: skip
def test_a_configuration_that_is_a_bomb(adapter, hub_of, tmp_path, text):
    (adapter / "adapter_config.json").write_text(text)
    recard(adapter)
    hub, out = hub_of(), tmp_path / "out"
    refused(pull(hub.endpoint, out), out, "adapter_config.json")
    assert WEIGHTS not in fetched(hub)


def test_recorded_code(adapter, hub_of, tmp_path, mark):
    code = adapter / "modeling_evil.py"
    code.write_text(f"open({str(mark)!r}, 'w')")
    files = card("th", adapter.parent / "base", adapter).card.model_dump()["files"]
    files[code.name] = {"size": code.stat().st_size, "sha256": sha256_file(code)}
    recard(adapter, files=files)
    hub, out = hub_of(), tmp_path / "out"
    refused(pull(hub.endpoint, out), out, "records modeling_evil.py, which is code")
    assert fetched(hub) == []


def test_code_and_pickles_that_lie_around_are_neither_fetched_nor_run(
    adapter, hub_of, tmp_path, mark
):
    """An honest adapter in a repository with more: what is not recorded is left where it is."""
    (adapter / "handler.py").write_text(f"open({str(mark)!r}, 'w')")
    (adapter / "__init__.py").write_text(f"open({str(mark)!r}, 'w')")
    (adapter / "training_args.bin").write_bytes(pickle.dumps(Bomb(mark)))
    hub, out = hub_of(), tmp_path / "out"
    spy = (
        "import sys\n"
        "seen = []\n"
        "def hook(event, args):\n"
        "    if event == 'pickle.find_class' and not args[0].startswith('babel.'): seen.append(f'{event} {args[0]}.{args[1]}')\n"
        "    if event == 'exec' and any(p in str(args[0].co_filename) for p in ('/hf/', '/out/')):\n"
        "        seen.append(f'{event} {args[0].co_filename}')\n"
        "    if event == 'open' and str(args[0]).endswith(('handler.py', 'training_args.bin')):\n"
        "        seen.append(f'{event} {args[0]}')\n"
        "sys.addaudithook(hook)\n"
        "import atexit; atexit.register(lambda: print('SEEN', seen))\n"
        "from ggez_hub.cli.main import main\n"
        "sys.argv[0] = 'ggez-hub'\n"
        "main()\n"
    )
    command = [sys.executable, "-c", spy, "pull", "--region", "th", "-q", "--hub", hub.endpoint, "-o", str(out)]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "SEEN []"
    assert {"handler.py", "training_args.bin", "__init__.py"}.isdisjoint(fetched(hub))
    assert not [p for p in out.rglob("*") if p.suffix in {".py", ".bin"}]


def test_the_spy_sees_a_pickle(tmp_path):
    """What the test above trusts in: unpickling raises the event."""
    seen = []

    class Probe(pickle.Unpickler):
        def find_class(self, module, name):
            seen.append(f"{module}.{name}")
            return super().find_class(module, name)

    Probe(io.BytesIO(pickle.dumps(Bomb(tmp_path / "x")))).load().close()
    assert seen
    assert (tmp_path / "x").exists()


CARDS = {
    "traversal": (lambda t: t.replace("adapter_config.json", "../../escaped.json"), "relative path"),
    "absolute": (lambda t: t.replace("adapter_config.json", "/etc/passwd"), "relative path"),
    "aliases": (lambda t: t.replace("ggez:\n", "x: &a [1]\ny: *a\nggez:\n", 1), "alias"),
    "deep nesting": (lambda t: t.replace("ggez:\n", "x: " + "[" * 100_000 + "\nggez:\n", 1), "nests"),
    "deep blocks": (lambda t: t.replace("ggez:\n", "x:\n" + "- " * 50_000 + "1\nggez:\n", 1), "nests"),
    "a tag": (lambda t: t.replace("ggez:\n", "x: !!python/name:os.system\nggez:\n", 1), "tag"),
    "a huge int": (lambda t: t.replace("schema_version: 2", "schema_version: " + "9" * 100_000), "should be 2"),
    "sexagesimal": (lambda t: t.replace("schema_version: 2", "schema_version: 2" + ":59" * 300_000), "should be 2"),
    "many keys": (lambda t: t.replace("ggez:\n", "ggez:\n" + "".join(f"  k{i}: 1\n" for i in range(50_000)), 1), "is not a valid card"),
    "a homoglyph": (lambda t: t.replace("repo: ggez-world/clip-emoji-th", "repo: ggez-w\u043erld/clip-emoji-th"), "U+043E"),
    "megabytes": (lambda t: t + "x" * 5_000_000, "larger than"),
    "no text": (lambda t: b"\xff\xfe" + t.encode("utf-16"), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CARDS)
def test_a_hostile_card(adapter, hub_of, tmp_path, name):
    change, words = CARDS[name]

    def changed(text):
        after = change(text)
        assert after != text
        return after if isinstance(after, bytes) else after.encode()

    hub, out = hub_of(changed), tmp_path / "out"
    refused(pull(hub.endpoint, out), out, words)
    # The index was read, and nothing of any model.
    assert not [line for line in hub.asked if "/ggez-world/" in line]
    assert not (tmp_path / "escaped.json").exists()


def test_a_homoglyph_as_a_base(adapter, hub_of, tmp_path):
    hub, out = hub_of(), tmp_path / "out"
    result = pull(hub.endpoint, out, "--base", "ggez-w\u043erld/clip-emoji")
    refused(result, out, "ggez-w\u043erld", code=2)
    assert WEIGHTS not in fetched(hub)


def test_the_dishonest_hub_can_be_honest(adapter, tmp_path):
    with dishonest(honest(adapter)) as hub:
        result = pull(hub.endpoint, tmp_path / "out")
    assert result.exit_code == 0, result.output


FALSE_ANSWERS = {
    "a listed path": ({"paths": {"tokenizer_config.json": "../../../escaped"}}, "leads out of its folder"),
    "a listed absolute path": ({"paths": {"tokenizer_config.json": "/tmp/escaped"}}, "leads out"),
    "a listed backslash": ({"paths": {"tokenizer_config.json": "..\\escaped"}}, "leads out"),
    "a listed escape sequence": ({"paths": {"tokenizer_config.json": "\x9b2Jescaped"}}, "not a name of a file"),
    "a listed turn of the text": ({"paths": {"tokenizer_config.json": "a\u202eescaped"}}, "not a name of a file"),
    "a digest": ({"etag": "../../../../../escaped"}, "leads out of the cache"),
    "a commit": ({"sha": "../../escaped"}, "no commit"),
    "a body without end": ({"endless": WEIGHTS}, "more than the"),
    "a listing that is no JSON": ({"listing": b"<html>"}, "not one of a Hugging Face Hub"),
    "a listing that is a list": ({"listing": b"[]"}, "not one of a Hugging Face Hub"),
    "a deep listing": ({"listing": b"[" * 200_000}, "not one of a Hugging Face Hub"),
    "sizes that are none": ({"listing": json.dumps({"id": INDEX_REPO, "sha": COMMIT, "siblings": [
        {"rfilename": CARD, "size": "1", "blobId": "x"}]}).encode()}, "without size"),
    "a listing without end": ({"listing": b" " * (guard.MAX_ANSWER_BYTES + 1)}, "with more than 64,000,000 bytes"),
    "a listing that unpacks without end": ({"listing": gzip.compress(bytes(1 << 20)), "packed": "gzip"}, "packed with 'gzip'"),
}  # fmt: skip


@pytest.mark.parametrize("name", FALSE_ANSWERS)
def test_a_dishonest_hub(adapter, tmp_path, monkeypatch, name):
    false_answers, words = FALSE_ANSWERS[name]
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "deep" / "er" / "hub"))
    out = tmp_path / "target" / "out"
    out.parent.mkdir()
    with dishonest(honest(adapter), **false_answers) as hub:
        refused(pull(hub.endpoint, out), out, words)
    assert not list(tmp_path.rglob("*escaped*"))
    assert not Path("/tmp/escaped").exists()
    whole = [line for line in hub.asked if line.startswith("GET") and line.endswith("open_clip_model.safetensors")]  # fmt: skip
    assert not whole


def test_a_link_in_the_cache_that_leads_out(adapter, hub_of, tmp_path):
    """The file outside is neither taken nor removed, whatever it holds."""
    hub, out = hub_of(), tmp_path / "out"
    assert pull(hub.endpoint, tmp_path / "first").exit_code == 0
    (link,) = Path(constants.HF_HUB_CACHE).glob(
        f"models--ggez-world--clip-emoji-th/snapshots/*/{WEIGHTS}"
    )
    thesis = tmp_path / "thesis.txt"
    for content in (b"years of work", link.read_bytes()):
        thesis.write_bytes(content)
        link.unlink()
        link.symlink_to(thesis)
        refused(pull(hub.endpoint, out), out, "leads out of the cache", str(thesis))
        assert thesis.read_bytes() == content


LOCKS = {
    "a family": (lambda lock: lock["resolution"].update(family="../../escaped"), "is not a lock file"),
    "an output": (lambda lock: lock["outputs"].update({"../x": {"size": 1, "sha256": "0" * 64}}), "is not a lock file"),
    "a file": (lambda lock: lock["resolution"]["base"]["files"][0].update(path="../x"), "is not a lock file"),
    "a beta": (lambda lock: lock["resolution"]["adapters"][0]["beta"].update(value=math.inf), "is not a lock file"),
    "a repository": (lambda lock: lock["resolution"]["base"].update(repo="../../x"), "is not a lock file"),
}  # fmt: skip


@pytest.mark.parametrize("name", [*LOCKS, "deep", "large"])
def test_a_hostile_lock(adapter, hub_of, tmp_path, name):
    hub = hub_of()
    assert pull(hub.endpoint, tmp_path / "first").exit_code == 0
    text = (tmp_path / "first" / "ggez.lock").read_text()
    if name in LOCKS:
        lock = json.loads(text)
        LOCKS[name][0](lock)
        text = json.dumps(lock)
    else:
        text = {"deep": "[" * 500_000, "large": '{"x": "' + "y" * 5_000_000 + '"}'}[name]
    (tmp_path / "evil.lock").write_text(text)
    out = tmp_path / "out"
    hub.asked.clear()
    result = pull(hub.endpoint, out, "--locked", "--lock", str(tmp_path / "evil.lock"))
    message = refused(result, out, "is not a lock file")
    assert len(message) < 5000
    assert hub.asked == []
    assert not list(tmp_path.rglob("*escaped*"))


def test_a_sparse_bomb(tmp_path):
    """Two short lists in place of a tensor: an index far outside it, or lists of other lengths."""
    import torch
    from safetensors.torch import save_file

    from ..models import write_open_clip
    from .declared import BASE, declare, register, upload

    base, folder = tmp_path / "base", tmp_path / "vector"
    base.mkdir()
    folder.mkdir()
    write_open_clip(base, torch.float16, buffer=False)
    weights = {"open_clip_model.safetensors": sha256_file(base / "open_clip_model.safetensors")}
    manifest = {
        "format": "ggez-task-vector",
        "version": 1,
        "created_by": "x",
        "base": {"weights": weights},
    }
    (folder / "task_vector.json").write_text(json.dumps(manifest))
    name, out = "token_embedding.weight", tmp_path / "out"
    for indices, values in (
        (torch.tensor([1 << 60]), torch.ones(1)),
        (torch.tensor([-1]), torch.ones(1)),
        (torch.tensor([5, 5]), torch.ones(2)),
        (torch.tensor([1, 2]), torch.ones(1)),
        (torch.arange(1 << 20), torch.ones(1 << 20)),
    ):
        save_file(
            {f"{name}::indices": indices, f"{name}::values": values},
            folder / "task_vector.safetensors",
        )
        with HubStore.open(tmp_path / f"store-{indices[-1]}-{len(values)}") as store:
            upload(store, BASE, base)
            revision = upload(store, "real/vector", folder)
            paths = ["task_vector.json", "task_vector.safetensors"]
            register(store, declare("embedding", "task_vector", base, folder, revision=revision,
                                    paths=paths, repo="real/vector"))  # fmt: skip
            with serving(store) as endpoint:
                refused(pull(endpoint, out, "--beta", "0.5"), out, name)
    assert not out.exists()


def test_a_text_that_another_hub_gave_for_a_commit_is_not_taken_for_this_ones(tmp_path):
    """The client's cache is of all hubs, and a dishonest one names any commit."""
    who = {"message": "x", "author": "x", "email": "x@example.org", "date": 1_700_000_000}
    commits, endpoints = [], []
    with ExitStack() as running:
        for name in ("dishonest", "honest"):
            store = running.enter_context(HubStore.open(tmp_path / name))
            store.create_repo("model", "acme/thai")
            files = {"README.md": name.encode()}
            commits.append(store.commit("model", "acme/thai", files, **who))
            endpoints.append(running.enter_context(serving(store)))
        own, real = (commit.encode() for commit in commits)
        line = running.enter_context(
            wire(
                endpoints[0],
                lambda data: data.replace(own, real),
                lambda data: data.replace(real, own),
            )
        )
        assert Hub(line.endpoint).read_text("acme/thai", commits[1], "README.md") == "dishonest"
        hub = Hub(endpoints[1])
        at = hub.at_commit("acme/thai", "main")
        with pytest.raises(ChangedFile, match="not the file that was recorded"):
            hub.read_text(at.repo, at.revision, "README.md")
        assert hub.read_text(at.repo, at.revision, "README.md") == "honest"
