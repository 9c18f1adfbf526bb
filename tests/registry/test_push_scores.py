"""What a pushed result says of its scores, read back by huggingface_hub's own classes."""

from __future__ import annotations

import importlib.util
import io
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from huggingface_hub import HfApi, ModelCard, hf_hub_download, parse_eval_result_entries
from PIL import Image

from ggez_hub.cards import read_card
from ggez_hub.cards.curve import MeasuredCurve
from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import ASSETS, seed
from ggez_hub.demo.world import FamilyFolders
from ggez_hub.digests import sha256_file
from ggez_hub.evaluation.report.trade_off import curve_picture
from ggez_hub.extras import require
from ggez_hub.registry.lock import read_lock
from tests.worlds import serving

pytestmark = pytest.mark.slow

REPO = "ggez-hub/clip-emoji-thai-scored"
FILE = ".eval_results/ggez-hub.yaml"
PICTURE = "evidence/trade-off.png"
EVIDENCE = "evidence/predictions.parquet"


@pytest.fixture
def place(store, monkeypatch):
    """The demo world's hub, and commands that write to it."""
    seed(store)
    with serving(store) as endpoint:
        yield _account(store, endpoint, monkeypatch)


def _account(store, endpoint, monkeypatch):
    from huggingface_hub import constants

    store.add_account("curator", orgs=["ggez-hub"])
    token = store.new_token("curator", "write")
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    return HfApi(endpoint, token)


def pull(place, out, *more):
    done = CliRunner().invoke(
        cli, ["pull", "--region", "th", "--hub", place.endpoint, "-o", str(out), *more]
    )
    assert done.exit_code == 0, done.output
    return done.output


def read(place, path, revision=None):
    return Path(hf_hub_download(REPO, path, endpoint=place.endpoint, revision=revision))


@pytest.mark.parametrize("form", ["merged", "peft"])
def test_a_result_carries_its_scores_and_their_evidence(place, form, tmp_path):
    pull(place, tmp_path / "out", "--as", form, "--push", REPO)
    beta = f"{read_lock(tmp_path / 'out' / 'ggez.lock').resolution.adapters[0].weight:g}"
    adapter = read_card(
        Path(hf_hub_download("ggez-world/clip-emoji-th", "README.md", endpoint=place.endpoint))
    ).card
    rows = {k: row for k, row in adapter.curve[beta].items() if row.split == "test"}
    data = ModelCard.load(read(place, "README.md")).data
    assert data.base_model == ("ggez-world/clip-emoji" if form == "peft" else data.base_model)
    assert data.base_model_relation == {"merged": "merge", "peft": "adapter"}[form]
    found = {result.metric_name.partition(",")[0]: result for result in data.eval_results}
    assert set(found) == {key.rpartition("/")[0] for key in rows}
    for key, row in rows.items():
        result = found[key.rpartition("/")[0]]
        assert (result.metric_value, result.metric_type) == (row.score, row.metric)
        assert (result.dataset_type, result.dataset_split) == ("ggez-world/emoji-names", "test")
        assert result.metric_args["n"] == row.n
    entries = parse_eval_result_entries(yaml.safe_load(read(place, FILE).read_text()))
    assert {e.task_id: e.value for e in entries} == {n: r.metric_value for n, r in found.items()}
    assert all(f"beta {beta}" in e.notes for e in entries)
    assert {row.predictions for row in rows.values()} == {sha256_file(read(place, EVIDENCE))}
    drawn = read(place, PICTURE).read_bytes()
    assert Image.open(io.BytesIO(drawn)).size[0] > 1200
    # Again: nothing is sent.
    head = place.model_info(REPO).sha
    assert "unchanged" in pull(place, tmp_path / "out", "--as", form, "--push", REPO)
    assert place.model_info(REPO).sha == head


@pytest.mark.slow
def test_pr_opens_one_pull_request_and_leaves_main_alone(place, tmp_path):
    place.create_repo(REPO)
    head = place.model_info(REPO).sha
    ways = ("--push", REPO, "--pr")
    assert "opened: " in pull(place, tmp_path / "out", *ways)
    assert "unchanged: " in pull(place, tmp_path / "out", *ways)
    (request,) = place.get_repo_discussions(REPO)
    assert request.is_pull_request
    assert place.model_info(REPO).sha == head
    data = ModelCard.load(read(place, "README.md", f"refs/pr/{request.num}")).data
    assert data.eval_results
    assert read(place, PICTURE, f"refs/pr/{request.num}").read_bytes().startswith(b"\x89PNG")
    alone = CliRunner().invoke(cli, ["pull", "--region", "th", "--pr", "--hub", place.endpoint])
    assert alone.exit_code == 2


@pytest.mark.slow
def test_an_adapter_is_published_with_its_scores_at_beta_1(place, tmp_path):
    folder = shutil.copytree(FamilyFolders(ASSETS).adapter("th"), tmp_path / "adapter")
    command = ["publish", str(folder), "--repo", REPO, "--hub", place.endpoint]
    for said in ("sent", "unchanged"):
        done = CliRunner().invoke(cli, command)
        assert done.exit_code == 0, done.output
        assert said in done.output
    card = read_card(folder / "README.md").card
    rows = {k: row for k, row in card.curve["1"].items() if row.split == "test"}
    data = ModelCard.load(read(place, "README.md")).data
    assert sorted(r.metric_value for r in data.eval_results) == sorted(
        row.score for row in rows.values()
    )
    assert data.base_model_relation == "adapter"
    drawn = read(place, PICTURE).read_bytes()
    assert drawn == curve_picture(card.measured, card.alpha.value, "th", 0.8)
    entries = parse_eval_result_entries(yaml.safe_load(read(place, FILE).read_text()))
    assert len(entries) == len(rows)
    # What was added is no part of the card that others compute with.
    assert read_card(read(place, "README.md")).card == card
    found = CliRunner().invoke(cli, ["verify", str(folder)])
    assert found.exit_code == 0, found.output


def without(card, beta):
    rows = {key: found for key, found in card.curve.items() if key != beta}
    return MeasuredCurve(rows, "independent", card.region)


def test_the_picture_is_of_the_curve_and_no_publication_fails_for_it(monkeypatch):
    card = read_card(FamilyFolders(ASSETS).adapter("th") / "README.md").card
    one, again = (curve_picture(card.measured, 0.4, "th", 0.6) for _ in range(2))
    assert one == again
    for other in (
        curve_picture(card.measured, 0.5, "th", 0.6),
        curve_picture(card.measured, 0.4, "th", None),
        curve_picture(without(card, "0.3"), 0.4, "th", 0.6),
    ):
        assert other not in {one, None}
    assert curve_picture(None, 0.4, "th", None) is None
    require.cache_clear()
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else found(name)
    )
    assert curve_picture(card.measured, 0.4, "th", 0.6) is None
