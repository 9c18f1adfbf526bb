"""A repository of one embedded hub in another, under the layouts of the Hub."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import RepositoryNotFoundError
from safetensors.numpy import save_file

from ggez_hub.cli.main import cli
from ggez_hub.embedded.garbage import collect
from ggez_hub.embedded.store import HubStore
from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub
from ggez_hub.hub.mirror import mirror
from ggez_hub.hub.mirror_history import mirror_history

from .. import faults
from .conftest import running

pytestmark = pytest.mark.slow

WHO = {"message": "x", "author": "a", "email": "a@example.org", "date": 1_700_000_000}


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
    assert document["source_revision"] == document["revision"] == info.oid
    assert document["files"] == 2
    with HubStore.open(root) as store, running(store) as endpoint:
        assert store.repo("dataset", repo).private
        store.owner_token()
        hidden = Hub(endpoint, store.new_token("local", "read"))
        assert store.head("dataset", repo) == info.oid
        got = fetched(hidden, repo, tmp_path / "got", repo_type="dataset")
        assert got == contents(folder)


def test_history_comes_with_its_ids(hub, api, model, tmp_path, cache):
    source = Hub(hub.endpoint, temporary=True)
    first = api.repo_info(model).sha
    api.upload_file(path_or_fileobj=b"{'a': 1}", path_in_repo="config.json", repo_id=model)
    root = tmp_path / "air-gapped"
    with HubStore.open(root) as store, running(store) as endpoint:
        target = Hub(endpoint, temporary=True)
        done = mirror_history(source, store, model, first)
        assert len(done.sent) == 3
        assert fetched(target, model, tmp_path / "a") == fetched(
            source, model, tmp_path / "b", revision=first
        )
        # A card that pins the commit is served by the mirror, too.
        assert target.at_commit(model, first) == source.at_commit(model, first)
        assert not any(path.suffix == ".safetensors" for path in cache.rglob("*") if path.is_file())
        again = mirror_history(source, store, model, "main")
        assert again.sent == ()
        assert store.head("model", model) == again.revision == api.repo_info(model).sha
        assert collect(store, -1).total_bytes < 1000
        assert fetched(target, model, tmp_path / "c") == fetched(source, model, tmp_path / "d")


def test_what_is_larger_than_was_allowed_does_not_come(hub, api, model, other, tmp_path):
    source = Hub(hub.endpoint, temporary=True)
    target = other[1]
    files = source.at_commit(model, "main").files
    size, large = (sum(f.size for f in files if wanted(f)) for wanted in (bool, lambda f: f.sha256))
    with pytest.raises(GgezError, match=f"have {size} bytes together"):
        mirror(source, target, model, "main", max_size=size - 1)
    with pytest.raises(RepositoryNotFoundError):
        target.api.repo_info(model)
    assert mirror(source, target, model, "main", max_size=size).sent
    with HubStore.open(tmp_path / "small") as small:
        with pytest.raises(GgezError, match=f"have {large} bytes together"):
            mirror_history(source, small, model, "main", max_size=large - 1)
        # A long history of small files is bounded, too.
        noise = np.random.default_rng(1).bytes(20_000).hex().encode()
        api.upload_file(path_or_fileobj=noise, path_in_repo="noise.txt", repo_id=model)
        with pytest.raises(GgezError, match="the history of"):
            mirror_history(source, small, model, "main", max_size=large)
        assert small.head("model", model) is None
        assert not list(small.folder(small.repo("model", model)).rglob("*.pack"))
        mirror_history(source, small, model, "main", max_size=large + 100_000)
    assert "--max-size" in CliRunner().invoke(cli, ["hub", "mirror", "--help"]).output


def test_history_of_a_private_repo_needs_the_token(hub, secret_repo, tmp_path):
    with HubStore.open(tmp_path / "x") as store:
        private = Hub(hub.endpoint, hub.tokens["reader"], temporary=True)
        mirror_history(private, store, secret_repo, "main", private=True)
        assert store.repo("model", secret_repo).private
        other = tmp_path / "y"
        with HubStore.open(other) as empty, pytest.raises(RepositoryNotFoundError):
            mirror_history(Hub(hub.endpoint, temporary=True), empty, secret_repo, "main")


def test_a_large_file_that_was_changed_on_the_way_is_refused(hub, model, tmp_path):
    def changed(data):
        return data.replace(b"\0" * 3000, b"\1" * 3000)

    with HubStore.open(tmp_path / "x") as store:
        with faults.wire(hub.endpoint, changed) as line, pytest.raises(GgezError):
            mirror_history(
                Hub(line.endpoint, temporary=True), store, model, "main", allow=["onnx/*"]
            )
        assert store.head("model", model) is None
        # And it goes on where it was: the history is there.
        mirror_history(Hub(hub.endpoint, temporary=True), store, model, "main")
        assert store.head("model", model) == HfApi(hub.endpoint).repo_info(model).sha


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


def test_files_alone_into_a_hub_by_its_address(hub, model, other, tmp_path):
    store, target = other
    token = tmp_path / "token"
    token.write_text(store.new_token("local", "write"))
    command = [
        "hub",
        "mirror",
        model,
        "--from",
        hub.endpoint,
        "--hub",
        target.endpoint,
        "--token-file",
        str(token),
    ]
    found = CliRunner().invoke(cli, command)
    assert found.exit_code == 0, found.output
    assert store.head("model", model) in found.stdout
    assert "a tag with the source's leads to it" in found.stdout


def test_wrong_uses_are_told(hub, model, tmp_path):
    def run(*words):
        return CliRunner().invoke(cli, ["hub", "mirror", *words])

    assert "--root DIR or --hub URL" in run(model).stderr
    into = ["--from", hub.endpoint, "--root", str(tmp_path / "x")]
    assert "no file that matches" in run(model, *into, "--allow", "*.none").stderr
    assert run("acme/none", *into).exit_code == 1
    assert "token" in run(model, "--from", hub.endpoint, "--hub", hub.endpoint).stderr


def test_what_is_private_or_gated_does_not_become_public(hub, api, secret_repo, model, other):
    store, target = other
    private = Hub(hub.endpoint, hub.tokens["reader"], temporary=True)
    api.update_repo_settings(model, gated="auto")
    for repo in (secret_repo, model):
        mirror(private, target, repo, "main")
        assert store.repo("model", repo).private
        store.delete_repo(store.repo("model", repo))
        mirror_history(private, store, repo, "main")
        assert store.repo("model", repo).private
        store.delete_repo(store.repo("model", repo))
        mirror_history(private, store, repo, "main", private=False)
        assert not store.repo("model", repo).private
        # One that is public already takes nothing that has to be private.
        store.delete_repo(store.repo("model", repo))
        store.create_repo("model", repo)
        for options in ({}, {"private": True}):
            with pytest.raises(GgezError, match="is public"):
                mirror(private, target, repo, "main", **options)
            with pytest.raises(GgezError, match="is public"):
                mirror_history(private, store, repo, "main", **options)
            assert store.head("model", repo) is None
        store.delete_repo(store.repo("model", repo))


def test_commits_of_its_own_are_not_lost(hub, api, model, tmp_path):
    source = Hub(hub.endpoint, temporary=True)
    first = api.repo_info(model).sha
    api.upload_file(path_or_fileobj=b"{'a': 1}", path_in_repo="config.json", repo_id=model)
    newer = api.repo_info(model).sha
    with HubStore.open(tmp_path / "x") as store:
        mirror_history(source, store, model, "main")
        # Back and forth in the source's own history.
        for revision, commit in ((first, first), ("main", newer)):
            assert mirror_history(source, store, model, revision).revision == commit
        own = store.commit("model", model, {"own.txt": b"own"}, **WHO)
        with pytest.raises(GgezError, match="commits of its own"):
            mirror_history(source, store, model, "main")
        assert store.head("model", model) == own
        with store.git(store.repo("model", model)) as git:
            git.create_branch("ours", own)
        mirror_history(source, store, model, "main")
        assert store.head("model", model) == newer
        assert store.head("model", model, "ours") == own


def test_what_a_collection_took_meanwhile_is_fetched_again(hub, api, model, tmp_path):
    """Neither a branch without its files, nor a history that stays incomplete."""
    source = Hub(hub.endpoint, temporary=True)
    with HubStore.open(tmp_path / "x") as store:
        seen = []

        def collected(data):
            # While the last of the large files comes.
            if b"GET" in data and b"00002-of-00002.safetensors" in data and not seen:
                seen.append(collect(store, -1))
            return data

        with faults.wire(hub.endpoint, lambda data: data, collected) as line:
            slow = Hub(line.endpoint, temporary=True)
            with pytest.raises(GgezError, match="removed meanwhile"):
                mirror_history(slow, store, model, "main")
        assert seen[0].large_files
        assert store.head("model", model) is None
        mirror_history(source, store, model, "main")
        assert store.head("model", model) == api.repo_info(model).sha


def test_half_a_history_is_fetched_again(hub, api, model, tmp_path):
    source = Hub(hub.endpoint, temporary=True)
    head = api.repo_info(model).sha
    with HubStore.open(tmp_path / "x") as store:
        store.create_repo("model", model)
        with (
            hub.store.git(hub.store.repo("model", model)) as there,
            store.git(store.repo("model", model)) as git,
        ):
            git.objects.write(there.objects.commit(head))
            git.objects.flush()
        mirror_history(source, store, model, "main")
        assert store.head("model", model) == head


def test_a_small_file_that_is_large_for_the_other_hub_does_not_come_again(hub, api, model, other):
    store, target = other
    rules = b"*.json filter=lfs diff=lfs merge=lfs -text\n"
    store.create_repo("model", model)
    store.commit("model", model, {".gitattributes": rules}, **WHO)
    source = Hub(hub.endpoint, temporary=True)
    done = mirror(source, target, model, "main")
    with store.git(store.repo("model", model)) as git:
        assert git.snapshot().listing(recursive=True)
    assert target.at_commit(model, "main").file("config.json").sha256 is not None
    again = mirror(source, target, model, "main")
    assert again.revision == done.revision
    assert again.sent == ()


def test_history_comes_by_the_proxy_of_the_environment(hub, model, tmp_path, monkeypatch):
    asked = []

    def forwarded(data):
        """As a proxy does, that is asked by complete addresses."""
        asked.append(data.partition(b"\r\n")[0])
        return data.replace(b" " + hub.endpoint.encode(), b" ", 1)

    source = Hub(hub.endpoint, temporary=True)
    with (
        HubStore.open(tmp_path / "x") as store,
        faults.wire(hub.endpoint, bytes, forwarded) as line,
    ):
        monkeypatch.setenv("HTTP_PROXY", line.endpoint)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        mirror_history(source, store, model, "main")
    assert any(b"git-upload-pack" in line for line in asked)


@pytest.mark.parametrize(("sent", "broken"), [(b"PACK", b"PICK"), (b"\2\0\0\0", b"\7\0\0\0")])
def test_what_git_cannot_read_is_one_clear_error(hub, model, tmp_path, sent, broken):
    def changed(data):
        before, pack, after = data.partition(b"PACK\0\0\0")
        return before + (pack + after).replace(sent, broken, 1)

    with (
        HubStore.open(tmp_path / "x") as store,
        faults.wire(hub.endpoint, changed) as line,
        pytest.raises(GgezError, match="could not be fetched by git"),
    ):
        mirror_history(Hub(line.endpoint, temporary=True), store, model, "main")


def test_a_space_by_its_address(hub, api, new_id, other):
    store, target = other
    repo = new_id()
    api.create_repo(repo, repo_type="space", space_sdk="static")
    card = b"---\nsdk: static\n---\n"
    api.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=repo, repo_type="space")
    mirror(Hub(hub.endpoint, temporary=True), target, repo, "main", repo_type="space")
    with store.git(store.repo("space", repo)) as git:
        assert "README.md" in git.snapshot().files()
