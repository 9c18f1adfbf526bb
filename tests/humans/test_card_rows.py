"""From a study to a row of a card, and on to verify, the gates and the report."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner

from ggez_hub.automation.contribution_rules import ProposedCard, check_card
from ggez_hub.cards import read_card, write_card
from ggez_hub.cards.document import BadCard
from ggez_hub.cards.schema import Location
from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import ASSETS
from ggez_hub.errors import GgezError
from ggez_hub.humans.store import Store
from ggez_hub.humans.study import StudyModel
from ggez_hub.registry.contribution.proposal import claimed
from ggez_hub.registry.index.entries import as_author_claims
from tests.evaluation.test_report import document, needs_browser, rendered

from .judged import judgements_of
from .studies import study_of

pytestmark = pytest.mark.slow

BETA = "0.8"  # what the policy of the demo's Thai adapter chooses
GOOD = {"m0": (0.0, 0.0), "m1": (0.1, 1.0), "m2": (-0.8, 1.2)}


@pytest.fixture
def adapter(tmp_path):
    """The demo's Thai adapter with its card and its answers."""
    return shutil.copytree(ASSETS / "embedding" / "th", tmp_path / "adapter")


def models_on(adapter):
    card = read_card(adapter / "README.md").card
    digests = {beta: next(iter(rows.values())).model for beta, rows in card.curve.items()}
    return tuple(
        StudyModel(name=f"m{n}", role=role, digest=digests[beta], beta=float(beta))
        for n, (role, beta) in enumerate((("base", "0"), ("merged", BETA), ("unmerged", "1")))
    )


def judged(folder, adapter, quality=GOOD, design="likert", kind="person", **fields):
    """A study of the models on the card of `adapter`, judged by people who like what they like."""
    study = study_of(
        design, items=24, raters_per_item=6, items_per_rater=18,
        **{"raters": {"global": ("en",), "regional": ("th",)}, **fields},
    )  # fmt: skip
    study = study.model_copy(update={"models": models_on(adapter)})
    folder.mkdir(parents=True)
    (folder / "study.json").write_bytes(study.canonical())
    store = Store(folder)
    for side, languages in study.raters.items():
        for language in languages:
            for _ in range(24):
                store.invite(side, language, kind)
    with pytest.MonkeyPatch.context() as patch:
        # A thousand judgements: what a power cut leaves of them is tested elsewhere.
        patch.setattr(store, "_connect", lambda: unsafe(store))
        for own in judgements_of(study, store.raters(), quality):
            store.record(own.rater, own.shown, own.answers, own.seconds)
    return folder


def unsafe(store):
    connection = Store._connect(store)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def run(*arguments):
    return CliRunner().invoke(cli, list(map(str, arguments)))


def test_a_study_becomes_rows_of_a_card_that_verify_recomputes(tmp_path, adapter):
    study = judged(tmp_path / "study", adapter)
    noted = run("humans", "score", study, "--card", adapter)
    assert noted.exit_code == 0, noted.output
    card = read_card(adapter / "README.md").card
    rows = {(row.measure, row.beta): row for row in card.people}
    assert set(rows) == {(m, b) for m in ("correctness", "naturalness") for b in ("0", BETA, "1")}
    row = rows["correctness", BETA]
    assert (row.judge, row.measured_by, row.raters, row.items) == ("people", "self", 48, 24)
    assert row.judgements == 24 * 6 * 2
    assert row.over_base.low > 0
    assert set(row.agreement) == {"en", "th"}
    alpha = row.alpha
    assert row.grp.value == pytest.approx(
        alpha * row.q_global.value + (1 - alpha) * row.q_regional.value
    )
    assert rows["correctness", "0"].over_base is None
    checked = run("verify", adapter, "--json")
    assert checked.exit_code == 0, checked.output
    without = run("verify", ASSETS / "embedding" / "th", "--json")
    figures = [json.loads(found.output)["figures"] for found in (checked, without)]
    assert figures[0] > figures[1] + 100
    # Scored again, the rows of the study are replaced, and its earlier ratings are not left behind.
    again = run(
        "humans",
        "score",
        study,
        "--card",
        adapter,
        "--without",
        next(iter(Store(study).raters())).id,
    )
    assert again.exit_code == 0, again.output
    assert len(read_card(adapter / "README.md").card.people) == len(rows)
    assert len(list((adapter / "evidence").glob("people-*"))) == 1
    assert run("verify", adapter).exit_code == 0


def test_a_changed_figure_or_missing_ratings_are_found(tmp_path, adapter):
    run("humans", "score", judged(tmp_path / "study", adapter), "--card", adapter)
    place = adapter / "README.md"
    text = place.read_text()
    row = next(r for r in read_card(place).card.people if r.beta == BETA)
    place.write_text(text.replace(str(row.grp.value), str(row.grp.value + 0.5)))
    found = run("verify", adapter)
    assert found.exit_code == 1
    assert "people: correctness" in found.output
    assert "grp: value" in found.output
    place.write_text(text)
    (ratings,) = (adapter / "evidence").glob("people-*.parquet")
    ratings.unlink()
    assert "no file here has the sha256" in run("verify", adapter).output


def test_scripts_and_strangers_stay_off_a_card(tmp_path, adapter):
    scripts = judged(tmp_path / "scripts", adapter, kind="simulated")
    refused = run("humans", "score", scripts, "--card", adapter)
    assert refused.exit_code == 2
    assert "scripts judged" in refused.output
    document = read_card(adapter / "README.md")
    run("humans", "score", judged(tmp_path / "study", adapter), "--card", adapter)
    row = read_card(adapter / "README.md").card.people[0].model_copy(update={"judge": "simulated"})
    write_card(
        adapter / "README.md",
        document.__class__(
            **{**vars(document), "card": document.card.model_copy(update={"people": [row]})}
        ),
    )
    with pytest.raises(BadCard, match="what scripts judged"):
        read_card(adapter / "README.md")
    other = ASSETS / "embedding" / "southeast-asia"
    stranger = run(
        "humans", "score", tmp_path / "study", "--card", shutil.copytree(other, tmp_path / "ph")
    )
    assert stranger.exit_code == 2


@pytest.mark.parametrize(
    ("quality", "outcome"),
    [
        (GOOD, "pass"),
        ({**GOOD, "m1": (-1.0, -1.0)}, "fail"),
        (dict.fromkeys(GOOD, (0, 0)), "undetermined"),
    ],
)
def test_people_gate_beside_the_tasks(tmp_path, adapter, quality, outcome):
    study = judged(tmp_path / "study", adapter, quality)
    run("humans", "score", study)
    found = run("ci", "gate", adapter, "--people", study, "--json")
    gates = {gate["gate"]: gate for gate in json.loads(found.stdout)["gates"]}
    assert gates["people: correctness"]["outcome"] == outcome
    assert found.exit_code == (3 if outcome == "fail" else 0)
    if outcome == "undetermined":
        assert "do not decide; to show it with 80 % power" in gates["people: correctness"]["reason"]
    # Automatic figures are what they were.
    alone = json.loads(run("ci", "gate", adapter, "--json").stdout)["gates"]
    assert [gates[gate["gate"]] for gate in alone] == alone


def test_on_a_card_the_registrys_rows_gate_and_an_authors_are_claims(tmp_path, adapter):
    study = judged(tmp_path / "study", adapter)
    run("humans", "score", study, "--card", adapter)
    claim = json.loads(run("ci", "gate", adapter, "--json").stdout)
    assert not any(gate["gate"].startswith("people") for gate in claim["gates"])
    assert any("as its author claims" in line for line in claim["statements"])
    run("humans", "score", study, "--card", adapter, "--measured-by", "registry")
    gated = json.loads(run("ci", "gate", adapter, "--json").stdout)
    assert [g["outcome"] for g in gated["gates"] if g["gate"].startswith("people")] == ["pass"] * 2
    # What a contributor wrote is a claim, whatever it says.
    document = read_card(adapter / "README.md")
    assert {row.measured_by for row in document.card.people} == {"registry"}
    assert {row.measured_by for row in as_author_claims(document).card.people} == {"self"}
    bare = {"curve": "unknown", "parity": "independent", "baselines": None, "level": "declared"}
    claims = replace(document, card=document.card.model_copy(update=bare))
    with pytest.raises(GgezError, match="the registry did not write"):
        claimed(claims, "org", "somebody")
    text = (adapter / "README.md").read_text()
    place = Location(repo="org/x", revision="0" * 40)
    proposed, accepted = (
        replace(document, card=document.card.model_copy(update={"adapter": place, "people": rows}))
        for rows in (document.card.people, [])
    )
    proposed = ProposedCard("cards/th/embedding/x.md", proposed, accepted)
    assert any("the registry did not write" in f.message for f in check_card(proposed, {}))
    elsewhere = json.loads(run("ci", "gate", adapter, "--beta", "0.5", "--json").stdout)
    assert not any(gate["gate"].startswith("people") for gate in elsewhere["gates"])
    assert "people judged beta 0.8, 1, not this one" in elsewhere["statements"]
    # Gates rest on the ratings, not on what the card says of them.
    row = next(r for r in document.card.people if r.beta == BETA)
    forged = text.replace(str(row.over_base.value), "-50.0").replace(
        str(row.over_base.high), "-40.0"
    )
    (adapter / "README.md").write_text(forged)
    gated = json.loads(run("ci", "gate", adapter, "--json").stdout)
    assert [g["outcome"] for g in gated["gates"] if g["gate"].startswith("people")] == ["pass"] * 2
    (ratings,) = (adapter / "evidence").glob("people-*")
    ratings.unlink()
    gated = json.loads(run("ci", "gate", adapter, "--json").stdout)
    assert not any(gate["gate"].startswith("people") for gate in gated["gates"])


def test_what_scripts_judged_gates_nothing(tmp_path, adapter):
    scripts = judged(tmp_path / "study", adapter, {**GOOD, "m1": (-1.0, -1.0)}, kind="simulated")
    run("humans", "score", scripts)
    found = json.loads(run("ci", "gate", adapter, "--people", scripts, "--json").stdout)
    assert not any(gate["gate"].startswith("people") for gate in found["gates"])
    assert any("scripts judged" in line for line in found["statements"])


def test_ranks_are_on_a_card_as_differences_with_the_models_compared(tmp_path, adapter):
    study = judged(tmp_path / "study", adapter, design="rank")
    assert run("humans", "score", study, "--card", adapter).exit_code == 0
    rows = read_card(adapter / "README.md").card.people
    assert all(row.compared and row.grp is row.q_global is row.q_regional is None for row in rows)
    assert next(row for row in rows if row.beta == BETA).over_base.low > 0
    assert run("verify", adapter).exit_code == 0


@needs_browser
def test_the_report_shows_people_as_a_side_of_their_own(tmp_path, adapter):
    study = judged(tmp_path / "study", adapter)
    run("humans", "score", study)
    place = tmp_path / "page.html"
    made = run("report", adapter, "--people", study, "-o", place)
    assert made.exit_code == 0, made.output
    found = document(place)
    assert {row["judge"] for row in found["people"]} == {"people"}
    page, complaints = rendered(place, tmp_path)
    assert not complaints
    assert "<h2>People</h2>" in page
    assert "naturalness (likert), judge: people: 288 judgements of 48 raters" in page
    assert "It is not averaged with scores of tasks" in page
    plain = tmp_path / "plain.html"
    run("report", adapter, "-o", plain)
    assert document(plain)["people"] == []
    same = ("parity", "selection", "baselines", "tasks")
    assert [found[key] for key in same] == [document(plain)[key] for key in same]
