"""Multiple choice by likelihood: transformers' own loss is the reference."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.benchmarks.benchmark import find_benchmarks
from ggez_hub.evaluation.benchmarks.benchmark_questions import ask_benchmark
from ggez_hub.evaluation.benchmarks.contents import Folders, read_contents
from ggez_hub.evaluation.models.generative_model import GenerativeModel, Posed
from ggez_hub.evaluation.models.vision_model import VisionModel
from ggez_hub.families import detect_family
from ggez_hub.families.pretrained import NotLoaded, prompt_inputs
from tests.evaluation import benchmarks as made
from tests.evaluation.benchmarks import png
from tests.evaluation.seers import SEERS, write_reader, write_seer

OPTIONS = ("the dish 3", "a picture of what is shown in the answer", "is", "0123 0")


def likelihoods(model, picture, prompt, options=OPTIONS):
    return np.array(model.log_likelihoods([Posed(picture, prompt, tuple(options))])[0])


def opened(folder):
    return VisionModel(folder, detect_family(folder))


@pytest.fixture(scope="module", params=SEERS)
def seer(request, tmp_path_factory):
    return write_seer(tmp_path_factory.mktemp(request.param), request.param)


def test_a_score_is_the_loss_that_transformers_computes(seer):
    model = opened(seer)
    prompt = model.prompt("What is the dish?")
    assert "What is the dish?" in prompt
    assert prompt.endswith("ASSISTANT:")
    mine = likelihoods(model, png(3), prompt)
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


def test_without_picture_and_question_it_is_the_loss_of_the_reply_to_nothing(seer):
    model = opened(seer)
    theirs = transformers.AutoModelForImageTextToText.from_pretrained(seer).eval()
    processor = transformers.AutoProcessor.from_pretrained(seer)
    prompt = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "text", "text": ""}]}],
        add_generation_prompt=True, tokenize=False,
    )  # fmt: skip
    words = processor.tokenizer
    begin = words(prompt)["input_ids"]
    begin = begin[:-1] if begin[-1] == words.eos_token_id else begin
    for option, (mean, count) in zip(OPTIONS, model.unconditional(OPTIONS), strict=True):
        own = words(f" {option}", add_special_tokens=False)["input_ids"]
        ids = torch.tensor([begin + own])
        labels = torch.tensor([[-100] * len(begin) + own])
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        with torch.inference_mode():
            loss = theirs(**inputs, labels=labels).loss.item()
        assert count == len(own)
        assert mean == pytest.approx(-loss, abs=1e-4)


def test_the_picture_and_the_question_decide(seer):
    model = opened(seer)
    prompt = model.prompt("What is the dish?")
    first = likelihoods(model, png(3), prompt)
    assert first.shape == (4,)
    assert (first < 0).all()
    assert not np.allclose(first, likelihoods(model, png(200), prompt))
    assert not np.allclose(first, likelihoods(model, png(3), model.prompt("What?")))


def test_an_option_does_not_depend_on_those_beside_it(seer):
    model = opened(seer)
    prompt = model.prompt("What is the dish?")
    together = likelihoods(model, png(3), prompt)
    alone = [likelihoods(model, png(3), prompt, [option])[0] for option in OPTIONS]
    assert together == pytest.approx(alone, abs=1e-4)


def questions(model, new_tokens=0):
    """Prompts of different lengths, more than go through the model together."""
    return [
        Posed(png(n), model.prompt("What is " * (1 + n % 4)), OPTIONS[: 2 + n % 3], new_tokens)
        for n in range(11)
    ]


def test_questions_of_a_batch_do_not_touch_each_other(seer):
    model = opened(seer)
    asked = questions(model)
    for one, found in zip(asked, model.log_likelihoods(asked), strict=True):
        assert found == pytest.approx(model.log_likelihoods([one])[0], abs=1e-4)


def test_replies_are_those_of_transformers_one_by_one(seer):
    model = opened(seer)
    asked = questions(model, new_tokens=12)
    theirs = transformers.AutoModelForImageTextToText.from_pretrained(seer).eval()
    processor = transformers.AutoProcessor.from_pretrained(seer)
    expected = []
    for one in asked:
        image = Image.open(io.BytesIO(one.picture))
        inputs = processor(images=[image], text=[one.prompt], return_tensors="pt")
        # The end that the tokenizer adds is not where a reply begins.
        inputs = {n: v[:, :-1] if v.shape == inputs["input_ids"].shape else v for n, v in inputs.items()}  # fmt: skip
        with torch.inference_mode():
            tokens = theirs.generate(**inputs, max_new_tokens=12, do_sample=False)
        expected.append(processor.tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))  # fmt: skip
    assert len(set(expected)) > 2
    assert model.replies(asked) == expected


def test_free_questions_are_asked_as_they_are(seer, tmp_path):
    data = made.write_worldcuisines(tmp_path, 8)
    task = find_benchmarks("worldcuisines-open")[2].model_copy(update={"reply_tokens": 6})
    items = read_contents(task, Folders(data / "vqa", data / "food-kb")).items
    model = opened(seer)
    asked = ask_benchmark(task, items)
    found = GenerativeModel(model, AnswerCache()).answer(asked, "")
    assert (len(found), len(found.missing)) == (7, 1)
    prompts = [
        model.prompt(f"What is dish {n} called?\nAnswer with the name alone.") for n in range(7)
    ]
    posed = [Posed(png(n), prompt, new_tokens=6) for n, prompt in enumerate(prompts)]
    assert list(found.details.raw) == model.replies(posed)
    assert found.chance.tolist() == [0] * 7


def test_a_first_token_of_the_template_is_not_doubled(seer):
    model = opened(seer)
    prompt, image = model.prompt("What?"), Image.open(io.BytesIO(png(3)))
    twice = prompt_inputs(model._processor, [image], [f"[BOS]{prompt}"])["input_ids"].tolist()
    assert prompt_inputs(model._processor, [image], [prompt])["input_ids"].tolist() == twice


def test_a_model_without_a_chat_template_is_refused(tmp_path):
    folder = write_seer(tmp_path, "llava")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(NotLoaded, match="has no chat template"):
        opened(folder)


def test_a_model_that_sees_nothing_is_refused(tmp_path):
    with pytest.raises(UsageProblem, match="sees no pictures"):
        opened(write_reader(tmp_path / "llama"))
