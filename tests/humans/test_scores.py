"""Scores of people follow from the ratings alone, and know how little they know."""

from __future__ import annotations

import json
import math

import krippendorff
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.people.agreement import agreement
from ggez_hub.evaluation.people.estimates import Clusters
from ggez_hub.evaluation.people.preferences import Comparisons, strengths, win_rates
from ggez_hub.evaluation.people.ratings import read_ratings, write_ratings
from ggez_hub.evaluation.people.scores import read_scores
from ggez_hub.humans.ratings import collect, mid_ranks, score
from ggez_hub.humans.store import Store

from .judged import judgements_of, raters_of, ratings_in, rows_of
from .studies import DESIGNS, study_of

QUALITY = {"m0": (0.0, 0.0), "m1": (0.0, 1.0), "m2": (-0.6, 1.0)}


def large(design="likert", **fields):
    return study_of(
        design,
        items=24,
        raters_per_item=6,
        items_per_rater=18,
        **{"raters": {"global": ("en",), "regional": ("th",)}, **fields},
    )


def scored(tmp_path, study, rows, **options):
    _, digest = ratings_in(tmp_path, rows)
    return score(tmp_path, study, digest, **options)


def test_human_parity_weighs_the_sides_of_the_raters_and_shows_the_gain(tmp_path):
    study = large()
    rows = rows_of(study, QUALITY)
    header, found = scored(tmp_path, study, rows)
    alpha = header.alpha.value
    own = found["measures"]["correctness"]["models"]["m2"]

    def mean(side):
        values = [
            row["value"] for row in rows
            if row["rater_side"] == side and row["model"] == "m2" and row["measure"] == "correctness"
            and not row["occurrence"] and not row["gold"]
        ]  # fmt: skip
        return 50 * (np.mean(values) - 1)

    assert own["q_global"]["value"] == pytest.approx(mean("global"))
    assert own["q_regional"]["value"] == pytest.approx(mean("regional"))
    parity = alpha * mean("global") + (1 - alpha) * mean("regional")
    assert own["grp"]["value"] == pytest.approx(parity)
    low, high = own["grp"]["interval"]
    assert 0 <= low < parity < high <= 100
    first, second, third = found["measures"]["correctness"]["differences"]
    assert (first["model"], first["over"], first["grp"]["verdict"]) == ("m1", "m0", "ahead")
    assert (third["model"], third["over"]) == ("m1", "m2")
    assert second["q_global"]["verdict"] == "behind"
    assert second["q_regional"]["verdict"] == "ahead"


def test_gold_and_repeats_do_not_count(tmp_path):
    study = large(gold=8)
    rows = rows_of(study, QUALITY)
    counting = [row for row in rows if not row["gold"] and not row["occurrence"]]
    assert len(counting) < len(rows)
    (tmp_path / "other").mkdir()
    _, found = scored(tmp_path, study, rows)
    _, same = scored(tmp_path / "other", study, counting)
    assert found["measures"]["correctness"]["models"] == same["measures"]["correctness"]["models"]
    assert found["measures"]["correctness"]["consistency"]["pairs"] > 0


def test_judgements_of_one_rater_are_not_so_many_independent_ones(tmp_path):
    study = large()
    rows = rows_of(study, QUALITY)
    _, found = scored(tmp_path, study, rows)
    figure = found["measures"]["correctness"]["models"]["m0"]["q_global"]
    values = [r["value"] for r in rows if r["model"] == "m0" and r["rater_side"] == "global"]
    independent = 2 * 1.96 * 50 * np.std(values) / math.sqrt(figure["judgements"])
    assert figure["interval"][1] - figure["interval"][0] > 1.2 * independent


def test_too_few_judgements_are_undetermined_with_how_many_more_are_needed(tmp_path):
    study = study_of(items=12, raters={"global": ("en",), "regional": ("th",)})
    _, found = scored(tmp_path, study, rows_of(study, QUALITY))
    figure = found["measures"]["correctness"]["models"]["m1"]["grp"]
    needed = "too few; needed: 4 more of the raters' global side, 4 more of the raters' regional side, 8 more items"
    assert figure["undetermined"] == needed
    large_study = large()
    _, found = scored(tmp_path, large_study, rows_of(large_study))
    parities = [own["grp"] for own in found["measures"]["correctness"]["differences"]]
    open_ones = [own for own in parities if own["verdict"] == "undetermined"]
    assert open_ones
    assert all(own["needed"] > own["judgements"] for own in open_ones)
    one_side = study_of(items=24, raters_per_item=8, raters={"regional": ("th",)})
    _, found = scored(tmp_path, one_side, rows_of(one_side))
    own = found["measures"]["correctness"]["models"]["m1"]
    assert own["q_regional"]["undetermined"] is None
    assert own["grp"]["undetermined"].startswith("there are no judgements")


def test_equal_judgements_decide_nothing(tmp_path):
    study = large()
    rows = [{**row, "value": 3.0} for row in rows_of(study)]
    _, found = scored(tmp_path, study, rows)
    measure = found["measures"]["correctness"]
    assert "every judgement is the same" in measure["models"]["m1"]["grp"]["undetermined"]
    assert measure["differences"][0]["grp"]["verdict"] == "undetermined"
    assert math.isnan(measure["agreement"]["th"]["alpha"])


def test_ranks_are_mid_ranks_whose_means_sum_as_they_have_to(tmp_path):
    assert mid_ranks({"a": 1, "b": 2, "c": 2}) == {"a": 1, "b": 2.5, "c": 2.5}
    assert mid_ranks({"a": 7, "b": 7, "c": 7}) == {"a": 2, "b": 2, "c": 2}
    study = large("rank")
    header, found = scored(tmp_path, study, rows_of(study, QUALITY))
    ranks = [own["mean"]["value"] for own in found["measures"]["rank"]["models"].values()]
    assert sum(ranks) == pytest.approx(6)
    assert found["compared"] == header.compared
    assert found["measures"]["rank"]["differences"][0]["grp"]["verdict"] == "ahead"


def test_both_bad_is_a_tie_that_is_counted(tmp_path):
    study = large("pairs")
    _, found = scored(tmp_path, study, rows_of(study, {**QUALITY, "m0": (-2.0, -2.0)}))
    bad = found["measures"]["both_bad"]["models"]
    assert bad["m0"]["mean"]["value"] > bad["m1"]["mean"]["value"] >= 0
    rates = found["comparisons"]["win_rates"]
    assert all(
        own["wins"] + own["ties"] + own["losses"] == own["rate"]["judgements"] for own in rates
    )
    fitted = found["comparisons"]["davidson"]["strengths"]
    assert fitted["m1"]["value"] > fitted["m2"]["value"] > fitted["m0"]["value"]
    assert sum(own["value"] for own in fitted.values()) == pytest.approx(0, abs=1e-9)


def comparisons_of(*outcomes):
    """(first, second, result, how often)"""
    rows = [(a, b, r) for a, b, r, n in outcomes for _ in range(n)]
    first, second, result = (np.array(column) for column in zip(*rows, strict=True))
    n = np.arange(len(rows))
    return Comparisons(first, second, result.astype(float), Clusters(n % 7, n % 2, n % 23, n))


def test_davidsons_model_gives_the_observed_shares_of_two_models():
    """Two parameters, two free shares: P(i wins) = e^s_i / D, P(tie) = e^(t + (s_i + s_j) / 2) / D."""
    found = strengths(comparisons_of((0, 1, 1.0, 50), (0, 1, 0.5, 20), (0, 1, 0.0, 30)), "ab")
    apart = found.strengths["a"].value - found.strengths["b"].value
    assert apart == pytest.approx(math.log(50 / 30))
    assert found.tie == pytest.approx(math.log(20 / math.sqrt(50 * 30)))


def test_davidsons_model_recovers_strengths_and_is_bradley_terry_without_ties():
    true, t = np.array([0.8, 0.0, -0.8]), 0.3
    counts = []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        shares = np.exp([true[i], true[j], t + (true[i] + true[j]) / 2])
        own = np.round(100_000 * shares / shares.sum()).astype(int)
        counts += [(i, j, result, n) for result, n in zip((1.0, 0.0, 0.5), own, strict=True)]
    found = strengths(comparisons_of(*counts), "abc")
    assert [own.value for own in found.strengths.values()] == pytest.approx(true, abs=1e-3)
    assert found.tie == pytest.approx(t, abs=1e-3)
    plain = strengths(comparisons_of((0, 1, 1.0, 30), (0, 1, 0.0, 10)), "ab")
    assert plain.tie is None
    assert plain.strengths["a"].value - plain.strengths["b"].value == pytest.approx(math.log(3))


@pytest.mark.parametrize(
    ("outcomes", "refusal"),
    [
        ([(0, 1, 1.0, 9)], "not every model"),
        ([(0, 1, 0.5, 9), (1, 2, 1.0, 9), (0, 2, 1.0, 9)], "not every model"),
        ([(0, 1, 0.5, 9), (1, 2, 0.5, 9)], "every comparison is a tie"),
    ],
)
def test_strengths_that_do_not_exist_are_refused(outcomes, refusal):
    found = strengths(comparisons_of(*outcomes), "abc"[: 1 + max(o[1] for o in outcomes)])
    assert found.refusal is not None
    assert refusal in found.refusal
    assert not found.strengths


def test_win_rates_count_a_tie_as_half():
    (rate,) = win_rates(comparisons_of((0, 1, 1.0, 5), (0, 1, 0.5, 4), (0, 1, 0.0, 1)), "ab")
    assert (rate.wins, rate.ties, rate.losses, rate.rate.value) == (5, 4, 1, 70)


def test_agreement_is_krippendorffs_alpha_over_outputs(tmp_path):
    study = large(raters={"regional": ("th",)}, repeats=0.0)
    ratings, _ = ratings_in(tmp_path, rows_of(study, QUALITY))
    own = ratings.where(ratings.equals("measure", "correctness"))
    found = agreement(own)
    raters = list(own.names("rater"))
    units = sorted({(i, m) for i, m in zip(own.codes("item"), own.codes("model"), strict=True)})
    table = np.full((len(raters), len(units)), np.nan)
    for rater, item, model, value in zip(
        *map(own.codes, ("rater", "item", "model")), own.value, strict=True
    ):
        table[rater, units.index((item, model))] = value
    expected = krippendorff.alpha(reliability_data=table, level_of_measurement="ordinal")
    assert found.alpha == pytest.approx(expected)
    assert found.low < found.alpha < found.high <= 1
    assert found.units == len(units)
    of_item = [{**row, "value": float(1 + hash_of(row) % 3)} for row in rows_of(study)]
    same, _ = ratings_in(tmp_path, of_item)
    assert agreement(same.where(same.equals("measure", "correctness"))).alpha == pytest.approx(1)


def hash_of(row):
    return sum(map(ord, row["item"] + row["model"]))


def test_raters_who_miss_known_answers_or_hurry_are_named_and_can_be_left_out(tmp_path):
    study = large(gold=16)
    rows = rows_of(study, QUALITY)
    careless, hasty = sorted({row["rater"] for row in rows})[:2]
    for row in rows:
        row["gold_right"] = None if row["gold_right"] is None else row["rater"] != careless
        row["seconds"] = 0.4 if row["rater"] == hasty else 5.0
    copies = [
        {**row, "judgement": row["judgement"].replace("|0", f"x{n}|0"), "item": f"{row['item']}x{n}"}
        for row in rows if row["gold"] for n in range(4)
    ]  # fmt: skip
    header, found = scored(tmp_path, study, rows + copies, without=[hasty])
    flags = {own["rater"]: own["flags"] for own in found["raters"]}
    assert hasty not in flags
    assert header.without == [hasty]
    assert "known answers" in flags.pop(careless)[0]
    assert not any(flags.values())
    _, found = scored(tmp_path, study, rows)
    assert {own["rater"] for own in found["raters"] if own["flags"]} >= {hasty}


@pytest.mark.parametrize("design", DESIGNS)
def test_every_design_is_scored_and_verified_from_its_folder(tmp_path, design):
    study = study_of(design, items=12, gold=2, raters_per_item=3)
    (tmp_path / "study.json").write_bytes(study.canonical())
    store = Store(tmp_path)
    for side, languages in study.raters.items():
        for language in languages:
            for _ in range(3):
                store.invite(side, language)
    raters = store.raters()
    for rater in raters:
        store.agree(rater.id, "1", "TH", ("th", "en"))
    for own in judgements_of(study, raters, QUALITY):
        assert store.record(own.rater, own.shown, own.answers, own.seconds)
    early = CliRunner().invoke(cli, ["verify", str(tmp_path)])
    assert early.exit_code == 1
    assert "`ggez-hub humans score DIR` writes it" in early.output
    run = CliRunner().invoke(cli, ["humans", "score", str(tmp_path), "--json"])
    assert run.exit_code == 0, run.output
    document = json.loads(run.output)
    assert document["judge"] == "people"
    assert len(document["raters"]) == len(raters)
    checked = CliRunner().invoke(cli, ["verify", str(tmp_path), "--json"])
    assert checked.exit_code == 0, checked.output
    assert json.loads(checked.output)["figures"] > 100
    before = (tmp_path / "ratings.parquet").read_bytes()
    collect(tmp_path, study)
    assert (tmp_path / "ratings.parquet").read_bytes() == before


def test_a_changed_score_a_changed_rating_and_another_study_are_found(tmp_path):
    study = large()
    rows = rows_of(study, QUALITY)
    scored(tmp_path, study, rows)
    document = json.loads((tmp_path / "scores.json").read_text())
    document["measures"]["correctness"]["models"]["m1"]["grp"]["value"] += 1
    text = json.dumps(document)
    (tmp_path / "scores.json").write_text(text)
    run = CliRunner().invoke(cli, ["verify", str(tmp_path)])
    assert run.exit_code == 1
    assert "correctness: models: m1: grp: value" in run.output
    assert "the ratings give" in run.output
    (tmp_path / "study.json").write_bytes(large(seed=1).canonical())
    assert "study.json is another" in CliRunner().invoke(cli, ["verify", str(tmp_path)]).output
    write_ratings(tmp_path / "ratings.parquet", rows[:-1])
    assert "it was changed" in read_scores(tmp_path).problems[0]
    with pytest.raises(GgezError, match="of another study"):
        scored(tmp_path, large(seed=1), rows)


def test_rows_that_contradict_each_other_are_refused(tmp_path):
    study = study_of(items=4)
    rows = rows_of(study)
    place = tmp_path / "ratings.parquet"
    for change, message in (
        ([*rows, rows[0]], "two values of one measure"),
        ([{**rows[0], "rater_kind": "robot"}, *rows[1:]], "rater_kind is 'robot'"),
        ([{**rows[0], "rater_side": "regional"}, *rows[1:]], "one rater has several"),
        ([{**rows[0], "model_digest": "0" * 64}, *rows[1:]], "one model has several"),
        ([{**rows[0], "study": "0" * 64}, *rows[1:]], "different values of study"),
        ([{**rows[0], "value": math.inf}, *rows[1:]], "not a number"),
        ([{**rows[0], "item": None}, *rows[1:]], "a row has no item"),
        ([], "no rows"),
    ):
        write_ratings(place, change)
        with pytest.raises(GgezError, match=message):
            read_ratings(place)
    pq.write_table(pq.read_table(place).drop_columns("seconds"), place)
    with pytest.raises(GgezError, match="other columns"):
        read_ratings(place)
    place.write_bytes(b"PAR1 is not enough")
    with pytest.raises(GgezError, match="cannot be read"):
        read_ratings(place)


def test_scripts_are_never_mixed_with_people(tmp_path):
    study = large()
    people, scripts = raters_of(study), raters_of(study, "simulated")
    rows = rows_of(study, QUALITY, people)
    others = [
        {**row, "rater": f"s-{row['rater']}", "judgement": f"s-{row['judgement']}"}
        for row in rows_of(study, {**QUALITY, "m1": (2.0, 2.0)}, scripts)
    ]
    _, alone = scored(tmp_path, study, rows)
    (tmp_path / "both").mkdir()
    _, both = scored(tmp_path / "both", study, rows + others)
    assert both["judge"] == alone["judge"] == "people"
    assert both["measures"] == alone["measures"]
    _, found = scored(tmp_path, study, others)
    assert found["judge"] == "simulated"
    run = CliRunner().invoke(cli, ["verify", str(tmp_path)])
    assert "never rank, gate or enter a card" in run.output
