"""A registry that closes a part of its test side: measured, published and kept by its commands."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi

from ggez_hub.automation.contribution_rules import ProposedCard, check_card
from ggez_hub.automation.indexed_cards import with_measurement
from ggez_hub.automation.remote_evaluation import (
    deliver,
    digest_of,
    evidence_in,
    recomputed,
)
from ggez_hub.automation.suite import closed_rule
from ggez_hub.cards import read_card
from ggez_hub.cards.measurements import ClosedRule
from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import seed
from ggez_hub.digests import sha256_file
from ggez_hub.embedded.store import HubStore
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.predictions import read_predictions
from ggez_hub.evaluation.results.closed_part import CLOSED
from ggez_hub.evaluation.results.evidence import RESULTS, open_evidence
from ggez_hub.evaluation.results.verification import verify_evidence, with_closed
from ggez_hub.hub import Hub
from ggez_hub.recipe_file import recipes_folder
from ggez_hub.registry.contribution.proposal import claimed
from ggez_hub.registry.index.entries import as_author_claims

from ..worlds import serving
from .conftest import fewer_items, git
from .runner import PROJECT

pytestmark = pytest.mark.slow

CARD = PROJECT / "cards/th/embedding/clip-emoji-th.md"
RULE = ClosedRule(share=0.3, rotation="2026-12")
EVERY = 24


class Measured:
    """A hub, a clone of a registry whose recipe closes a part, and how to measure a card there."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.endpoint, self.folder = endpoint, folder
        self.out, self.keep, self.clone = folder / "out", folder / "kept", folder / "clone"
        self.clone.mkdir()
        git(self.clone, "init", "-q", "-b", "main")
        git(self.clone, "commit", "-q", "--allow-empty", "-m", "Start")

    def eval(self, *more: str):
        command = ["registry", "eval", str(CARD), "--repository", str(self.clone), "--hub",
                   self.endpoint, *more]  # fmt: skip
        return CliRunner().invoke(cli, command)

    def into(self, out: Path, keep: Path, *more: str):
        return self.eval("-o", str(out), "--keep", str(keep), *more)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("closed")
    shutil.copytree(recipes_folder(), folder / "recipes")
    recipe = folder / "recipes" / "evaluation.yaml"
    closed = f"closed: {{share: {RULE.share}, rotation: {RULE.rotation}}}\n"
    recipe.write_text(recipe.read_text() + closed)
    with pytest.MonkeyPatch.context() as patched, HubStore.open(folder / "store") as store:
        patched.setattr("ggez_hub.automation.suite.recipes_folder", lambda: folder / "recipes")
        seed(store)
        store.add_account("curator", orgs=["ggez-hub"])
        fewer_items(store, EVERY)
        with serving(store) as endpoint:
            made = Measured(folder, endpoint)
            made.token = store.new_token("curator", "write")
            made.ran = made.into(made.out, made.keep, "--json")
            yield made


def test_the_recipe_says_what_is_closed(measured):
    assert closed_rule() == RULE


def test_a_card_is_measured_and_gated_on_both_parts(measured):
    assert measured.ran.exit_code in {0, 3}, measured.ran.output
    (report,) = json.loads(measured.ran.stdout).values()
    names = {gate["gate"] for gate in report["gates"]}
    assert {"gain", "gain on the closed part", "jump", "leakage"} <= names
    comment = (measured.out / "comment.md").read_text()
    assert "gain on the closed part" in comment
    assert f"rotation {RULE.rotation}" in comment


def test_only_open_answers_are_published_and_the_closed_ones_are_kept(measured):
    header = verify_evidence(measured.out).evidence.header
    assert verify_evidence(measured.out).problems == ()
    assert header.closed.sha256 == sha256_file(measured.keep / CLOSED)
    kept, opened = read_predictions(measured.keep / CLOSED), open_evidence(measured.out).outcomes
    for cell, answered in kept.items():
        assert len(answered) + len(opened[cell]) == 1368 // EVERY
        assert all(map(RULE.is_closed, answered.pictures))
        assert not any(map(RULE.is_closed, opened[cell].pictures))
    assert kept
    # Not even what was kept while it was measured.
    names = {path.relative_to(measured.out).as_posix() for path in measured.out.rglob("*")}
    assert names == {"average.parquet", "card.md", "comment.md", "measured.json",
                     "predictions.parquet", "results.json"}  # fmt: skip
    texts = [(measured.out / name).read_text() for name in names if not name.endswith("parquet")]
    pictures = {picture for answered in kept.values() for picture in answered.pictures}
    assert not any(picture in text for picture in pictures for text in texts)


def test_shards_keep_the_closed_answers_apart_too(measured, tmp_path):
    done = measured.into(tmp_path / "out", tmp_path / "keep", "--shards", "2")
    assert done.exit_code in {0, 3}, done.output

    def contents(folder):
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    assert contents(tmp_path / "out") == contents(measured.out)
    assert contents(tmp_path / "keep") == contents(measured.keep)
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == []


def test_the_card_records_the_part_and_an_author_cannot(measured):
    document = read_card(measured.out / "card.md")
    part = open_evidence(measured.out).header.closed
    assert document.card.closed == part
    assert {row.n for row in document.card.curve["0.25"].values()} == {
        1368 // EVERY, 1368 // EVERY - part.pictures,
    }  # fmt: skip
    proposed = ProposedCard("cards/th/embedding/clip-emoji-th.md", document, read_card(CARD))
    assert any("the registry did not write" in f.message for f in check_card(proposed, {}))
    bare = {"curve": "unknown", "parity": "independent", "baselines": None, "level": "declared"}
    only = replace(document, card=document.card.model_copy(update=bare))
    with pytest.raises(GgezError, match="the registry did not write"):
        claimed(only, "me", "me")
    assert as_author_claims(document).card.closed is None
    # The index's measurement, the closed part with it, is that of the same accepted card.
    again = with_measurement(read_card(CARD), document)
    assert again is not None
    assert again.card.closed == part


def test_what_is_there_is_not_measured_again_without_the_kept_answers(measured, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(measured.out, out)
    again = measured.into(out, tmp_path / "kept", "--json")
    assert again.stdout == measured.ran.stdout
    assert not (tmp_path / "kept").exists()


def test_the_closed_answers_need_a_folder_apart(measured, tmp_path):
    without = measured.eval("-o", str(tmp_path / "out"))
    assert without.exit_code == 2
    assert "with --keep" in without.output
    inside = measured.into(tmp_path / "out", tmp_path / "out" / "kept")
    assert inside.exit_code == 2
    assert "is inside the other" in inside.output


def test_closed_answers_are_delivered_to_a_private_data_set(measured):
    document = read_card(CARD)
    hub, place = Hub(measured.endpoint, measured.token), digest_of(document)
    deliver(document, measured.out, hub, "ggez-hub/results", measured.keep)
    api = HfApi(measured.endpoint, measured.token)
    opened = api.list_repo_files("ggez-hub/results", repo_type="dataset")
    assert f"{place}/predictions.parquet" in opened
    assert not any(name.endswith(CLOSED) for name in opened)
    private = api.dataset_info("ggez-hub/results-closed")
    assert private.private
    assert f"{place}/{CLOSED}" in {file.rfilename for file in private.siblings}


def test_a_delivery_without_a_closed_part_is_not_taken(measured, tmp_path):
    document = read_card(CARD)
    for name in evidence_in(measured.out):
        shutil.copyfile(measured.out / name, tmp_path / name)
    taken = recomputed(document, tmp_path, measured.clone)
    assert taken.header.closed == open_evidence(measured.out).header.closed
    content = json.loads((tmp_path / RESULTS).read_text())
    del content["header"]["closed"]
    (tmp_path / RESULTS).write_text(json.dumps(content))
    with pytest.raises(GgezError, match="no part of the test side was closed"):
        recomputed(document, tmp_path, measured.clone)


def test_the_closed_part_of_a_card_is_recomputed(measured):
    found = verify_evidence(measured.out / "card.md")
    checked = with_closed(found, measured.keep / CLOSED)
    assert checked.closed_answers == sum(
        map(len, read_predictions(measured.keep / CLOSED).values())
    )
    assert checked.problems == found.problems
    assert checked.figures > found.figures


def test_a_card_has_to_say_where_its_adapter_lies(measured, tmp_path):
    card = tmp_path / "card.md"
    lines = CARD.read_text().splitlines(keepends=True)
    start = next(n for n, line in enumerate(lines) if line.startswith("  adapter:"))
    end = next(n for n in range(start + 1, len(lines)) if not lines[n].startswith("    "))
    card.write_text("".join(lines[:start] + lines[end:]))
    command = ["registry", "eval", str(card), "-o", str(tmp_path / "out"),
               "--repository", str(measured.clone), "--hub", measured.endpoint]  # fmt: skip
    ran = CliRunner().invoke(cli, command)
    assert ran.exit_code == 2, ran.output
    assert "does not name where its adapter is" in ran.output
