"""A photograph that is stored lying is seen standing: in training, in evaluation, by judges."""

from __future__ import annotations

import base64
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from PIL import Image

from ggez_hub.chat_endpoint import data_url
from ggez_hub.demo.hub import ASSETS
from ggez_hub.evaluation.benchmarks.recognition import RecognitionJudge
from ggez_hub.evaluation.benchmarks.task import DrawingTask, load_tasks
from ggez_hub.evaluation.models.embedding_model import OpenClipEmbedder, open_embedder
from ggez_hub.evaluation.models.generative_model import Posed
from ggez_hub.evaluation.models.vision_model import VisionModel
from ggez_hub.evaluation.report.examples import MAX_PICTURE, _picture
from ggez_hub.families import get_family
from ggez_hub.recipe_file import recipes_folder
from ggez_hub.training.run import open_module
from tests.training.material import job, write_recipe

ORIENTATION = 0x0112
# What a viewer does to what is stored, by EXIF's value (the specification's table of tag 274).
TURNED = {
    3: Image.Transpose.ROTATE_180,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    8: Image.Transpose.ROTATE_90,
}


def lying(value, size=(48, 32)):
    """A JPEG whose EXIF block says that it is to be turned, and what a viewer shows, as PNG."""
    pixels = np.random.default_rng(value).integers(0, 256, (4, 6, 3), np.uint8)
    picture = Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)
    exif = Image.Exif()
    exif[ORIENTATION] = value
    stored, shown, plain = io.BytesIO(), io.BytesIO(), io.BytesIO()
    picture.save(stored, "JPEG", exif=exif, quality=95)
    with Image.open(io.BytesIO(stored.getvalue())) as read:
        assert read.getexif()[ORIENTATION] == value
        read.convert("RGB").save(plain, "PNG")
        read.convert("RGB").transpose(TURNED[value]).save(shown, "PNG")
    return stored.getvalue(), shown.getvalue(), plain.getvalue()


def trained_on(keys, picture):
    """What a training run's learner makes of a picture, as one tensor."""

    def tensors(material, content):
        path = write_recipe(material / f"picture-{picture}.yaml", **keys)
        learner = open_module(job(path))
        row = {"id": "a/1/x", "image": {"bytes": content}, "text": "what", "messages": CHAT}
        return found_in(learner.batch([row]))

    return tensors


CHAT = [{"role": "user", "content": "what"}, {"role": "assistant", "content": "dish"}]


def found_in(batch):
    if "groups" in batch:
        return batch["groups"][0]["pixel_values"]
    return next(iter(batch["pictures"].values()))


def drawn_from(material, content):
    learner = open_module(
        job(write_recipe(material / "lies.yaml", family="diffusion", base="sd15", resolution=16))
    )
    batch = {"image": [{"bytes": content}], "text": ["a"]}
    return safetensors.torch.load(learner.encoder.encode(batch)[0])["latents"]


def embedded(folder, open_model):
    def features(material, content):
        model = open_model(material / folder, get_family("embedding"))
        return torch.from_numpy(model.encode_pictures([content]))

    return features


def replied(material, content):
    model = VisionModel(material / "seer", get_family("vlm"))
    return torch.tensor(model.log_likelihoods([Posed(content, "<image> what", ("a dish", "is"))]))


def judged(material, content):
    """A candidate of a judge of drawings, by the picture that it is known by."""
    path = material / "references.parquet"
    pq.write_table(pa.table({"id": ["a"], "image": [{"bytes": content, "path": None}]}), path)
    task, *_ = load_tasks(recipes_folder() / "demo" / "diffusion", DrawingTask)
    named = task.judge.references.model_copy(update={"files": [path.name]})
    return torch.from_numpy(
        RecognitionJudge(ASSETS / "embedding" / "base", ["a"], material, named, 32)._centroids
    )


def sent(material, content):
    """What a served model is sent: it may know nothing of EXIF."""
    return torch.from_numpy(np.array(in_address(data_url(content))))


def in_address(address):
    read = Image.open(io.BytesIO(base64.b64decode(address.partition("base64,")[2])))
    assert not read.getexif()
    return read


SEEN = {
    "training of transformers' towers": trained_on({}, "base"),
    "training of open_clip": trained_on({"base": "open"}, "open"),
    "training of a vlm": trained_on({"family": "vlm", "base": "chatter"}, "chatter"),
    "training of a pipeline": drawn_from,
    "evaluation of transformers' towers": embedded("base", open_embedder),
    "evaluation of open_clip": embedded("open", OpenClipEmbedder),
    "evaluation of a vlm": replied,
    "references of a judge": judged,
    "a served model": sent,
}


@pytest.mark.parametrize("name", SEEN)
def test_a_picture_is_seen_as_a_viewer_shows_it(material, name):
    sees = SEEN[name]
    stored, shown, plain = lying(6)
    assert sees(material, stored).equal(sees(material, shown))
    assert not sees(material, stored).equal(sees(material, plain))


@pytest.mark.parametrize("value", TURNED)
def test_every_way_to_lie_is_turned(material, value):
    stored, shown, _ = lying(value)
    sees = SEEN["training of transformers' towers"]
    assert sees(material, stored).equal(sees(material, shown))
    assert sent(material, stored).equal(sent(material, shown))


def test_what_stands_is_sent_as_it_is(material):
    _, shown, _ = lying(6)
    assert base64.b64decode(data_url(shown).partition("base64,")[2]) == shown


def test_a_report_shows_a_large_photograph_standing():
    """It is made smaller, and loses the block that said how to turn it."""
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), np.uint8)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    stored = io.BytesIO()
    Image.fromarray(noise).save(stored, "JPEG", exif=exif, quality=95)
    assert len(stored.getvalue()) > MAX_PICTURE
    small = in_address(_picture(stored.getvalue()))
    assert small.width / small.height == pytest.approx(900 / 1200, abs=0.01)
