"""A bare request: what the index recommends, one that is small, or a choice."""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi

from ggez_hub.cards import CardDocument
from ggez_hub.cli.main import cli
from ggez_hub.embedded.store import HubStore
from ggez_hub.families import get_family
from ggez_hub.hub import Hub
from ggez_hub.registry.pull import choices
from ggez_hub.registry.pull.choices import Undecided, decide
from ggez_hub.registry.request import Request

from ..diffusion.pipelines import write_pipeline
from ..worlds import serving
from .declared import BASE, declare, register, upload
from .test_kinds import qwen3, siglip2


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two bases of different families; each is its own fine-tune."""
    folder = tmp_path_factory.mktemp("models")
    return {"embedding": siglip2(folder / "siglip")[0], "vlm": qwen3(folder / "qwen")[0]}


@pytest.fixture
def hub(models, tmp_path):
    """A function that serves models of these families for th; `marked` one is recommended."""
    from contextlib import ExitStack

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


def test_only_the_recommended_one_is_asked_for(models, tmp_path):
    asked = set()

    class Watched(Hub):
        def at_commit(self, repo, revision, repo_type="model"):
            asked.add(repo)
            return super().at_commit(repo, revision, repo_type)

    with HubStore.open(tmp_path / "store") as store, serving(store) as endpoint:
        near, far, other = (
            declare(
                family, "merged", models[family], models[family], region=region, repo=repo,
                revision=upload(store, repo, models[family]),
                paths=get_family(family).layout(models[family]).weights,
            )
            for family, region, repo in (
                ("embedding", "th", "real/near"),
                ("embedding", "southeast-asia", "real/far"),
                ("vlm", "m49-142", "real/other"),
            )
        )  # fmt: skip
        register(store, near, _marked(far), other)
        resolved = decide(Request("th", wide=True), Watched(endpoint), tmp_path / "out")
    assert resolved.resolution.adapters[0].source.repo == "real/far"
    assert "real/other" in asked
    assert "real/near" not in asked


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
    if "Did you mean" in words:
        words = f"ggez-hub pull --hub {server.endpoint} --region vn -o {tmp_path / 'out'}\n"
        assert words in result.stderr


def test_a_repository_that_may_not_be_read_leaves_the_other_choices(models, tmp_path):
    pipeline = write_pipeline("sdxl", tmp_path / "sdxl")
    with HubStore.open(tmp_path / "store") as store, serving(store) as endpoint:
        documents = []
        for family, model, repo, files in (
            ("vlm", models["vlm"], "real/vlm-model", {}),
            ("embedding", models["embedding"], "real/embedding-model", {}),
            ("diffusion", pipeline, "closed/drawings", {"files": "unknown", "base": {
                "repo": f"{BASE}-diffusion", "revision": "main", "weights": "unknown"}}),
        ):  # fmt: skip
            upload(store, f"{BASE}-{family}", model)
            upload(store, repo, model)
            documents.append(declare(
                family, "merged", model, model, revision="main", repo=repo,
                paths=get_family(family).layout(model).weights, **files,
            ))  # fmt: skip
        register(store, *documents)
        store.add_account("owner", orgs=["closed"])
        api = HfApi(endpoint, token=store.new_token("owner", "write"))
        api.update_repo_settings("closed/drawings", gated="manual")
        result = pull(Hub(endpoint), "-o", tmp_path / "out")
    assert result.exit_code == 2, result.output
    assert "2 models serve th; choose one" in result.stderr
    assert "left out: closed/drawings cannot be read: access to closed/drawings" in result.stderr
    assert f"Accept it at {endpoint}/closed/drawings" in result.stderr
