"""Without a network: what was pulled once serves again, and what is missing is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import constants
from huggingface_hub.errors import RepositoryNotFoundError

from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import seed
from ggez_hub.embedded.store import HubStore
from ggez_hub.hub import Hub
from ggez_hub.hub.answers import Answers, NotInCache
from ggez_hub.registry.constants import INDEX_FILE, INDEX_REPO

from ..worlds import serving


def run(*arguments):
    return CliRunner().invoke(cli, [*map(str, arguments)])


@pytest.fixture
def gone(world, tmp_path):
    """The options of a pull from a hub that served `th` once, and answers no more."""
    with HubStore.open(tmp_path / "store") as store:
        seed(store, world)
        with serving(store) as endpoint:
            result = run("pull", "--region", "th", "--hub", endpoint, "-o", tmp_path / "first")
            assert result.exit_code == 0, result.output
    return "--hub", endpoint


@pytest.mark.parametrize("by", ["option", "environment"])
def test_what_was_pulled_serves_again(gone, by, tmp_path, monkeypatch):
    offline = ("--offline",) if by == "option" else ()
    if by == "environment":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for number, more in enumerate(((), ("--locked", "--lock", tmp_path / "first" / "ggez.lock"))):
        out = tmp_path / f"again{number}"
        result = run("pull", "--region", "th", *gone, *more, *offline, "-o", out)
        assert result.exit_code == 0, result.output
        assert (out / "ggez.lock").read_bytes() == (tmp_path / "first/ggez.lock").read_bytes()
    # The folder that is there already needs nothing at all.
    assert run("pull", "--region", "th", *gone, *offline, "-o", out).exit_code == 0


def test_what_is_missing_is_named_in_one_sentence(gone, home, tmp_path):
    (file,) = (home / "hf").rglob("snapshots/*/adapter_model.safetensors")
    file.unlink()
    result = run("pull", "--region", "th", *gone, "--offline", "-o", tmp_path / "again")
    assert result.exit_code == 1
    first, *_ = result.stderr.splitlines()
    assert first.startswith(
        "error: offline: adapter_model.safetensors of ggez-world/clip-emoji-th@"
    )
    assert first.endswith("is not in the cache")


def test_nothing_was_ever_asked(tmp_path):
    result = run("resolve", "--region", "th", "--hub", "http://127.0.0.1:9", "--offline")
    assert result.exit_code == 1
    assert "offline: index.sqlite of ggez-hub/index" in result.stderr
    assert "`search --index shipped`" in result.stderr


def test_that_there_is_no_index_is_known_too(tmp_path):
    with (
        HubStore.open(tmp_path / "store") as store,
        serving(store) as endpoint,
        pytest.raises(RepositoryNotFoundError),
    ):
        Hub(endpoint).newest(INDEX_REPO, INDEX_FILE, "dataset")
    with pytest.raises(RepositoryNotFoundError):
        Hub(endpoint, offline=True).newest(INDEX_REPO, INDEX_FILE, "dataset")


def test_publishing_needs_the_hub(gone, tmp_path):
    result = run(
        "pull", "--region", "th", *gone, "--offline", "--push", "a/b", "-o", tmp_path / "x"
    )
    assert result.exit_code == 2
    assert "--push" in result.stderr
    assert not (tmp_path / "x").exists()


def test_a_damaged_answer_is_none(gone, home, tmp_path):
    for place in (home / "xdg_cache_home" / "ggez-hub" / "answers").iterdir():
        place.write_text('{"question": ["x"], "answer": 1}')
    result = run("pull", "--region", "th", *gone, "--offline", "-o", tmp_path / "again")
    assert result.exit_code == 1
    assert "is not in the cache" in result.stderr


def test_a_range_of_a_data_set_serves_again(world, tmp_path):
    with HubStore.open(tmp_path / "store") as store:
        seed(store, world)
        with serving(store) as endpoint:
            api = Hub(endpoint).api
            name = next(n for n in api.list_repo_files(INDEX_REPO, repo_type="dataset") if "/" in n)
            file = api.hf_hub_download(INDEX_REPO, name, repo_type="dataset")
            commit = api.dataset_info(INDEX_REPO).sha
    found = Hub(endpoint, offline=True).read_range(INDEX_REPO, commit, name, 2, 9, "dataset")
    assert found == Path(file).read_bytes()[2:9]


def test_the_oldest_answers_are_forgotten(monkeypatch):
    monkeypatch.setattr("ggez_hub.hub.answers.MOST_KEPT", 4)
    answers = Answers("https://hub.test")
    for number in range(7):
        answers.keep(("tags", str(number)), {"number": number})
        kept = [n for n in range(number + 1) if known(answers, n)]
        assert number in kept
        assert len(kept) <= 4


def known(answers, number):
    try:
        return answers.recall(("tags", str(number)), "tags") == {"number": number}
    except NotInCache:
        return False
