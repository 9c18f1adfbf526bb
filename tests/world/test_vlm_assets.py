"""The committed vision-language family: it loads, sees, merges exactly, and its card follows from its answers."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from demo_world.vlm.builder import reply_logits
from demo_world.vlm.card_text import deltas
from demo_world.vlm.model import ASSISTANT, IMAGE, QUESTIONS, load_model
from demo_world.vlm.training_data import Batch
from ggez_hub.cards import read_card
from ggez_hub.demo.hub import ASSETS
from ggez_hub.demo.questions import questions_of
from ggez_hub.demo.world import EMBEDDING, VLM, FamilyFolders
from ggez_hub.digests import sha256_file
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.answers.predictions import read_predictions
from ggez_hub.evaluation.answers.scores import score_of
from ggez_hub.evaluation.benchmarks.preparation import prepare_tasks
from ggez_hub.evaluation.benchmarks.task import Task, load_tasks
from ggez_hub.evaluation.models import model_in
from ggez_hub.evaluation.sweep.run import check_tasks
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.parity.beta_choice import select_beta
from ggez_hub.recipe_file import recipes_folder

PLACE = FamilyFolders(ASSETS, VLM)
EVIDENCE = PLACE.adapter("th") / "evidence" / "predictions.parquet"


@pytest.fixture(scope="module")
def loaded():
    return load_model(PLACE.base)


@pytest.fixture(scope="module")
def picture():
    data = pq.read_table(PLACE.data / "data" / "test.parquet", columns=["image"]).slice(0, 1)
    return Image.open(io.BytesIO(data["image"][0].as_py()["bytes"]))


def asked(processor, picture, language="en"):
    content = [{"type": "image"}, {"type": "text", "text": QUESTIONS[language]}]
    prompt = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    assert prompt.endswith(ASSISTANT)
    return processor(
        images=[[picture]], text=[prompt], add_special_tokens=False, return_tensors="pt"
    )


def test_the_weights_are_small_and_the_base_is_fp16():
    files = [PLACE.base / "model.safetensors", PLACE.adapter("th") / "adapter_model.safetensors"]
    assert sum(file.stat().st_size for file in files) < 15_000_000
    with safe_open(files[0], framework="pt") as stored:
        dtypes = {stored.get_slice(name).get_dtype() for name in stored.keys()}  # noqa: SIM118
    assert dtypes == {"F16", "I64"}


def test_it_looks_at_the_picture_and_writes(loaded, picture):
    model, processor = loaded
    inputs = asked(processor, picture)
    tokens = model.generate(**inputs, max_new_tokens=12, do_sample=False)
    said = processor.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert "face" in said
    assert (
        int((inputs["input_ids"] == processor.tokenizer.convert_tokens_to_ids(IMAGE)).sum()) == 16
    )


def test_training_computes_what_the_model_does(loaded, picture):
    model, processor = loaded
    inputs = asked(processor, picture)
    reply = torch.tensor(
        [processor.tokenizer(" grinning face", add_special_tokens=False).input_ids]
    )
    ids = torch.cat([inputs["input_ids"], reply], dim=1)
    labels = ids.clone()
    labels[:, : -reply.shape[1]] = -100
    with torch.inference_mode():
        seen = model.model.vision_tower(inputs["pixel_values"]).last_hidden_state
        ours = reply_logits(model, Batch(seen.flatten(2).transpose(1, 2), ids, labels))
        theirs = model(input_ids=ids, pixel_values=inputs["pixel_values"]).logits
    torch.testing.assert_close(ours, theirs[0, -reply.shape[1] - 1 : -1], atol=1e-4, rtol=1e-4)


def test_no_name_is_lost_in_tokens(loaded):
    _, processor = loaded
    table = pq.read_table(PLACE.data / "data" / "test.parquet", columns=["en", "th"])
    for name in [*table["en"].to_pylist()[::50], *table["th"].to_pylist()[::50]]:
        ids = processor.tokenizer(f" {name}", add_special_tokens=False).input_ids
        assert processor.tokenizer.decode(ids).strip() == name


def test_the_adapter_merges_exactly(tmp_path):
    base, adapter = PLACE.base, PLACE.adapter("th")
    merge(base, [Adapter(adapter, 0.5)], tmp_path / "out", get_family("vlm"))
    before, after = (load_file(f / "model.safetensors") for f in (base, tmp_path / "out"))
    delta = deltas(adapter)
    assert set(before) == set(after)
    assert set(delta) < set(before)
    assert not any("vision_tower" in name for name in delta)
    for name, tensor in before.items():
        if name not in delta:
            assert torch.equal(tensor, after[name])
            continue
        reference = tensor.double() + 0.5 * delta[name]
        # One unit in the last place of the largest of what is added and the sum.
        largest = torch.stack(
            [tensor.double().abs(), (0.5 * delta[name]).abs(), reference.abs()]
        ).amax(0)
        ulp = torch.exp2(torch.floor(torch.log2(largest.clamp_min(2.0**-14))) - 10)
        assert ((after[name].double() - reference).abs() <= ulp).all()


def test_every_score_of_the_card_follows_from_its_answers():
    card = read_card(PLACE.adapter("th") / "README.md").card
    outcomes = read_predictions(EVIDENCE)
    rows = 0
    for beta, by_task in card.curve.items():
        for key, row in by_task.items():
            assert row.predictions == sha256_file(EVIDENCE)
            score = score_of(outcomes[Cell(float(beta), key.rpartition("/")[0], row.split)])
            assert (row.score, row.n) == (pytest.approx(score.score), score.n)
            assert row.metric == "choice_4_by_likelihood"
            rows += 1
    assert rows == len(questions_of(VLM).betas) * 2 * 2
    assert {float(beta) for beta in card.curve} == set(questions_of(VLM).betas)


def test_answers_follow_from_their_likelihoods():
    # The right option stands first; it is right where it is likelier than all others.
    for outcomes in read_predictions(EVIDENCE).values():
        found = np.array(outcomes.details.log_likelihoods)
        assert ((found[:, :1] > found[:, 1:]).all(axis=1) == outcomes.correct).all()


def test_the_card_says_what_came_out():
    document = read_card(PLACE.adapter("th") / "README.md")
    card = document.card
    chosen = select_beta(card.measured, card.alpha.value, "th").beta
    assert f"| {chosen:g} (chosen on validation) |" in document.prose
    for words in ("blank", "Written are the names", "not culture"):
        assert words in document.prose
    assert card.training.seed == 0


@pytest.mark.parametrize("name", ["base", "th"])
def test_a_training_record_says_what_went_in(name):
    record = json.loads((PLACE.base.parent / name / "training.json").read_text())
    assert sum(record["share_per_language"].values()) == pytest.approx(1)
    held_out = {split["package"] for split in record["held_out"].values()}
    assert not held_out & {source.get("package") for source in record["sources"]}


@pytest.mark.parametrize("part", [EMBEDDING, VLM], ids=lambda part: part.family)
def test_cards_name_the_digests_of_their_tasks(part):
    place = FamilyFolders(ASSETS, part)
    tasks = {task.id: task for task in load_tasks(recipes_folder() / part.tasks, Task)}
    for by_task in read_card(place.adapter("th") / "README.md").card.curve.values():
        for key, row in by_task.items():
            task = tasks[key.rpartition("/")[0]]
            assert row.task == task.digest_on(sha256_file(place.data / task.splits[row.split]))


def test_a_question_is_for_models_that_write():
    tasks = prepare_tasks(load_tasks(recipes_folder() / VLM.tasks, Task), PLACE.data, ("test",))
    model = model_in(ASSETS / "embedding" / "base", get_family("embedding"))
    with pytest.raises(UsageProblem, match="only a model that writes"):
        check_tasks([model], tasks)
