"""Answers and the recorded scores of options: what cannot both be is found, whatever beta it is at."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ggez_hub.demo.hub import ASSETS
from ggez_hub.evaluation.answers.outcomes import Cell, Details
from ggez_hub.evaluation.benchmarks.multiple_choice import MultipleChoice
from ggez_hub.evaluation.results.consistency import contradictions
from ggez_hub.evaluation.results.evidence import open_evidence

N, K = 40, 4
BETAS = (0.0, 0.5, 1.0)


def questions(right):
    """N questions with K options of their own; `right` (N, K) says which are right."""
    texts = tuple(
        f"{n} {'ab'[k % 2] if right[n].sum() > 1 else k}" for n in range(N) for k in range(K)
    )
    options = np.arange(N * K).reshape(N, K)
    gold = tuple(texts[options[n, right[n].argmax()]] for n in range(N))
    return MultipleChoice(
        items=tuple(f"i{n}" for n in range(N)),
        gold=gold,
        texts=texts,
        asked_by="picture",
        queries=np.arange(N),
        options=options,
        right=right,
        option_ids=texts,
        details=Details.of(N, prompts=[f"{n:064x}" for n in range(N)]),
    )


def one_right():
    return np.arange(K) == np.random.default_rng(0).integers(0, K, N)[:, None]


def cells(right=None):
    asked = questions(one_right() if right is None else right)
    luck = np.random.default_rng(1)
    shared = luck.normal(size=(N, K))
    return {
        Cell(beta, "task", "test"): asked.scored(shared + 0.3 * luck.normal(size=(N, K)))
        for beta in BETAS
    }


def changed(found, beta, **fields):
    """The outcomes with other values at one beta; `scores` and `prompts` are of the details."""
    cell = Cell(beta, "task", "test")
    details = {
        name: tuple(fields.pop(key))
        for key, name in (("scores", "log_likelihoods"), ("prompts", "prompts"))
        if key in fields
    }
    whole = replace(found[cell], details=replace(found[cell].details, **details), **fields)
    return found | {cell: whole}


def scores_of(found, beta):
    return [list(row) for row in found[Cell(beta, "task", "test")].details.log_likelihoods]


def test_what_was_measured_follows():
    assert contradictions(cells()) == []
    # Options with the right text twice: both letters are right.
    twice = np.broadcast_to(np.array([True, False, True, False]), (N, K))
    assert contradictions(cells(twice), {"task": "choice_by_letter"}) == []


@pytest.mark.parametrize("beta", BETAS)
def test_scores_that_were_changed_at_one_beta_are_named(beta):
    found = cells()
    scores = scores_of(found, beta)
    # The scores of the best and the worst option change places.
    best, worst = np.argmax(scores[7]), np.argmin(scores[7])
    scores[7][best], scores[7][worst] = scores[7][worst], scores[7][best]
    problems = contradictions(changed(found, beta, scores=scores))
    assert problems == [
        f"task/test at beta {beta:g}: rank and answer of 'i7' do not follow from the scores of its options"
    ]


def test_an_answer_that_was_changed_with_its_rank_is_named():
    found = cells()
    cell = Cell(0.5, "task", "test")
    row = int(np.flatnonzero(~found[cell].correct)[0])
    correct, rank = found[cell].correct.copy(), found[cell].rank.copy()
    correct[row], rank[row] = True, 1
    predicted = list(found[cell].predicted)
    predicted[row] = found[cell].gold[row]
    problems = contradictions(
        changed(found, 0.5, correct=correct, rank=rank, predicted=tuple(predicted))
    )
    assert [p for p in problems if f"'i{row}'" in p] == problems
    assert len(problems) == 1
    assert "do not follow" in problems[0]


def test_another_wrong_answer_than_the_scores_give_is_named():
    found = cells()
    first = found[Cell(0.0, "task", "test")]
    row = int(np.flatnonzero(~first.correct)[0])
    other = next(
        text
        for text in (f"{row} {k}" for k in range(K))
        if text not in (first.gold[row], first.predicted[row])
    )
    predicted = list(first.predicted)
    predicted[row] = other
    (problem,) = contradictions(changed(found, 0.0, predicted=tuple(predicted)))
    assert f"'i{row}' do not follow" in problem


def test_a_model_measured_alone_is_held_against_its_own_scores():
    cell = Cell(0.0, "task", "test")
    alone = {cell: cells()[cell]}
    rank = alone[cell].rank.copy()
    rank[int(np.flatnonzero(rank > 1)[0])] = 5
    (problem,) = contradictions(changed(alone, 0.0, rank=rank))
    assert problem.startswith(f"{cell}: rank and answer of")


def test_one_wrong_text_with_two_letters_is_no_contradiction():
    found = cells()
    row = next(
        n
        for n in range(N)
        if not any(o.correct[n] for o in found.values())
        and len({o.predicted[n] for o in found.values()}) > 1
    )
    for beta in BETAS:
        own = list(found[Cell(beta, "task", "test")].predicted)
        own[row] = "the same wrong text"
        found = changed(found, beta, predicted=tuple(own))
    assert contradictions(found, {"task": "choice_by_letter"}) == []
    assert len(contradictions(found, {"task": "choice_by_likelihood"})) == 1


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_named(score):
    found = cells()
    scores = scores_of(found, 0.5)
    gold = found[Cell(0.5, "task", "test")]
    row = int(np.flatnonzero(gold.correct)[0])
    # The worst option: an unlisted letter changes neither rank nor answer.
    scores[row][int(np.argmin(scores[row]))] = score
    broken = changed(found, 0.5, scores=scores)
    problems = contradictions(broken, {"task": "choice_by_likelihood"})
    assert f"task/test at beta 0.5: the score of an option of 'i{row}' is {score}" in problems
    by_letter = contradictions(broken, {"task": "choice_by_letter"})
    assert (by_letter == []) == (score == -math.inf)


def test_prompts_and_numbers_of_options_are_the_same_at_every_beta():
    found = cells()
    cell = Cell(1.0, "task", "test")
    prompts = list(found[cell].details.prompts)
    prompts[3] = "f" * 64
    (problem,) = contradictions(changed(found, 1.0, prompts=prompts))
    assert problem.startswith(f"{cell}: the prompt's sha256 of 'i3' is 'ffff")
    scores = scores_of(found, 1.0)
    scores[3] = [*scores[3], -100.0]
    problems = contradictions(changed(found, 1.0, scores=scores))
    assert f"{cell}: the number of scored options of 'i3' is 5, at the other betas 4" in problems


def test_two_answers_of_the_demos_model_that_change_places_are_found():
    """The score stays as it is: before, nothing contradicted it."""
    found = dict(open_evidence(ASSETS / "vlm" / "th").outcomes)
    assert contradictions(found) == []
    cell = next(cell for cell in found if cell.split == "test" and cell.beta > 0)
    own = found[cell]
    correct, rank, predicted = own.correct.copy(), own.rank.copy(), list(own.predicted)
    right = int(np.flatnonzero(correct)[0])
    wrong = int(np.flatnonzero(~correct)[0])
    correct[[right, wrong]], rank[right], rank[wrong] = [False, True], 2, 1
    predicted[right], predicted[wrong] = predicted[wrong], own.gold[wrong]
    found[cell] = replace(own, correct=correct, rank=rank, predicted=tuple(predicted))
    problems = contradictions(found)
    for row in (right, wrong):
        assert any(repr(own.items[row]) in p and "do not follow" in p for p in problems)
