"""A repository of one embedded hub in another, under the layouts of the Hub."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi, constants
from safetensors.numpy import save_file

from ggez_hub.cli.main import cli
from ggez_hub.embedded.store import HubStore
from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub
from ggez_hub.hub.mirror import mirror

from .. import faults
from .conftest import running


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The user's cache, for this test alone."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def model(api, repo, tmp_path):
    """A model in two shards, with an index, a tokenizer, a card and a folder."""
    folder = tmp_path / "model"
    (folder / "onnx").mkdir(parents=True)
    weights = {}
    for number in (1, 2):
        name = f"model-0000{number}-of-00002.safetensors"
        save_file({f"w{number}": np.full(2000, number, np.float32)}, folder / name)
        weights[f"w{number}"] = name
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    (folder / "onnx" / "model.onnx").write_bytes(b"\0" * 3000)
    (folder / "tokenizer.json").write_text("x" * 5000)
    api.upload_folder(folder_path=folder, repo_id=repo)
    return repo


@pytest.fixture
def other(tmp_path):
    """Another hub, which serves: its store, and the hub as this package sees it."""
    with HubStore.open(tmp_path / "other") as store, running(store) as endpoint:
        yield store, Hub(endpoint, store.owner_token(), temporary=True)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in Path(folder).rglob("*")
        if path.is_file() and ".cache" not in path.parts and path.name != ".gitattributes"
    }


def fetched(hub, repo, where, **options):
    api = HfApi(hub.endpoint, token=hub.token)
    return contents(api.snapshot_download(repo, local_dir=where, **options))


def test_a_model_in_shards(hub, api, model, other, tmp_path, cache):
    _, target = other
    source = Hub(hub.endpoint, temporary=True)
    before = fetched(source, model, tmp_path / "a")
    done = mirror(source, target, model, "main")
    assert done.source_revision == api.repo_info(model).sha != done.revision
    assert fetched(target, model, tmp_path / "b") == before
    # Who pins the source's commit finds it.
    assert fetched(target, model, tmp_path / "c", revision=done.source_revision) == before
    # Nothing is left in the cache, and nothing is fetched or sent again.
    assert not any(path.is_file() and path.suffix == ".safetensors" for path in cache.rglob("*"))
    again = mirror(source, target, model, "main")
    assert (again.sent, again.revision) == ((), done.revision)
    # Another commit: what changed comes, what went goes, and the older commit is still found.
    api.upload_file(path_or_fileobj=b"{'a': 1}", path_in_repo="config.json", repo_id=model)
    api.delete_file("tokenizer.json", model)
    newer = mirror(source, target, model, "main")
    assert (newer.sent, newer.removed) == (("config.json",), ("tokenizer.json",))
    assert fetched(target, model, tmp_path / "d") == fetched(source, model, tmp_path / "e")
    assert fetched(target, model, tmp_path / "f", revision=done.source_revision) == before


def test_a_data_set_of_parquet_by_patterns_on_the_command_line(hub, api, new_id, tmp_path):
    pytest.importorskip("pyarrow")
    import pyarrow as pa
    from pyarrow import parquet

    repo = new_id()
    api.create_repo(repo, repo_type="dataset")
    folder = tmp_path / "data"
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True)
        table = pa.table({"a": list(range(1000))})
        parquet.write_table(table, folder / split / f"{split}-00000-of-00001.parquet")
    (folder / "README.md").write_text("# Data\n")
    (folder / "raw.txt").write_text("raw")
    info = api.upload_folder(folder_path=folder, repo_id=repo, repo_type="dataset")
    api.upload_file(
        path_or_fileobj=b"later", path_in_repo="raw.txt", repo_id=repo, repo_type="dataset"
    )
    root = tmp_path / "air-gapped"
    command = [
        "hub", "mirror", f"{repo}@{info.oid}", "--from", hub.endpoint, "--root", str(root),
        "--type", "dataset", "--allow", "*.parquet", "--allow", "README.md", "--private", "--json",
    ]  # fmt: skip
    found = CliRunner().invoke(cli, command)
    assert found.exit_code == 0, found.output
    document = json.loads(found.stdout)
    assert document["source_revision"] == info.oid
    assert document["files"] == 3
    with HubStore.open(root) as store, running(store) as endpoint:
        assert store.repo("dataset", repo).private
        hidden = Hub(endpoint, store.new_token("local", "read"))
        got = fetched(hidden, repo, tmp_path / "got", repo_type="dataset")
        wanted = {path: data for path, data in contents(folder).items() if path != "raw.txt"}
        assert got == wanted


@pytest.mark.slow
def test_it_goes_on_where_it_was_cut(hub, model, other, cache):
    store, target = other
    source = Hub(hub.endpoint, temporary=True)
    seen = 0

    def cut(data):
        nonlocal seen
        seen += len(data)
        return None if seen > 9000 else data

    with faults.wire(target.endpoint, lambda data: data, cut) as line:
        broken = Hub(line.endpoint, target.token, temporary=True)
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the client makes of it
            mirror(source, broken, model, "main")
    with store.git(store.repo("model", model)) as git:
        assert not any("shard" in path or "model" in path for path in git.snapshot().files())
    # The source is not asked for what was fetched.
    asked = []

    def watched(data):
        asked.append(data.partition(b"\r\n")[0])
        return data

    with faults.wire(hub.endpoint, lambda data: data, watched) as line:
        mirror(Hub(line.endpoint, temporary=True), target, model, "main")
    assert not any(b"GET" in line and b".safetensors" in line for line in asked)


def test_a_source_that_sends_other_bytes_is_refused(hub, model, other):
    store, target = other

    def changed(data):
        return data.replace(b"\0" * 3000, b"\1" * 3000)

    with faults.wire(hub.endpoint, changed) as line, pytest.raises(GgezError):
        mirror(Hub(line.endpoint, temporary=True), target, model, "main", allow=["onnx/*"])
    assert store.head("model", model) is not None
    with store.git(store.repo("model", model)) as git:
        assert git.snapshot().files() == [".gitattributes"]


def test_wrong_uses_are_told(hub, model, tmp_path):
    def run(*words):
        return CliRunner().invoke(cli, ["hub", "mirror", *words])

    assert "--root DIR or --hub URL" in run(model).stderr
    into = ["--from", hub.endpoint, "--root", str(tmp_path / "x")]
    assert "no file that matches" in run(model, *into, "--allow", "*.none").stderr
    assert run("acme/none", *into).exit_code == 1
    assert "token" in run(model, "--from", hub.endpoint, "--hub", hub.endpoint).stderr
