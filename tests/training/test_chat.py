"""What a vision-language model learns of a chat: its replies and their ends, as it will be asked."""

from __future__ import annotations

import pytest
import torch
import transformers
from PIL import Image

from ggez_hub.families.pretrained import NotLoaded, open_model, open_processing
from ggez_hub.families.vlm import SEES
from ggez_hub.training.chat_tokens import UNLEARNED, ChatTokenizer, Segment, pad_rows
from tests.evaluation.seers import SEERS, write_seer
from tests.training.material import write_chatter

CHAT = [
    {"role": "user", "content": "what is it"},
    {"role": "assistant", "content": "a dish"},
    {"role": "user", "content": "of what"},
    {"role": "assistant", "content": "the answer"},
]


@pytest.fixture(scope="module", params=list(SEERS))
def chatter(request, tmp_path_factory):
    return write_chatter(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def writer(chatter):
    return ChatTokenizer(open_processing(chatter, "AutoProcessor"))


def picture(shade=90):
    return Image.new("RGB", (28, 28), (shade, 20, 20))


def test_only_replies_and_their_ends_are_learned(writer):
    segments = writer.chat(CHAT, picture=True)
    assert [s.text for s in segments if s.learned] == ["a dish[EOS]", "the answer[EOS]"]
    encoded = writer.encode(segments, picture())
    learned = encoded["labels"][0] != UNLEARNED
    assert encoded["input_ids"][0][learned].equal(encoded["labels"][0][learned])
    words = writer.processor.tokenizer
    said = words.decode(encoded["input_ids"][0][learned])
    assert said == words.decode(
        words("a dish[EOS]the answer[EOS]", add_special_tokens=False)["input_ids"]
    )


def test_what_is_before_a_reply_is_what_the_model_is_asked(writer):
    encoded = writer.encode(writer.chat(CHAT[:2], picture=True), picture())
    asked = writer.processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what is it"}]}],
        add_generation_prompt=True, tokenize=False,
    )  # fmt: skip
    alone = writer.processor(images=[[picture()]], text=[asked], return_tensors="pt")["input_ids"]
    if alone[0, -1] == writer.processor.tokenizer.eos_token_id:
        alone = alone[:, :-1]
    start = int((encoded["labels"][0] != UNLEARNED).nonzero()[0])
    assert encoded["input_ids"][0, :start].equal(alone[0])


def test_rows_that_are_padded_together_have_the_sum_of_their_losses(chatter, writer, tmp_path):
    model = open_model(chatter, SEES, torch.float64)
    rows = [
        writer.encode(writer.chat(CHAT, picture=True), picture(30)),
        writer.encode(writer.chat(CHAT[:2], picture=True), picture(200)),
        writer.encode(writer.plain_text("the dish is what is shown", picture=False), None),
    ]

    def loss(groups):
        total = 0.0
        for group in groups:
            inputs = {n: v.double() if v.is_floating_point() else v for n, v in group.items()}
            labels = inputs.pop("labels")
            logits = model(**inputs).logits
            total += torch.nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum"
            ).item()
        return total

    with torch.inference_mode():
        together = list(pad_rows(rows, 0))
        assert [len(group["input_ids"]) for group in together] == [2, 1]
        alone = sum(loss(pad_rows([row], 0)) for row in rows)
        assert loss(together) == pytest.approx(alone, rel=1e-12)


def test_continued_pretraining_learns_every_token_of_the_text(writer):
    segments = writer.plain_text("the answer", picture=True)
    assert segments[1] == Segment("the answer[EOS]", True)
    assert "USER" not in segments[0].text
    encoded = writer.encode(segments, picture())
    words = writer.processor.tokenizer("the answer[EOS]", add_special_tokens=False)["input_ids"]
    assert encoded["labels"][0][-len(words) :].tolist() == words


def test_a_template_that_does_not_tell_who_speaks_is_refused(tmp_path):
    folder = write_seer(tmp_path / "seer", "llava")
    processor = transformers.AutoProcessor.from_pretrained(folder)
    with pytest.raises(NotLoaded, match="does not write a chat as the beginning of a longer one"):
        ChatTokenizer(processor).check()


def test_where_nothing_ends_a_reply_the_end_of_the_text_does(writer, chatter):
    processor = transformers.AutoProcessor.from_pretrained(chatter)
    processor.chat_template = processor.chat_template.replace("[EOS]", "")
    segments = ChatTokenizer(processor).chat(CHAT, picture=True)
    assert [s.text for s in segments if s.learned] == ["a dish[EOS]", "the answer[EOS]"]
