"""Embedding models of transformers: what is encoded is what transformers computes."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.models.embedding_model import open_embedder
from ggez_hub.families import detect_family, get_family
from ggez_hub.families.pretrained import NotLoaded
from tests.evaluation.benchmarks import png
from tests.evaluation.towers import CLIP, SIGLIP, tokenizer, write_towers
from tests.families.architectures import LLAVA_HUB, write_base

TEXTS = ["what is this", "the dish 3", "answer " * 20]
PICTURES = [png(n) for n in range(4)]


@pytest.mark.parametrize("architecture", [CLIP, SIGLIP], ids=["clip", "siglip"])
def test_embeddings_are_those_of_transformers(tmp_path, architecture):
    folder = write_towers(tmp_path, architecture)
    mine = open_embedder(folder, detect_family(folder))
    model = transformers.AutoModel.from_pretrained(folder).eval()
    words = tokenizer()(TEXTS, padding="max_length", truncation=True, return_tensors="pt")
    images = transformers.AutoImageProcessor.from_pretrained(folder)(
        [Image.open(io.BytesIO(data)) for data in PICTURES], return_tensors="pt"
    )
    with torch.inference_mode():
        both = model(
            input_ids=words["input_ids"], attention_mask=words["attention_mask"],
            pixel_values=images["pixel_values"],
        )  # fmt: skip
    assert np.allclose(mine.encode_texts(TEXTS), both.text_embeds.numpy(), atol=1e-5)
    assert np.allclose(mine.encode_pictures(PICTURES), both.image_embeds.numpy(), atol=1e-5)
    assert mine.encode_texts(TEXTS).dtype == np.float32
    assert np.linalg.norm(mine.encode_pictures(PICTURES), axis=1) == pytest.approx(1, abs=1e-5)


def test_weights_that_are_not_there_are_not_made_up(tmp_path):
    folder = write_towers(tmp_path)
    state = load_file(folder / "model.safetensors")
    del state["visual_projection.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(NotLoaded, match=r"lacks weights of the model: visual_projection\.weight"):
        open_embedder(folder, get_family("embedding"))


@pytest.mark.parametrize(
    ("lost", "problem"),
    [("tokenizer*", "holds no tokenizer"), ("preprocessor*", "transformers cannot load")],
)
def test_a_folder_that_lacks_what_feeds_the_model_is_one_error(tmp_path, lost, problem):
    folder = write_towers(tmp_path)
    for path in folder.glob(lost):
        path.unlink()
    with pytest.raises(NotLoaded, match=problem):
        open_embedder(folder, get_family("embedding"))


def test_another_kind_of_model_is_refused(tmp_path):
    folder = write_base(tmp_path, LLAVA_HUB, torch.float16)
    with pytest.raises(UsageProblem, match="model of the family 'vlm'"):
        open_embedder(folder, detect_family(folder))
