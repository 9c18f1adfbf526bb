"""The model under test: the weights that answer are the weights that `merge` writes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.embedding import EmbeddingModel
from ggez_hub.families import get_family
from ggez_hub.families.loading import NotLoaded
from ggez_hub.merging import Adapter, merge
from ggez_hub.merging.methods import NotFinite
from tests.evaluation.conftest import COLOURS, square

FAMILY = get_family("embedding")
WEIGHTS = "open_clip_model.safetensors"
PICTURES = [square(colour) for colour in COLOURS]


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0, 1.2])
def test_set_beta_has_the_bytes_of_merge(base, both_lora, tmp_path, beta):
    model = EmbeddingModel(base, both_lora, FAMILY)
    # From another beta, not from the base: nothing may accumulate.
    model.set_beta(0.7)
    model.set_beta(beta)
    merge(base, [Adapter(both_lora, beta)], tmp_path / "merged", FAMILY)
    merged = load_file(tmp_path / "merged" / WEIGHTS)
    loaded = model._model.state_dict()
    assert len(model.touched) == 9
    for name, tensor in merged.items():
        mine = model.tensor(name, beta)
        assert mine.dtype == tensor.dtype
        assert mine.numpy().tobytes() == tensor.numpy().tobytes()
        assert torch.equal(loaded[name], tensor.to(loaded[name].dtype))


def test_it_answers_like_the_merged_folder(base, both_lora, tmp_path):
    model = EmbeddingModel(base, both_lora, FAMILY)
    model.set_beta(0.6)
    merge(base, [Adapter(both_lora, 0.6)], tmp_path / "merged", FAMILY)
    merged = EmbeddingModel(tmp_path / "merged", None, FAMILY)
    assert np.array_equal(model.encode_pictures(PICTURES), merged.encode_pictures(PICTURES))
    assert np.array_equal(model.encode_texts(list(COLOURS)), merged.encode_texts(list(COLOURS)))


def test_embeddings_are_float32_of_length_1(base):
    model = EmbeddingModel(base, None, FAMILY)
    for rows in (model.encode_pictures(PICTURES), model.encode_texts(list(COLOURS))):
        assert rows.dtype == np.float32
        assert rows.shape == (12, 32)
        assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-6)


def test_batches_do_not_matter(base):
    model = EmbeddingModel(base, None, FAMILY)
    many = model.encode_pictures(PICTURES * 6)
    assert many.shape == (72, 32)
    assert np.allclose(many[60:], model.encode_pictures(PICTURES), atol=1e-6)


def test_towers_that_move(base, text_lora, both_lora):
    alone = EmbeddingModel(base, None, FAMILY)
    text = EmbeddingModel(base, text_lora, FAMILY)
    both = EmbeddingModel(base, both_lora, FAMILY)
    assert [(m.moves_pictures, m.moves_texts) for m in (alone, text, both)] == [
        (False, False),
        (False, True),
        (True, True),
    ]


def test_a_base_alone_has_beta_0(base):
    model = EmbeddingModel(base, None, FAMILY)
    model.set_beta(0)
    with pytest.raises(UsageProblem, match=r"beta 0\.5 needs an adapter"):
        model.set_beta(0.5)


def test_a_merge_that_is_not_finite_is_refused(base, text_lora):
    model = EmbeddingModel(base, text_lora, FAMILY)
    with pytest.raises(NotFinite, match="at beta 1e"):
        model.set_beta(1e8)


def changed(base, folder, **model_cfg):
    shutil.copytree(base, folder)
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"].update(model_cfg)
    path.write_text(json.dumps(config))
    return folder


def test_tensors_that_the_library_renames_are_noticed(base, text_lora, tmp_path):
    """With `custom_text` open_clip puts `text.` before the names of the text tower."""
    folder = changed(base, tmp_path / "model", custom_text=True)
    with pytest.raises(NotLoaded, match="does not compute with the tensor 'token_embedding"):
        EmbeddingModel(folder, text_lora, FAMILY)
    assert EmbeddingModel(folder, None, FAMILY).encode_texts(["red"]).shape == (1, 32)


def test_what_the_library_refuses_is_one_error(base, tmp_path):
    folder = changed(base, tmp_path / "model", embed_dim=16)
    with pytest.raises(NotLoaded, match="open_clip cannot load"):
        EmbeddingModel(folder, None, FAMILY)
