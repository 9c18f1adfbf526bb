"""Adapters asked for by name: one, or several that are composed."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.merging.similarity import cosines
from ggez_hub.registry.lock import read_lock
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolver.resolver import NoAdapter, resolve

from ..worlds import BASE_REPO, write_adapter

TH, SEA, JP = (f"{BASE_REPO}-{name}" for name in ("th", "southeast-asia", "jp"))
WEIGHTS = "open_clip_model.safetensors"


@pytest.fixture
def hub(assets, hub_of):
    """The world, with an adapter of Japan that shares no country with the others."""
    (assets / "embedding" / "jp").mkdir()
    write_adapter(assets / "embedding" / "jp", 3, assets / "embedding" / "base")
    return hub_of(assets)[0]


def pull(hub, *arguments):
    return CliRunner().invoke(
        cli, ["pull", "--hub", hub.endpoint, "--region", "th", *map(str, arguments)]
    )


def test_two_adapters_are_composed(hub, assets, tmp_path):
    out = tmp_path / "out"
    result = pull(
        hub, "--adapter", TH, "--adapter", JP, "--beta", "0.3", "--beta", "0.2", "-o", out
    )
    assert result.exit_code == 0, result.output
    assert "This is a composition of several adapters, unmeasured" in result.stdout
    family, folder = get_family("embedding"), assets / "embedding"
    parts = [Adapter(folder / "th", 0.3), Adapter(folder / "jp", 0.2)]
    merge(folder / "base", parts, tmp_path / "expected", family)
    merged = (out / "embedding" / WEIGHTS).read_bytes()
    assert merged == (tmp_path / "expected" / WEIGHTS).read_bytes()
    (pair,) = cosines(folder / "base", [folder / "th", folder / "jp"], family)
    said = f"cos(Delta of {TH}, Delta of {JP}) = {pair.value:+.4f}"
    assert said in result.stdout
    card = (out / "embedding" / "README.md").read_text()
    assert said in card
    assert "unmeasured" in card
    assert "not th: it was asked for" in result.stdout


def test_the_lock_of_a_composition_gives_it_again(hub, tmp_path):
    arguments = ["--adapter", TH, "--adapter", JP, "--beta", "0.3"]
    result = pull(hub, *arguments, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert [a["beta"]["value"] for a in document["adapters"]] == [0.3, 0.3]
    assert len(document["cosines"]) == 1
    assert document["table"] is None
    lock = tmp_path / "out" / "ggez.lock"
    again = pull(hub, "--locked", "--lock", lock, "-o", tmp_path / "again")
    assert again.exit_code == 0, again.output
    assert read_lock(tmp_path / "again" / "ggez.lock") == read_lock(lock)


def test_overlapping_regions_are_refused(hub, tmp_path):
    both = ("--adapter", TH, "--adapter", SEA, "--beta", "0.2")
    result = pull(hub, *both, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "overlap in th" in result.stderr
    assert "--allow-overlap" in result.stderr
    allowed = pull(hub, *both, "--allow-overlap", "-o", tmp_path / "out")
    assert allowed.exit_code == 0, allowed.output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--adapter", TH, "--adapter", TH), 2, "asked for twice"),
        (("--adapter", TH, "--beta", "0.1", "--beta", "0.2"), 2, "1 adapter and 2 betas"),
        (("--adapter", TH, "--adapter", JP, "--as", "peft"), 2, "takes one adapter"),
        (("--adapter", "ggez-world/clip-emoji"), 1, "no `ggez:` block"),
        (("--adapter", "nobody/nothing"), 1, "does not exist"),
        (("--adapter", TH, "--family", "vlm"), 1, "is of the family embedding"),
    ],
)
def test_what_cannot_be_composed(hub, tmp_path, arguments, code, words):
    result = pull(hub, *arguments, "-o", tmp_path / "out")
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert not (tmp_path / "out").exists()


def test_one_adapter_by_name(hub):
    resolved = resolve(Request("th", adapters=(JP,)), hub).resolution
    assert [a.source.repo for a in resolved.adapters] == [JP]
    assert resolved.region == "th"
    # The curve of its card has items of Thailand, whose beta is what counts.
    assert resolved.adapters[0].beta.region == "th"


def test_an_adapter_that_is_named_needs_no_trust_beside(hub):
    revision = hub.at_commit(TH, "main").revision
    other = f"{TH}@{revision[:-1]}0"
    with pytest.raises(GgezError, match="has no revision"):
        resolve(Request("th", adapters=(other,)), hub)
    accepted = resolve(Request("th", adapters=(f"{TH}@{revision}",)), hub).resolution
    assert accepted.adapters[0].card.repo_type == "dataset"
    for trust in ("curated", "any", "ggez-world"):
        named = resolve(Request("th", adapters=(f"{TH}@main",), trust=trust), hub).resolution
        assert named.adapters[0].card.repo_type == "model"
    # Organisations restrict what is named, too.
    with pytest.raises(NoAdapter, match="is not trusted"):
        resolve(Request("th", adapters=(f"{TH}@main",), trust="seacrowd"), hub)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("https://huggingface.co/org/x", "its repository is org/x."),
        ("https://huggingface.co/org/x/tree/v2?not=that", "its repository is org/x@v2."),
        ("x", "A repository is named org/name"),
        ("org/x@", "A repository is named org/name"),
    ],
)
def test_what_is_not_the_name_of_a_repository(name, hint):
    for wrong in ({"adapters": (name,)}, {"base": name}):
        with pytest.raises(UsageProblem, match="is not the name of a repository") as problem:
            Request("th", **wrong)
        assert hint in problem.value.hint
