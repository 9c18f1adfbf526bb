"""The order in which options are shown, what is recorded of it, and that replies are read again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.answers.predictions import read_predictions, write_predictions
from ggez_hub.evaluation.benchmarks.benchmark_questions import ask_benchmark
from ggez_hub.evaluation.benchmarks.multiple_choice import rotation, shown_digest
from ggez_hub.evaluation.benchmarks.replies import READER
from ggez_hub.evaluation.models.generative_model import GenerativeModel
from ggez_hub.evaluation.results.consistency import contradictions
from ggez_hub.parity.card_rows import decisive
from tests.evaluation import benchmarks as made

CELL = Cell(0.0, "cvqa-english-by-generation", "test")


class Writer:
    """A model that replies by a rule to what it is shown, and weighs options by their text."""

    def __init__(self, reply):
        self.reply = reply
        self.asked = []

    def prompt(self, question, sees=True):
        return question

    def replies(self, posed):
        return [self.reply(p.prompt.splitlines()) for p in posed]

    def log_likelihoods(self, posed):
        return [[-1 - 1 / len(o) - p.picture[-1] / 500 for o in p.options] for p in posed]

    def unconditional(self, options):
        self.asked += options
        return [(-2.0 - int(o[-1]) / 10, len(o)) for o in options]


@pytest.fixture
def cvqa(tmp_path):
    return made.items_of("cvqa-english", made.write_cvqa(tmp_path, 200))


def answered(items, method, reply=lambda lines: "A", seed=0):
    task = made.benchmark("cvqa-english").model_copy(update={"seed": seed})
    asked = ask_benchmark(task, items)
    writer = Writer(reply)
    return GenerativeModel(writer, AnswerCache()).answer(asked, method), writer


def test_every_position_is_right_equally_often_but_for_chance():
    places = Counter(rotation(0, "cvqa", f"item {n}", 4).index(0) for n in range(4000))
    # Four standard errors of a share of a quarter.
    assert all(abs(places[place] - 1000) < 4 * np.sqrt(4000 * 3 / 16) for place in range(4))
    assert rotation(0, "cvqa", "item", 4) == rotation(0, "cvqa", "item", 4)
    orders = {rotation(seed, "cvqa", "item", 5) for seed in range(100)}
    assert orders == {(*range(n, 5), *range(n)) for n in range(5)}


def test_whoever_always_says_a_letter_gets_what_guessing_gets(cvqa):
    # In the data the first option is always right.
    first = [replace(item, gold=0) for item in cvqa]
    for letter in "ABCD":
        found, _ = answered(first, "generation", lambda lines, letter=letter: letter)
        assert abs(found.correct.mean() - 0.25) < 4 * np.sqrt(3 / 16 / len(first))


def test_an_answer_is_the_option_that_was_shown_there(cvqa):
    wanted = {item.question: item.options[item.gold] for item in cvqa}

    def right(lines):
        return next(line[0] for line in lines if line[3:] == wanted[lines[0]])

    found, _ = answered(cvqa, "generation", right)
    assert found.correct.all()
    assert found.predicted == found.gold
    shown = [options.index(gold) for options, gold in zip(found.details.options, found.gold, strict=True)]  # fmt: skip
    assert found.details.raw == tuple("ABCD"[place] for place in shown)
    assert set(found.details.readers) == {READER}
    other, _ = answered(cvqa, "generation", right, seed=1)
    assert other.details.options != found.details.options
    assert other.details.prompts != found.details.prompts
    assert other.predicted == found.predicted


def test_verify_reads_the_replies_again_in_the_order_that_was_shown(cvqa, tmp_path):
    found, _ = answered(cvqa, "generation", lambda lines: f"The answer is {lines[-2][0]}.")
    write_predictions(tmp_path / "p", {CELL: found})
    after = read_predictions(tmp_path / "p")
    assert after[CELL].details == found.details
    assert contradictions(after) == []
    turned = tuple(tuple(reversed(options)) for options in found.details.options)
    other = replace(found, details=replace(found.details, options=turned))
    problems = contradictions({CELL: other})
    assert len(problems) == len(cvqa)
    assert f"the reply to {cvqa[0].id!r} is read as" in problems[0]
    # What another version read is not read again, nor what has no reply.
    older = replace(other, details=replace(other.details, readers=(1,) * len(cvqa)))
    assert contradictions({CELL: older}) == []
    bare = replace(found, details=replace(found.details, raw=(None,) * len(cvqa)))
    assert "a reply that is not recorded" in contradictions({CELL: bare})[0]


def test_predictions_without_shown_options_are_as_before(cvqa, tmp_path):
    import pyarrow.parquet as pq

    found, _ = answered(cvqa, "likelihood")
    write_predictions(tmp_path / "p", {CELL: found})
    assert not {"options", "reader"} & {*pq.read_schema(tmp_path / "p").names}
    assert found.details.options == (None,) * len(cvqa)


def test_the_order_is_a_part_of_the_digest_where_options_are_shown():
    digest = "0" * 64
    assert shown_digest(digest, 5, "likelihood") == shown_digest(digest, 6, "pmi") == digest
    shown = {shown_digest(digest, seed, m) for seed in (0, 1) for m in ("letter", "generation")}
    assert len(shown) == 4
    assert digest not in shown
    plain = made.benchmark("cvqa-english")
    assert plain.model_copy(update={"seed": 7}).digest == plain.digest


def test_pmi_is_the_likelihood_less_that_without_picture_and_question(cvqa):
    twice = [*cvqa, *(replace(item, id=f"{item.id}-again") for item in cvqa)]
    found, writer = answered(twice, "pmi")
    # An option costs one pass, in however many questions it stands.
    assert sorted(writer.asked) == sorted({o for item in cvqa for o in item.options})
    for item, scores in zip(twice, found.details.log_likelihoods, strict=True):
        means = [-1 - 1 / len(o) - item.picture[-1] / 500 for o in item.options]
        bare = [-2.0 - int(o[-1]) / 10 for o in item.options]
        wanted = [len(o) * (m - b) for o, m, b in zip(item.options, means, bare, strict=True)]
        assert scores == pytest.approx(wanted)
    # What the model prefers by itself is option 0; PMI takes it away.
    assert all(said.endswith("3") for said in found.predicted)


def test_the_likelihood_does_not_depend_on_the_order(cvqa):
    turned = [
        replace(item, options=item.options[::-1], gold=len(item.options) - 1 - item.gold)
        for item in cvqa
    ]
    for method in ("likelihood", "pmi"):
        one, other = answered(cvqa, method)[0], answered(turned, method)[0]
        for a, b in zip(one.details.log_likelihoods, other.details.log_likelihoods, strict=True):
            assert a == b[::-1]
        assert (one.rank == other.rank).all()


def test_pmi_is_never_preferred_to_the_likelihood():
    floors = {"choice_by_pmi": 10.0, "choice_by_generation": 20.0, "choice_by_likelihood": 25.0}
    assert decisive(floors) == "choice_by_likelihood"
    del floors["choice_by_likelihood"]
    assert decisive(floors) == "choice_by_generation"
    assert decisive({"choice_by_pmi": 25.0}) == "choice_by_pmi"
    assert decisive({"choice_by_pmi by judge": 10.0, "drawn_yes by judge": 50.0}) == "drawn_yes by judge"  # fmt: skip
