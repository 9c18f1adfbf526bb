"""retune.yml, step by step: a committed release becomes a pull request for each card."""

from __future__ import annotations

import csv
import io

import pytest

from ggez_hub.automation.git_changes import import_committed
from ggez_hub.cards import parse_card
from ggez_hub.errors import UsageProblem
from ggez_hub.regions.kof import load_series

from .conftest import git

CARD = "cards/th/embedding/clip-emoji-th.md"
OTHER = "cards/th/embedding/unmeasured.md"
BRANCH = "retune/th-embedding-clip-emoji-th"


def release(thai, last=2024):
    """A download of KOF in which only Thailand moves."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["code", "country", "year", "KOFIpGIdf"])
    known = load_series()
    for code, alpha2 in (("THA", "th"), ("VNM", "vn"), ("LAO", "la")):
        value = thai if alpha2 == "th" else known.value(alpha2, 2023)
        rows.writerow([code, alpha2, last - 1, known.value(alpha2, 2023)])
        rows.writerow([code, alpha2, last, value])
    return text.getvalue()


@pytest.fixture
def accepted(registry, good_card):
    """A measured card, as the index has it, and one without a curve, with a comment."""
    head, _, rest = good_card.partition("  curve:")
    after = rest[rest.index("\n  files:") :]
    unmeasured = f"{head}  curve: unknown{after}".replace("level: measured", "level: declared")
    unmeasured = unmeasured.replace("\n  alpha:\n", "\n  alpha:  # KOF's\n")
    unmeasured = unmeasured.replace("repo: ggez-world/clip-emoji-th", "repo: someone/else")
    registry.accept({CARD: good_card, OTHER: unmeasured})
    return registry


def retune(registry):
    (ran,) = registry.runner.run("retune.yml", "retune", {})
    return ran


def test_nothing_changes_is_an_answer(accepted):
    ran = retune(accepted)
    assert ran.code == 0, ran.stderr
    assert ran.stdout == "Nothing changes: every active card has the alpha of release 2025.\n"
    assert accepted.github.git.proposals == []


def test_a_release_opens_a_pull_request_for_each_card_once(accepted, good_card):
    accepted.accept({"kof/2026.csv": release(85.0)})
    first, second = retune(accepted), retune(accepted)
    assert first.code == second.code == 0, first.stderr
    assert f"{CARD}: alpha 0.37397 to 0.85000, beta 0.5 to 0.25: opened" in first.stdout
    assert f"{OTHER}: alpha 0.37397 to 0.85000, no curve: opened" in first.stdout
    assert second.stdout.count(": unchanged https://github.test/") == 2
    measured, unmeasured = accepted.github.git.proposals
    assert accepted.github.git.moves == 2
    assert measured["title"] == (
        "Set alpha of th/embedding/clip-emoji-th to 0.85000: KOFIpGIdf, KOF release 2026, 2024"
    )
    assert "beta changes from 0.5 to 0.25. It stays for every alpha from" in measured["body"]
    assert "no curve of this adapter" in unmeasured["body"]
    # The branch holds main and this one change.
    changed = git(accepted.origin, "diff", "--numstat", "main", BRANCH).split()
    assert changed == ["3", "3", CARD]
    card = parse_card(git(accepted.origin, "show", f"{BRANCH}:{CARD}") + "\n").card
    assert (card.alpha.value, card.alpha.release, card.alpha.year) == (0.85, "2026", 2024)
    other = git(accepted.origin, "show", f"retune/th-embedding-unmeasured:{OTHER}")
    assert "alpha:  # KOF's\n" in other
    # What it proposes passes the check of a contribution.
    accepted.propose({CARD: git(accepted.origin, "show", f"{BRANCH}:{CARD}") + "\n"})
    (ran,) = accepted.runner.run("contribution.yml", "check", accepted.pull_request())
    assert ran.code == 0, ran.stdout + ran.stderr


@pytest.mark.slow
def test_another_year_updates_what_is_open_and_not_what_a_person_closed(accepted):
    accepted.accept({"kof/2026.csv": release(85.0)})
    retune(accepted)
    accepted.accept({"kof/2027.csv": release(60.0, last=2025)})
    assert retune(accepted).stdout.count(": updated https://github.test/") == 2
    assert "release 2027, 2025" in accepted.github.git.proposals[0]["title"]
    for pull in accepted.github.git.proposals:
        pull["state"] = "closed"
    assert retune(accepted).stdout.count(": declined https://github.test/") == 2
    assert len(accepted.github.git.proposals) == 2


def test_a_file_that_is_no_release_is_named(tmp_path):
    (tmp_path / "kof").mkdir()
    (tmp_path / "kof" / "newest.csv").write_text(release(85.0))
    with pytest.raises(UsageProblem, match=r"newest.csv is not named for a release"):
        import_committed(tmp_path)
