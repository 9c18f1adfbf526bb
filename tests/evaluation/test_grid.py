"""The grid: every beta on every task, and the card's curve."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pyarrow.parquet as pq
import pytest

from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.answers.predictions import read_predictions, write_predictions
from ggez_hub.evaluation.answers.scores import score_of
from ggez_hub.evaluation.benchmarks.preparation import prepare_tasks
from ggez_hub.evaluation.models import embedding_model, grid_on, model_in
from ggez_hub.evaluation.models.model_under_test import StoredModel
from ggez_hub.evaluation.results.figures import write_results
from ggez_hub.evaluation.results.measured_curve import curve_rows
from ggez_hub.evaluation.results.verification import verify_evidence
from ggez_hub.evaluation.sweep.run import measure
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.parity.betas import beta_key
from tests.evaluation.conftest import make_task
from tests.evaluation.results import header

FAMILY = get_family("embedding")


def ask(base, adapter, tasks, data, betas, splits=("validation", "test"), details=False, **more):
    model = StoredModel(base, (adapter,) if adapter else (), FAMILY)
    tasks = prepare_tasks(tasks, data, splits, details=details)
    return measure(grid_on(model, betas) if adapter else [model_in(base, FAMILY)], tasks, **more)


TASKS = [
    make_task("en"),
    make_task("th"),
    make_task("th", "choice_4"),
    make_task("en", "image_to_text_r1"),
]


@pytest.fixture
def encoded(monkeypatch):
    """How many pictures and texts were encoded."""
    counts = {"pictures": 0, "texts": 0}
    for kind in counts:
        name = f"encode_{kind}"
        original = getattr(embedding_model.OpenClipEmbedder, name)

        def counting(self, inputs, kind=kind, original=original):
            counts[kind] += len(inputs)
            return original(self, inputs)

        monkeypatch.setattr(embedding_model.OpenClipEmbedder, name, counting)
    return counts


@pytest.mark.parametrize("beta", [-0.1, math.nan, math.inf, 1 / 3, 1e-7])
def test_what_cannot_be_a_key_is_refused(beta):
    with pytest.raises(UsageProblem, match="cannot be a point of the grid"):
        beta_key(beta)


def test_every_cell_is_measured_and_pictures_once(base, text_lora, dataset, encoded):
    told = []
    found = ask(base, text_lora, TASKS, dataset, (0, 0.5, 1),
                progress=lambda done, total: told.append((done, total)))  # fmt: skip
    assert len(found.outcomes) == 3 * 4 * 2
    assert told == [(number, 12) for number in range(1, 13)]
    # Both splits have the same 12 pictures, 12 English and 11 Thai names.
    assert encoded == {"pictures": 12, "texts": 3 * (12 + 11)}


def test_pictures_are_encoded_again_where_beta_moves_their_tower(base, both_lora, dataset, encoded):
    ask(base, both_lora, TASKS, dataset, (0, 1), ("test",))
    assert encoded["pictures"] == 24


def test_a_cell_is_what_the_merged_model_answers(base, both_lora, dataset, tmp_path):
    grid = ask(base, both_lora, TASKS, dataset, (0, 0.4), ("test",))
    merge(base, [Adapter(both_lora, 0.4)], tmp_path / "merged", FAMILY)
    alone = ask(tmp_path / "merged", None, TASKS, dataset, (0,), ("test",))
    for task in TASKS:
        ours, theirs = (
            grid.outcomes[Cell(0.4, task.id, "test")],
            alone.outcomes[Cell(0, task.id, "test")],
        )
        assert ours.predicted == theirs.predicted
        assert np.array_equal(ours.rank, theirs.rank)


def test_a_curve_follows_from_the_predictions(base, text_lora, dataset, tmp_path):
    found = ask(base, text_lora, TASKS, dataset, (0, 0.25))
    digest = write_predictions(tmp_path / "predictions.parquet", found.outcomes)
    curve = curve_rows(
        found.outcomes, found.records(), found.models, measured_by="self", evaluator="0" * 40,
        predictions=digest,
    )  # fmt: skip
    read = read_predictions(tmp_path / "predictions.parquet")
    scores = {cell: score_of(outcomes) for cell, outcomes in read.items()}
    assert list(curve) == ["0", "0.25"]
    assert len(scores) == 16
    for cell, score in scores.items():
        row = curve[beta_key(cell.beta)][f"{cell.task}/{cell.split}"]
        assert (row.score, row.n, row.se, row.floor) == (
            score.score,
            score.n,
            score.se,
            score.floor,
        )
        assert row.predictions == digest
    thai = curve["0.25"]["colours-th-text-to-image-r1/test"]
    assert (thai.side, thai.split, thai.n) == ("regional", "test", 11)
    assert thai.floor == pytest.approx(100 / 12)
    assert thai.by_country["th"].score == thai.score
    assert thai.task == TASKS[1].digest_on(sha256_file(dataset / "data" / "test.parquet"))
    world = curve["0"]["colours-en-text-to-image-r1/validation"]
    assert (world.side, world.by_country) == ("global", {})
    assert world.model != thai.model


def test_details_say_what_was_asked(base, text_lora, dataset, tmp_path):
    found = ask(base, text_lora, TASKS, dataset, (0, 1), details=True)
    plain = ask(base, text_lora, TASKS, dataset, (0, 1))
    rows = pq.read_table(dataset / "data" / "test.parquet").to_pylist()
    hashes = {row["id"]: hashlib.sha256(row["image"]["bytes"]).hexdigest() for row in rows}
    for task in TASKS:
        cell = Cell(1, task.id, "test")
        asked, details = found.outcomes[cell], found.outcomes[cell].details
        assert asked.predicted == plain.outcomes[cell].predicted
        assert details.images == tuple(hashes[item] for item in asked.items)
        assert set(details.countries) == ({None} if task.side == "global" else {"th"})
        assert set(details.languages) == {task.language}
        assert details.prompts == found.outcomes[Cell(0, task.id, "test")].details.prompts
        # A text that is searched for, four options, or all names: three kinds of prompt.
        different = {"text_to_image_r1": len(asked), "choice_4": len(asked), "image_to_text_r1": 1}
        assert len(set(details.prompts)) == different[task.metric]
        if task.metric == "choice_4":
            scores = np.array(details.log_likelihoods)
            assert scores.shape == (11, 4)
            # The right option is the first.
            assert np.array_equal(scores[:, 0] > scores[:, 1:].max(axis=1), asked.correct)
    evidence = write_results(
        tmp_path, header(tasks=found.records(), data=["a/b"], models=found.models), found.outcomes
    )
    assert evidence.header.tasks[TASKS[1].id].dataset == "ggez-world/colours"
    assert verify_evidence(tmp_path).problems == ()


def test_a_model_digest_covers_base_adapter_and_beta(base, text_lora, both_lora, dataset):
    def digests(adapter):
        return ask(base, adapter, TASKS[:1], dataset, (0, 0.5), ("test",)).models

    assert digests(text_lora) == digests(text_lora)
    assert len({*digests(text_lora).values(), *digests(both_lora).values()}) == 4


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"betas": (0.5, 0.5)}, UsageProblem, "have to be different"),
        ({"betas": ()}, UsageProblem, "have to be different"),
        ({"tasks": []}, UsageProblem, "at least one task"),
        ({"tasks": [TASKS[0], TASKS[0]]}, UsageProblem, "the same id"),
        (
            {"tasks": [TASKS[0], make_task(dataset={"repo": "a/b", "revision": "main"})]},
            UsageProblem,
            "several datasets: a/b, ggez-world/colours",
        ),
        (
            {"tasks": [make_task(splits={"validation": "data/validation.parquet"})]},
            GgezError,
            "has no split 'test'",
        ),
    ],
)
def test_a_wrong_request_is_refused_before_the_model_is_opened(
    base, text_lora, dataset, monkeypatch, changes, error, message
):
    def never(*_):
        raise AssertionError("the model was opened")

    monkeypatch.setattr(embedding_model.OpenClipEmbedder, "__init__", never)
    arguments = {"tasks": TASKS, "betas": (0,), **changes}
    with pytest.raises(error, match=message):
        ask(base, text_lora, data=dataset, **arguments)
