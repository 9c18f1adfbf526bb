"""Verification: one changed prediction, label, score or beta is found and named."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from ggez_hub.cards import CardDocument, read_card, render_card, write_card
from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import ASSETS
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.results.consistency import contradictions
from ggez_hub.evaluation.results.evidence import open_evidence
from ggez_hub.evaluation.results.verification import verify_evidence
from tests.evaluation.conftest import change, outcomes
from tests.evaluation.results import write

pytestmark = pytest.mark.slow

THAI = ASSETS / "embedding" / "th"
EVIDENCE = "evidence/predictions.parquet"


@pytest.fixture
def adapter(tmp_path):
    """The card of the demo's Thai adapter and its evidence."""
    folder = tmp_path / "th"
    (folder / "evidence").mkdir(parents=True)
    shutil.copy(THAI / "README.md", folder)
    for name in (EVIDENCE, "evidence/average.parquet"):
        shutil.copy(THAI / name, folder / name)
    return folder


@pytest.fixture
def results(tmp_path):
    write(tmp_path / "results")
    return tmp_path / "results"


def verify(place):
    return CliRunner().invoke(cli, ["verify", str(place)])


def row_of(path, beta, task, split, **values):
    """The first row of a cell with these values."""
    table = pq.read_table(path).to_pandas()
    keep = (table.beta == beta) & (table.task == task) & (table.split == split)
    for name, value in values.items():
        keep &= table[name] == value
    return int(np.flatnonzero(keep)[0])


def rewrite(folder, edit):
    """Change the card's curve, a dict of dicts of rows."""
    document = read_card(folder / "README.md")
    curve = {beta: dict(rows) for beta, rows in document.card.curve.items()}
    card = document.card.model_copy(update={"curve": edit(curve) or curve})
    text = render_card(CardDocument(card, document.front_matter, document.prose))
    (folder / "README.md").write_text(text)


def test_the_demos_card_follows_from_its_evidence(adapter):
    result = verify(adapter)
    assert result.exit_code == 0, result.stderr
    assert re.search(r"[0-9,]+ figures follow from 142,272 answers", result.stdout)
    assert "beta 0.8: the highest GRP on validation" in result.stdout
    assert (
        "parity: beta 0.8; on test outside the region 88.1 % of the base's score" in result.stdout
    )
    assert "keep: beta 0.4; on test outside the region 97.3 % of the base's score" in result.stdout
    document = json.loads(CliRunner().invoke(cli, ["verify", str(adapter), "--json"]).stdout)
    assert (document["ok"], document["selection"]["beta"]) == (True, 0.8)
    assert document["selection"]["policies"]["keep"]["beta"] == 0.4
    assert document["parity"]["test"]["points"]["0.6"]["grp"]["value"] == pytest.approx(42.2448)
    # The card does not say which data set its tasks are of.
    assert document["scores"]["0"]["emoji-th-choice/test"]["contamination"] == (
        "contamination unknown"
    )


def test_a_flipped_prediction_is_named(adapter):
    row = row_of(adapter / EVIDENCE, 0.5, "emoji-th-choice", "test", correct=True)
    item = pq.read_table(adapter / EVIDENCE).column("item")[row].as_py()
    change(adapter / EVIDENCE, "predicted", row, "1f600" if item != "1f600" else "1f603")
    result = verify(adapter)
    assert result.exit_code == 1
    assert f"emoji-th-choice/test at beta 0.5: the answer to '{item}' is" in result.stderr
    assert "it was changed" in result.stderr


@pytest.mark.parametrize("task", ["emoji-th-choice", "emoji-th-retrieval"])
def test_a_flipped_gold_label_is_named(adapter, task):
    row = row_of(adapter / EVIDENCE, 0.5, task, "validation", correct=False)
    item = pq.read_table(adapter / EVIDENCE).column("item")[row].as_py()
    change(adapter / EVIDENCE, "gold", row, "1f601" if item != "1f601" else "1f603")
    result = verify(adapter)
    assert result.exit_code == 1
    assert f"{task}/validation at beta 0.5: the right answer of '{item}' is" in result.stderr


def test_an_answer_changed_in_every_column_changes_the_score(adapter):
    path = adapter / EVIDENCE
    row = row_of(path, 0.6, "emoji-th-choice", "test", correct=False)
    gold = pq.read_table(path).column("gold")[row].as_py()
    for column, value in (("predicted", gold), ("rank", 1), ("correct", True)):
        change(path, column, row, value)
    result = verify(adapter)
    assert result.exit_code == 1
    assert "emoji-th-choice/test at beta 0.6: score is" in result.stderr
    assert "emoji-th-choice/test at beta 0.6: by country: th: score is" in result.stderr
    assert "beta 0.5" not in result.stderr


def test_a_changed_score_is_named(adapter):
    def better(curve):
        key = "emoji-th-retrieval/test"
        row = curve["0.6"][key]
        curve["0.6"][key] = row.model_copy(update={"score": row.score + 0.5})

    rewrite(adapter, better)
    result = verify(adapter)
    assert result.exit_code == 1
    assert (
        "emoji-th-retrieval/test at beta 0.6: score is 39.0965, the predictions give 38.5965"
        in result.stderr
    )
    assert result.stderr.count("the predictions give") == 1


def test_a_changed_beta_of_a_curve_is_named(adapter):
    rewrite(adapter, lambda curve: {("0.65" if b == "0.6" else b): r for b, r in curve.items()})
    result = verify(adapter)
    assert "ggez.parity: `validation` has betas that `curve` does not have" in result.stderr
    document = read_card(ASSETS / "embedding" / "th" / "README.md")
    curve = {("0.65" if b == "0.6" else b): r for b, r in document.card.curve.items()}
    card = document.card.model_copy(
        update={"curve": curve, "parity": "independent", "baselines": None}
    )
    write_card(adapter / "README.md", CardDocument(card, document.front_matter, document.prose))
    result = verify(adapter)
    assert "at beta 0.65 has a score on the card and no predictions" in result.stderr
    assert "at beta 0.6 has predictions and no score on the card" in result.stderr


def test_a_changed_error_of_parity_is_named(adapter):
    """What the choice by `keep` rests on is recomputed too."""
    document = read_card(adapter / "README.md")
    sides = document.card.parity["validation"]
    rows = [*sides.covariance]
    rows[1] = "12.5 " + rows[1].split(" ")[1]
    wrong = sides.model_copy(update={"covariance": rows})
    parity = {**document.card.parity, "validation": wrong}
    card = document.card.model_copy(update={"parity": parity})
    write_card(adapter / "README.md", CardDocument(card, document.front_matter, document.prose))
    result = verify(adapter)
    assert result.exit_code == 1
    assert "parity: validation: covariance[1][0] is '12.5', the predictions give" in result.stderr


def test_rows_without_predictions_are_counted(adapter):
    rewrite(
        adapter,
        lambda curve: {
            beta: {
                key: row.model_copy(update={"predictions": "unknown"}) if beta == "0" else row
                for key, row in rows.items()
            }
            for beta, rows in curve.items()
        },
    )
    result = verify(adapter)
    assert result.exit_code == 0, result.stderr
    assert "rows or seeds of the card name no predictions" in result.stdout


def test_results_follow_from_their_predictions(results):
    result = verify(results)
    assert result.exit_code == 0, result.stderr
    assert "beta 0.5: the highest GRP on validation" in result.stdout
    assert open_evidence(results / "results.json").header.region == "th"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("scores", "0.5", "thai/test", "score"), 61.5, "scores: 0.5: thai/test: score is 61.5"),
        (("scores", "0", "world/test", "interval"), [1, 2], "scores: 0: world/test: interval[0]"),
        (("parity", "test", "points", "1", "grp", "value"), 70, "parity: test: points: 1: grp"),
        (("parity", "test", "points", "0", "q_others"), None, "points: 0: q_others is None"),
        (("selection", "beta"), 1.0, "selection: beta is 1, the predictions give 0.5"),
        (
            ("selection", "policies", "keep", "beta"),
            1.0,
            "selection: policies: keep: beta is 1, the predictions give 0",
        ),
        (("header", "alpha", "value"), 0.9, "grp"),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_a_changed_figure_of_results_is_named(results, path, value, words):
    place = results / "results.json"
    content = json.loads(place.read_text())
    part = content
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    place.write_text(json.dumps(content))
    result = verify(results)
    assert result.exit_code == 1
    assert words in result.stderr


def test_a_changed_answer_of_results_changes_score_grp_and_more(results):
    row = row_of(results / "predictions.parquet", 0.5, "thai", "test", correct=False)
    gold = pq.read_table(results / "predictions.parquet").column("gold")[row].as_py()
    for column, value in (("predicted", gold), ("rank", 1), ("correct", True)):
        change(results / "predictions.parquet", column, row, value)
    problems = "\n".join(verify_evidence(results).problems)
    assert "predictions.parquet has the sha256" in problems
    assert "scores: 0.5: thai/test: score is" in problems
    assert "parity: test: points: 0.5: grp: value is" in problems
    assert "points: 1:" not in problems


def test_where_there_is_nothing_to_recompute(tmp_path, adapter):
    with pytest.raises(GgezError, match="holds neither"):
        verify_evidence(tmp_path)
    (adapter / EVIDENCE).unlink()
    with pytest.raises(GgezError, match="no predictions beside the card"):
        verify_evidence(adapter)
    rewrite_card = read_card(adapter / "README.md")
    card = rewrite_card.card.model_copy(
        update={"curve": "unknown", "parity": "independent", "seeds": [], "baselines": None}
    )
    text = render_card(CardDocument(card, rewrite_card.front_matter, ""))
    (adapter / "README.md").write_text(text)
    with pytest.raises(GgezError, match="holds no curve"):
        verify_evidence(adapter)


def test_a_question_with_several_right_answers_may_be_answered_by_another():
    """Two pictures of one name: either is right. Of a name of its own only one is."""
    asked = outcomes([1] * 40, chance=1 / 40)
    asked.chance[:2] = 2 / 40
    swapped = ("i1", *asked.predicted[1:])
    cell = Cell(0.0, "names", "test")
    fine = asked.__class__(**{**asked.__dict__, "predicted": swapped})
    assert contradictions({cell: fine}) == []
    wrong = asked.__class__(**{**asked.__dict__, "predicted": (*asked.predicted[:39], "i3")})
    assert contradictions({cell: wrong}) == [
        "names/test at beta 0: the answer to 'i39' is 'i3', not 'i39', and counts as right"
    ]
    options = outcomes([1] * 40, chance=0.25)
    other = options.__class__(**{**options.__dict__, "predicted": swapped})
    assert len(contradictions({cell: other})) == 1


def test_any_caption_of_the_picture_is_right():
    """Five captions for each of 60 pictures, so chance is 1 / 60 and does not show that there are five."""
    asked = outcomes([1] * 40, chance=5 / 300)
    gold = tuple(f"{item}#0" for item in asked.items)
    own = ("i0#4", *gold[1:])
    cell = Cell(0.0, "to-text", "test")
    fine = asked.__class__(**{**asked.__dict__, "gold": gold, "predicted": own})
    assert contradictions({cell: fine}) == []
    others = ("i1#4", *gold[1:])
    wrong = asked.__class__(**{**asked.__dict__, "gold": gold, "predicted": others})
    assert contradictions({cell: wrong}) == [
        "to-text/test at beta 0: the answer to 'i0' is 'i1#4', not 'i0#0', and counts as right"
    ]


def test_what_is_asked_at_one_beta_is_asked_at_all():
    cells = {Cell(b, "t", "test"): outcomes([1, 0, 1, 1]) for b in (0.0, 0.5, 1.0)}
    short = outcomes([1, 0, 1])
    found = contradictions({**cells, Cell(0.5, "t", "test"): short})
    assert found == ["t/test at beta 0.5: 'i3' is not there, at the other betas it is"]


def test_a_side_with_one_picture_has_scores_and_no_parity(tmp_path):
    cells = {
        Cell(0.0, task, split): outcomes([True, False], images=["the one"] * 2)
        for task in ("world", "thai")
        for split in ("validation", "test")
    }
    write(tmp_path, cells)
    found = verify_evidence(tmp_path)
    assert found.problems == ()
    assert found.recomputed["scores"]["0"]["thai/test"]["n"] == 2
    assert "at least two pictures" in found.recomputed["parity"]["test"]["reason"]
    assert found.selection["beta"] is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[" * 200_000, "cannot be read"),
        ("[]", "cannot be read"),
        ("{}", "has no header"),
        ('{"header": {"region": "th"}}', "  alpha: is missing; add it"),
    ],
    ids=["deep", "a list", "empty", "a part"],
)
def test_results_that_are_none(tmp_path, content, said):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(GgezError) as caught:
        open_evidence(tmp_path)
    assert said in caught.value.message
    assert "pydantic" not in caught.value.message
