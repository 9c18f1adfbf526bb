"""`python -m demo_world build`: from the packages, with the scores that the cards have."""

from __future__ import annotations

import shutil

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from demo_world.__main__ import main
from ggez_hub.cards import read_card
from ggez_hub.demo.hub import ASSETS
from ggez_hub.demo.questions import questions_of
from ggez_hub.demo.world import DEMO_FAMILIES, FamilyFolders, find_in
from ggez_hub.evaluation.answers.scores import score_of
from ggez_hub.evaluation.models.model_under_test import StoredModel
from ggez_hub.families import get_family
from ggez_hub.regions import find_region

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("npm") is None, reason="the world is built from npm packages"),
]


@pytest.fixture
def trusted():
    """Packages come from elsewhere: trust whom this machine trusts."""


@pytest.mark.parametrize("part", DEMO_FAMILIES.values(), ids=list(DEMO_FAMILIES))
def test_rebuilt_from_packages_it_scores_as_the_card_says(part, tmp_path, monkeypatch):
    # What an earlier build left in the cache would not be built again.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    built = CliRunner().invoke(
        main, ["build", "--family", part.family, "-o", str(tmp_path)], catch_exceptions=False
    )
    assert built.exit_code == 0, built.output
    place, committed = FamilyFolders(tmp_path, part), FamilyFolders(ASSETS, part)
    assert place.adapters == committed.adapters
    for path in sorted(committed.data.rglob("*.parquet")):
        now = pq.read_table(place.data / path.relative_to(committed.data))
        assert now.equals(pq.read_table(path))
    model = StoredModel(place.base, (place.adapter("th"),), get_family(part.family))
    answered = questions_of(part).ask(
        model, find_in(ASSETS), find_region("th"), (0.0, 1.0), ("test",)
    )
    curve = read_card(committed.adapter("th") / "README.md").card.curve
    for cell, outcomes in answered.outcomes.items():
        then, now = curve[f"{cell.beta:g}"][f"{cell.task}/{cell.split}"], score_of(outcomes)
        # Another CPU sums in another order, and training carries that far: three standard errors
        # of a difference, and two points, for items are not all that differs.
        assert now.score == pytest.approx(then.score, abs=3 * (then.se**2 + now.se**2) ** 0.5 + 2)
