"""The content experiment: its tables follow from the kept answers, and its rules do what they say."""

import dataclasses

import numpy as np
import pytest
from click.testing import CliRunner

from experiments.content.__main__ import main
from experiments.content.answers import (
    RESULTS,
    Answers,
    Candidate,
    Results,
    Seed,
    betas_of,
    merge_name,
    read_results,
    write_gallery,
    write_seed,
)
from experiments.content.choice import choose_beta
from experiments.content.frontier import area, lead
from experiments.content.models import compare
from experiments.content.redraws import interval, redraw
from experiments.content.scores import scores_of
from experiments.content.table import table_of

COMMITTED = sorted(path.parent for path in RESULTS.glob("*/table.md"))
BETAS = (0.0, 0.5, 1.0, 1.25)


def small_results(seeds=5):
    """20 concepts outside, 20 inside, 4 unseen; the adapter learns the region and forgets the rest."""
    sides = ["others"] * 20 + ["regional"] * 20 + ["control"] * 4
    right = {  # how many of the 20 outside and of the 20 inside
        "merge 0": (16, 0),
        "merge 0.5": (16, 12),
        "merge 1": (8, 16),
        "merge 1.25": (4, 14),
        "average": (15, 14),
        "joint": (16, 15),
    }
    question = np.arange(len(sides), dtype=np.uint16)
    rows = []
    for outside, inside in right.values():
        row = (question + 1) % len(sides)
        row[:outside] = question[:outside]
        row[20 : 20 + inside] = question[20 : 20 + inside]
        rows.append(np.tile(row, 2))
    answers = Answers(
        tuple(right),
        np.tile(question, 2),
        np.repeat([False, True], len(sides)),
        np.stack(rows).astype(np.uint16),
    )
    # Two of the control share a word with others.
    words = dict.fromkeys(sides, "name") | {"control": "unheard"}
    names = [f"{words[side]} {n}" for n, side in enumerate(sides)]
    names[40:42] = ["name 40", "Name 41"]
    gallery = tuple(
        Candidate(f"{n:x}", name, side)
        for n, (name, side) in enumerate(zip(names, sides, strict=True))
    )
    return Results(gallery, tuple(Seed(n, answers, {"seconds": 1}) for n in range(seeds)))


def test_there_are_results():
    assert COMMITTED


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda folder: folder.name)
def test_the_committed_table_follows_from_the_committed_answers(folder):
    assert table_of(folder.name, read_results(folder)) == (folder / "table.md").read_text("utf-8")


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda folder: folder.name)
def test_every_seed_answers_the_same_questions(folder):
    results = read_results(folder)
    first = results.seeds[0].answers
    assert {candidate.side for candidate in results.gallery} == {"others", "regional", "control"}
    for seed in results.seeds:
        found = seed.answers
        assert found.models == first.models
        assert np.array_equal(found.question, first.question)
        assert np.array_equal(found.is_test, first.is_test)
        assert found.answer.max() < len(results.gallery)
    assert betas_of(first.models)[0] == 0
    assert {"merge 1", "joint"} <= set(first.models)


def test_the_command_prints_and_writes_every_table(tmp_path):
    for family, seeds in (("embedding", 5), ("diffusion", 2)):
        results = small_results(seeds)
        write_gallery(tmp_path / family, results.gallery)
        for seed in results.seeds:
            write_seed(tmp_path / family, seed)
    done = CliRunner().invoke(main, ["table", "--results", str(tmp_path)])
    assert done.exit_code == 0
    for family in ("embedding", "diffusion"):
        text = (tmp_path / family / "table.md").read_text("utf-8")
        assert f"# {family}: " in text
        assert text in done.output


def test_results_survive_being_written(tmp_path):
    results = small_results(2)
    write_gallery(tmp_path, results.gallery)
    for seed in results.seeds:
        write_seed(tmp_path, seed)
    found = read_results(tmp_path)
    assert found.gallery == results.gallery
    assert [seed.record for seed in found.seeds] == [seed.record for seed in results.seeds]
    assert table_of("embedding", found) == table_of("embedding", results)


def test_models_get_the_scores_of_their_answers():
    results = small_results()
    test, chance = scores_of(results, test=True), 1 / 44
    (base, *_), found = compare(results, 0.4).models, compare(results, 0.4)
    corrected = 100 * (16 / 20 - chance) / (1 - chance)
    assert base.means()[0] == pytest.approx(np.full(5, corrected))
    assert test.raw(base.means()[0]) == pytest.approx(np.full(5, 80.0))
    assert found.of("merge, keep").betas == (0.5,) * 5  # keeps all that the base has
    assert found.of("merge, parity").betas == (0.5,) * 5
    switch = next(model for model in found.models if model.name.startswith("switch by prompt"))
    assert switch.means()[1] == pytest.approx(base.means()[1])


def test_without_regard_for_others_parity_goes_to_the_adapter():
    found = compare(small_results(), 0.0)
    assert found.of("merge, parity").betas == (1.0,) * 5
    assert found.of("merge, keep").betas == (0.5,) * 5


def test_parity_takes_the_smaller_of_equal_betas():
    regional = np.array([[10.0, 0.0], [20.0, 10.0], [10.0, 20.0], [0.0, 20.0]])
    assert choose_beta("parity", 0.3, BETAS, np.full((4, 2), 50.0), regional) == 1


def test_keep_wants_the_margin_by_a_standard_error():
    def choice(*others):
        # The later the beta, the better inside the region.
        regional = np.arange(len(others))[:, None] + np.zeros((len(others), 10))
        return choose_beta("keep", 0.1, BETAS[: len(others)], np.stack(others), regional)

    base = np.repeat([100.0, 0.0], [50, 50])
    one_lost, two_lost = base.copy(), base.copy()
    one_lost[:1], two_lost[:2] = 0, 0
    # One of 50 lost is 98 % exactly: short of it by the error of the difference.
    assert choice(base, base, one_lost) == 1
    assert choice(base, two_lost, one_lost) == 0
    many = np.repeat([100.0, 0.0], [5000, 5000])
    few_lost = many.copy()
    few_lost[:10] = 0
    assert choice(many, many, few_lost) == 2


def test_keep_is_undetermined_where_the_base_is_at_chance():
    guesses, inside = np.repeat([99.0, -1.0], [1, 99]), np.full((2, 5), 50.0)
    assert choose_beta("keep", 0.4, BETAS[:2], np.stack([guesses, guesses]), inside) is None


def test_the_area_is_zero_on_the_line_and_one_at_the_corner():
    others = np.array([[80.0, 60.0, 40.0], [80.0, 80.0, 40.0], [80.0, 40.0, 40.0]])
    regional = np.array([[0.0, 10.0, 20.0], [0.0, 20.0, 20.0], [0.0, 0.0, 20.0]])
    assert area(others, regional) == pytest.approx([0.0, 1.0, -1.0])


def test_the_lead_is_measured_at_the_same_score_outside():
    others, regional = np.array([[80.0, 60.0, 40.0]]), np.array([[0.0, 10.0, 20.0]])
    assert lead(others, regional, np.array([70.0]), np.array([9.0])) == pytest.approx([4.0])
    assert lead(others, regional, np.array([90.0]), np.array([1.0])) == pytest.approx([1.0])


def test_the_area_is_undetermined_where_the_adapter_gains_nothing():
    assert np.isnan(area(np.array([80.0, 70.0]), np.array([5.0, 5.0])))
    results = small_results()
    seed = results.seeds[0]
    rows = seed.answers.answer.copy()
    rows[seed.answers.models.index("merge 1")] = rows[0]
    same = dataclasses.replace(seed, answers=dataclasses.replace(seed.answers, answer=rows))
    table = table_of("embedding", dataclasses.replace(results, seeds=(same,) * 5))
    assert "| mean curve | undetermined |" in table


def test_the_control_may_be_asked_on_test_alone():
    results = small_results()
    first = results.seeds[0].answers
    kept = first.is_test | (first.question < 40)
    answers = Answers(
        first.models, first.question[kept], first.is_test[kept], first.answer[:, kept]
    )
    fewer = dataclasses.replace(
        results, seeds=tuple(dataclasses.replace(s, answers=answers) for s in results.seeds)
    )
    assert "control" not in scores_of(fewer, test=False).values
    assert table_of("embedding", fewer) == table_of("embedding", results)


def test_names_of_new_words_are_counted_apart():
    text = table_of("embedding", small_results())
    assert "2 of them have names that share no word" in text


def test_intervals_know_both_seeds_and_concepts():
    rng = np.random.default_rng(0)
    seeds = rng.normal(size=(40, 1)) * 3 + np.zeros((40, 300))
    concepts = rng.normal(size=(1, 300)) * 5 + np.zeros((40, 300))
    redraws = redraw({"others": seeds})
    errors = (seeds[:, 0].std() / np.sqrt(40), concepts[0].std() / np.sqrt(300))
    for values, error in zip((seeds, concepts), errors, strict=True):
        low, high = interval(redraws.means("others", values))
        assert (high - low) / 3.92 == pytest.approx(error, rel=0.05)
    low, high = interval(redraws.means("others", seeds + concepts))
    assert (high - low) / 3.92 == pytest.approx(np.hypot(*errors), rel=0.05)


def test_few_seeds_have_no_interval():
    text = table_of("embedding", small_results(4))
    assert "no interval" in text
    assert "[" not in text
    assert "[" in table_of("embedding", small_results(5))


def test_an_undetermined_keep_is_said():
    results = small_results()
    answers = results.seeds[0].answers
    rows = answers.answer.copy()
    rows[0, ~answers.is_test] = (answers.question[~answers.is_test] + 1) % 44
    changed = dataclasses.replace(
        results.seeds[0], answers=dataclasses.replace(answers, answer=rows)
    )
    table = table_of("embedding", dataclasses.replace(results, seeds=(changed, *results.seeds[1:])))
    assert "`keep` is undetermined for seed 0:" in table


def test_merges_are_named_by_their_beta():
    assert betas_of(["merge 0", "average", merge_name(1.25), "joint"]) == (0, 1.25)
