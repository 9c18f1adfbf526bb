"""`retune`: beta for another alpha from a card or a lock, and the pull request for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi, constants

from ggez_hub.cards import read_card
from ggez_hub.cli.main import cli
from ggez_hub.regions import find_region
from ggez_hub.registry.retune import alpha_choices

from ..worlds import BASE_REPO, CURVE, card, write_card

ADAPTER = f"{BASE_REPO}-th"


def run(*arguments):
    return CliRunner().invoke(cli, ["retune", *map(str, arguments)])


def document(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def thai(world):
    return world / "embedding" / "th"


def test_a_card_with_another_alpha(thai):
    found = document(thai, "--alpha", "0.85")
    assert (found["beta_before"], found["beta"], found["changed"]) == (0.5, 0.25, True)
    assert found["stays"]["from"] < 0.85 < found["stays"]["to"]
    assert found["ranges"][0]["from"] == 0
    assert found["alpha"]["provenance"] == "user"
    # At the ends of the range the neighbours are chosen.
    beyond = document(thai, "--alpha", found["stays"]["from"] - 1e-6)
    assert beyond["beta"] != 0.25


def test_a_card_with_another_year(thai):
    found = document(thai / "README.md", "--year", "1990")
    assert (found["alpha"]["year"], found["alpha_before"]["year"]) == (1990, 2023)
    assert found["alpha"]["value"] < found["alpha_before"]["value"]
    assert found["changed"] is False
    text = run(thai, "--year", "1990").stdout
    assert "beta stays; 0.5 is chosen for every alpha from" in text


def test_each_average_chooses(world, thai):
    """The betas are those that the same alphas choose when they are given."""
    place = world / "embedding" / "southeast-asia"
    found = document(place)["averages"]
    assert (found["region"], found["year"], len(found["members"])) == ("southeast-asia", 2023, 11)
    choices = {it["average"]: it for it in found["choices"]}
    assert round(choices["mean"]["alpha"], 3) == 0.434
    assert round(choices["median"]["alpha"], 3) == 0.349
    assert choices["population_weighted"]["alpha"] < choices["median"]["alpha"]
    for it in choices.values():
        assert it["beta"] == document(place, "--alpha", it["alpha"])["beta"]
    text = run(place).stdout
    assert "With each average over the 11 countries of southeast-asia, 2023" in text
    # A country has one value: the averages are of the group around it, in the year that was asked.
    found = document(thai, "--year", "1990")["averages"]
    assert (found["region"], found["year"], len(found["members"])) == ("southeast-asia", 1990, 10)


def test_each_average_can_choose_another():
    found = alpha_choices(find_region("sea"), lambda alpha: 0.25 if alpha > 0.4 else 0.75)
    assert [it.beta for it in found.choices] == [0.25, 0.75, 0.75]
    assert alpha_choices(find_region("fr"), lambda alpha: 0.5) is None
    assert alpha_choices(find_region("south-asia"), lambda alpha: 0.5) is None


def test_a_country_of_a_group(world):
    found = document(world / "embedding" / "southeast-asia", "--region", "vn")
    assert (found["region"], found["by_items_of"]) == ("vn", "vn")
    assert found["alpha"]["members"] == ["vn"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--region", "fr"], 2, "the adapter is of th, which does not contain fr"),
        (["--alpha", "0.5", "--year", "1990"], 2, "--alpha is a value of your own"),
        (["--repo", "a/b"], 2, "Add --publish"),
        (["--year", "1800"], 2, "has no year 1800"),
    ],
)
def test_what_cannot_be_asked(thai, arguments, code, words):
    result = run(thai, *arguments)
    assert result.exit_code == code
    assert words in result.stderr


def test_a_pulled_folder(seeded, tmp_path):
    out = tmp_path / "out"
    pulled = ["pull", "--region", "th", "--hub", seeded.endpoint, "-o", str(out)]
    assert CliRunner().invoke(cli, pulled).exit_code == 0
    same = document(out, "--hub", seeded.endpoint)
    assert (same["beta_before"], same["beta"], same["changed"]) == (0.5, 0.5, False)
    result = run(out / "ggez.lock", "--hub", seeded.endpoint, "--alpha", "0.85")
    assert "beta changes; 0.25 is chosen" in result.stdout
    assert f"pull --region th --adapter {ADAPTER} --beta 0.25 --alpha 0.85" in result.stdout


def test_a_hint_keeps_the_hub(seeded, thai):
    result = run(thai, "--region", "fr", "--hub", seeded.endpoint)
    assert f"ggez-hub search --region fr --hub {seeded.endpoint}" in result.stderr


@pytest.fixture
def owned(hub_of, assets, monkeypatch):
    """A hub whose user's token is at hand, as HF_ENDPOINT's."""
    hub, store = hub_of(assets)
    store.add_account("maria")
    token = store.new_token("maria", "write")
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + template)
    monkeypatch.setenv("HF_TOKEN", token)
    return hub, HfApi(hub.endpoint, token=token)


def test_publish_opens_one_pull_request_with_the_new_alpha(owned, thai):
    hub, api = owned
    asked = (thai, "--year", "1990", "--publish", "--repo", ADAPTER, "--hub", hub.endpoint)
    url = document(*asked)["pull_request"]
    assert url == f"{hub.endpoint}/{ADAPTER}/discussions/1"
    (proposal,) = api.get_repo_discussions(ADAPTER)
    assert (proposal.status, proposal.author) == ("open", "maria")
    assert "KOFIpGIdf, KOF release 2025, 1990" in proposal.title
    place = api.hf_hub_download(ADAPTER, "README.md", revision="refs/pr/1")
    proposed = read_card(Path(place))
    before = read_card(thai / "README.md")
    assert proposed.card.alpha.year == 1990
    assert proposed.card.model_copy(update={"alpha": before.card.alpha}) == before.card
    assert (proposed.front_matter, proposed.prose) == (before.front_matter, before.prose)
    # Once more is the same pull request; another year is another.
    again = run(*asked)
    assert "is open already" in again.stdout
    assert len(list(api.get_repo_discussions(ADAPTER))) == 1
    assert run(thai, "--year", "1991", *asked[3:]).exit_code == 0
    assert len(list(api.get_repo_discussions(ADAPTER))) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "has the alpha 0.373971 already"),
        (("--region", "sea"), "which does not contain southeast-asia"),
    ],
)
def test_what_is_not_published(owned, thai, arguments, words):
    hub, api = owned
    result = run(thai, *arguments, "--publish", "--repo", ADAPTER, "--hub", hub.endpoint)
    assert result.exit_code == 2
    assert words in result.stderr
    assert list(api.get_repo_discussions(ADAPTER)) == []


def test_another_regions_alpha_is_not_written_into_a_card(owned, world):
    hub, _ = owned
    place, repo = world / "embedding" / "southeast-asia", f"{BASE_REPO}-southeast-asia"
    asked = ("--region", "vn", "--publish", "--repo", repo, "--hub", hub.endpoint)
    result = run(place, *asked)
    assert result.exit_code == 2
    assert "the alpha of vn does not belong there" in result.stderr


def test_a_card_that_moved_on_is_not_overwritten(owned, assets, thai, tmp_path):
    hub, _ = owned
    other = tmp_path / "other"
    other.mkdir()
    base = assets / "embedding" / "base"
    write_card(other, card("th", base, thai, points={**CURVE, "1": (31.0, 51.0)}))
    result = run(other, "--year", "1990", "--publish", "--repo", ADAPTER, "--hub", hub.endpoint)
    assert result.exit_code == 2
    assert "has another curve than the one that was read here" in result.stderr


def test_without_a_token_the_hub_refuses(seeded, thai):
    asked = ("--year", "1990", "--publish", "--repo", ADAPTER, "--hub", seeded.endpoint)
    result = run(thai, *asked)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
