"""The cards below cards/: every one can be read and indexed, and the demo's are the demo's."""

from __future__ import annotations

from demo_world.cards import acceptable_cards
from ggez_hub.automation.contribution_rules import ProposedCard, check_card
from ggez_hub.automation.git_changes import accepted_cards
from ggez_hub.automation.result_repository import published_name
from ggez_hub.registry.index.build import build_index

from .runner import PROJECT


def test_every_card_passes_on_paper_and_is_indexed(tmp_path):
    places = sorted((PROJECT / "cards").glob("*/*/*.md"))
    accepted = accepted_cards(PROJECT)
    assert [PROJECT / path for path in accepted] == places
    problems = [
        finding
        for path, document in accepted.items()
        for finding in check_card(ProposedCard(path, document, document), accepted)
        if finding.level == "error"
    ]
    assert problems == []
    built = build_index(PROJECT / "cards", tmp_path / "index.sqlite")
    assert (built.cards, built.bad) == (len(places), ())


def test_the_demos_cards_are_those_of_the_embedded_hub():
    accepted = accepted_cards(PROJECT)
    demos = [p for p, card in accepted.items() if "ggez-demo" in card.front_matter["tags"]]
    assert "cards/th/embedding/clip-emoji-th.md" in demos
    wanted = acceptable_cards()
    for path in demos:
        found = (PROJECT / path).read_text(encoding="utf-8")
        assert found == wanted.get(path), "python -m demo_world accept"


def test_no_two_cards_share_the_repository_of_their_results():
    """Nor would they if every one had the same name."""
    cards = [(path, document.card) for path, document in accepted_cards(PROJECT).items()]
    for same in (False, True):
        at = [("cards/same.md" if same else path, card) for path, card in cards]
        places = {(path, card.region, card.family) for path, card in at}
        names = {published_name(*each, suffix) for each in at for suffix in ("merged", "adapter")}
        assert len(names) == 2 * len(places) > 2
