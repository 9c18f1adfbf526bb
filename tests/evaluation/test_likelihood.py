"""Multiple choice by likelihood: transformers' own loss is the reference."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.embedding import NotLoaded
from ggez_hub.evaluation.likelihood import LikelihoodModel
from ggez_hub.families import detect_family
from tests.evaluation.benchmarks import png
from tests.evaluation.seers import SEERS, write_reader, write_seer

OPTIONS = ("the dish 3", "a picture of what is shown in the answer", "is", "0123 0")


def opened(folder):
    return LikelihoodModel(folder, detect_family(folder))


@pytest.fixture(scope="module", params=SEERS)
def seer(request, tmp_path_factory):
    return write_seer(tmp_path_factory.mktemp(request.param), request.param)


def test_a_score_is_the_loss_that_transformers_computes(seer):
    model = opened(seer)
    prompt = model.prompt("What is the dish?")
    assert "What is the dish?" in prompt
    assert prompt.endswith("ASSISTANT:")
    mine = model.log_likelihoods(png(3), prompt, OPTIONS)
    theirs = transformers.AutoModelForImageTextToText.from_pretrained(seer).eval()
    processor = transformers.AutoProcessor.from_pretrained(seer)
    image = Image.open(io.BytesIO(png(3)))
    for option, found in zip(OPTIONS, mine, strict=True):
        # One option at a time, the whole text through the processor.
        inputs = processor(images=[image], text=[f"{prompt} {option}"], return_tensors="pt")
        # The end that the tokenizer adds goes after the option here, and is not asked for.
        own = processor.tokenizer(f" {option}", add_special_tokens=False)["input_ids"]
        ids = inputs["input_ids"][0].tolist()
        at = next(i for i in range(len(ids)) if ids[i : i + len(own)] == own and i > len(ids) - len(own) - 3)  # fmt: skip
        labels = torch.full_like(inputs["input_ids"], -100)
        labels[0, at : at + len(own)] = torch.tensor(own)
        with torch.inference_mode():
            loss = theirs(**inputs, labels=labels).loss.item()
        assert found == pytest.approx(-loss, abs=1e-4)


def test_the_picture_and_the_question_decide(seer):
    model = opened(seer)
    prompt = model.prompt("What is the dish?")
    first = model.log_likelihoods(png(3), prompt, OPTIONS)
    assert first.shape == (4,)
    assert (first < 0).all()
    assert not np.allclose(first, model.log_likelihoods(png(200), prompt, OPTIONS))
    assert not np.allclose(first, model.log_likelihoods(png(3), model.prompt("What?"), OPTIONS))


def test_an_option_does_not_depend_on_those_beside_it(seer):
    model = opened(seer)
    prompt = model.prompt("What is the dish?")
    together = model.log_likelihoods(png(3), prompt, OPTIONS)
    alone = [model.log_likelihoods(png(3), prompt, [option])[0] for option in OPTIONS]
    assert together == pytest.approx(alone, abs=1e-4)


def test_a_first_token_of_the_template_is_not_doubled(seer):
    model = opened(seer)
    prompt, image = model.prompt("What?"), Image.open(io.BytesIO(png(3)))
    twice = model._inputs(image, f"[BOS]{prompt}")["input_ids"].tolist()
    assert model._inputs(image, prompt)["input_ids"].tolist() == twice


def test_a_model_without_a_chat_template_is_refused(tmp_path):
    folder = write_seer(tmp_path, "llava")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(NotLoaded, match="has no chat template"):
        opened(folder)


def test_a_model_that_sees_nothing_is_refused(tmp_path):
    with pytest.raises(UsageProblem, match="sees no pictures"):
        opened(write_reader(tmp_path / "llama"))
