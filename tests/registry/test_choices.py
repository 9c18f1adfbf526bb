"""A bare request: what the index recommends, one that is small, or a choice."""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from ggez_hub.cards import CardDocument, read_card
from ggez_hub.cli.main import cli
from ggez_hub.embedded.store import HubStore
from ggez_hub.hub import Hub
from ggez_hub.registry.pull import choices
from ggez_hub.registry.pull.choices import Undecided, decide
from ggez_hub.registry.request import Request

from ..worlds import serving
from .declared import BASE, declare, register, upload
from .test_kinds import gemma3, qwen3, siglip2


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two bases of different families; each is its own fine-tune."""
    folder = tmp_path_factory.mktemp("models")
    return {"embedding": siglip2(folder / "siglip")[0], "vlm": qwen3(folder / "qwen")[0]}


@pytest.fixture
def hub(models, tmp_path):
    """A function that serves models of these families for th; `marked` one is recommended."""
    from contextlib import ExitStack

    from ggez_hub.families import get_family

    with ExitStack() as stack:

        def start(*families, marked=None, region="th"):
            store = stack.enter_context(HubStore.open(tmp_path / "store"))
            documents = []
            for family in families:
                model = models[family]
                upload(store, f"{BASE}-{family}", model)
                revision = upload(store, f"real/{family}-model", model)
                document = declare(
                    family, "merged", model, model, region=region, revision=revision,
                    repo=f"real/{family}-model", paths=get_family(family).layout(model).weights,
                )  # fmt: skip
                documents.append(_marked(document) if family == marked else document)
            register(store, *documents)
            return Hub(stack.enter_context(serving(store)))

        yield start


def _marked(document):
    card = document.card
    place = card.adapter.model_copy(update={"recommended": True})
    card = card.model_copy(update={"adapter": place})
    return CardDocument(card, document.front_matter, document.prose)


def pull(hub, *arguments):
    return CliRunner().invoke(
        cli, ["pull", "--hub", hub.endpoint, "--region", "th", *map(str, arguments)]
    )


def test_the_only_model_is_taken_if_it_is_small(hub, tmp_path):
    served = hub("embedding")
    assert decide(Request("th"), served, tmp_path / "out").resolution.family == "embedding"


def test_a_large_one_is_not_taken_unasked(hub, tmp_path, monkeypatch):
    served = hub("embedding")
    monkeypatch.setattr(choices, "UNASKED_BYTES", 1000)
    with pytest.raises(Undecided, match="one model serves th"):
        decide(Request("th"), served, tmp_path / "out")
    assert decide(Request("th", family="embedding"), served, tmp_path / "out")
    # What it would cost may be asked.
    assert decide(Request("th"), served, tmp_path / "out", costs_only=True)


def test_several_are_a_choice_with_costs_and_commands(hub, tmp_path):
    served = hub("embedding", "vlm")
    result = pull(served, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "2 models serve th; choose one" in result.stderr
    # With all that was given.
    offered = f"ggez-hub pull --hub {served.endpoint} --region th -o {tmp_path / 'out'} --adapter "
    assert f"{offered}real/vlm-model" in result.stderr
    for words in ("to fetch", "of disk", "of memory", "on a device", "apache-2.0", "not gated",
                  "not measured", "fits this machine"):  # fmt: skip
        assert words in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_command_that_is_offered_works(hub, tmp_path):
    served = hub("embedding", "vlm")
    result = pull(served, "-o", tmp_path / "models of th", "--json", "--alpha", "0.25", "--dry-run")
    for choice in json.loads(result.stdout)["choices"]:
        program, *words = shlex.split(choice["command"])
        assert program == "ggez-hub"
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["alpha"]["value"] == 0.25
    # One folder holds both.
    assert {place.name for place in (tmp_path / "models of th").iterdir()} == {
        "embedding", "vlm", "ggez.lock", "ggez-vlm.lock",
    }  # fmt: skip


def test_json_lists_the_choices(hub, tmp_path):
    result = pull(hub("embedding", "vlm"), "-o", tmp_path / "out", "--json")
    assert result.exit_code == 2
    listed = json.loads(result.stdout)["choices"]
    assert {choice["family"] for choice in listed} == {"embedding", "vlm"}
    assert all(choice["fetch_bytes"] > 0 and not choice["measured"] for choice in listed)


def test_the_recommended_one_is_taken(hub, tmp_path):
    served = hub("embedding", "vlm", marked="vlm")
    resolved = decide(Request("th"), served, tmp_path / "out")
    assert resolved.resolution.family == "vlm"


def test_a_recommended_one_that_does_not_fit_is_a_choice(hub, tmp_path, monkeypatch):
    served = hub("embedding", "vlm", marked="vlm")
    true = choices.preflight
    monkeypatch.setattr(
        choices,
        "preflight",
        lambda r, *rest: replace(true(r, *rest), lacking=("no disk",) * (r.family == "vlm")),
    )
    with pytest.raises(Undecided) as undecided:
        decide(Request("th"), served, tmp_path / "out")
    lines = [line for choice in undecided.value.choices for line in choice.lines()]
    assert any("recommended; no disk" in line for line in lines)


def test_a_terminal_is_asked(hub, tmp_path):
    served = hub("embedding", "vlm")
    command = [sys.executable, "-m", "ggez_hub", "pull", "--region", "th", "--hub",
               served.endpoint, "-o", str(tmp_path / "out")]  # fmt: skip
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | {"COLUMNS": "400"}
    )
    os.close(theirs)
    os.write(ours, b"1\n")
    seen = b""
    try:
        while chunk := os.read(ours, 65536):
            seen += chunk
    except OSError:  # the other side is closed
        pass
    assert process.wait(timeout=60) == 0, seen.decode()
    assert b"Which one" in seen
    assert (tmp_path / "out" / "ggez.lock").is_file()


@pytest.mark.parametrize(
    ("asked", "served", "words"),
    [
        ("vi", "vn", "Did you mean vn (Vietnam)? vi is the language Vietnamese"),
        ("fr", "th", "This hub serves: th (embedding)"),
    ],
)
def test_a_region_without_anything(hub, tmp_path, asked, served, words):
    server = hub("embedding", region=served)
    arguments = ["pull", "--hub", server.endpoint, "--region", asked, "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 1
    assert words in result.stderr


def test_the_existing_models_of_the_index_are_choices(tmp_path):
    """The cards of the repository, on a hub whose repositories have the real names and tiny models."""
    cards = sorted((Path(__file__).parents[2] / "cards" / "southeast-asia").rglob("*.md"))
    assert cards
    models = {"gemma": gemma3(tmp_path / "gemma")[0], "qwen": qwen3(tmp_path / "qwen")[0]}
    with HubStore.open(tmp_path / "store") as store:
        documents = [read_card(path) for path in cards]
        for document in documents:
            card = document.card
            model = models["gemma" if "gemma" in card.base.repo else "qwen"]
            upload(store, card.base.repo, model, document.license)
            upload(store, card.adapter.repo, model, document.license)
        register(store, *documents)
        with serving(store) as endpoint:
            hub = Hub(endpoint)
            result = pull(hub, "--dry-run", "-o", tmp_path / "out", "--json")
            choices = json.loads(result.stdout)["choices"]
            (offered,) = [c["command"] for c in choices if "Gemma-SEA-LION-v4-4B" in c["adapter"]]
            taken = CliRunner().invoke(cli, offered.split()[1:])
    assert result.exit_code == 2
    assert {choice["adapter"] for choice in choices} == {d.card.adapter.repo for d in documents}
    kinds = {d.card.adapter.repo: d.card.kind for d in documents}
    assert set(kinds.values()) == {"finetune", "merged"}
    for choice in choices:
        assert choice["needs_beta"] == (kinds[choice["adapter"]] == "finetune")
    assert taken.exit_code == 0, taken.output
    # Of the base others record a commit, which this hub does not have.
    assert "warning: google/gemma-3-4b-it is at the commit" in taken.stderr
    assert "093f9f388b31 was expected (two public files that agree)" in taken.stderr
    assert "fine-tune" in (tmp_path / "out" / "vlm" / "README.md").read_text()
