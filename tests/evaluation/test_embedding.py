"""Embeddings of open_clip models."""

from __future__ import annotations

import numpy as np
import pytest

from ggez_hub.evaluation.models.embedding_model import NotLoaded, OpenClipEmbedder
from ggez_hub.families import get_family
from tests.evaluation.conftest import COLOURS, change_config, square

FAMILY = get_family("embedding")
PICTURES = [square(colour) for colour in COLOURS]


def test_embeddings_are_float32_of_length_1(base):
    model = OpenClipEmbedder(base, FAMILY)
    for rows in (model.encode_pictures(PICTURES), model.encode_texts(list(COLOURS))):
        assert rows.dtype == np.float32
        assert rows.shape == (12, 32)
        assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-6)


def test_batches_do_not_matter(base):
    model = OpenClipEmbedder(base, FAMILY)
    many = model.encode_pictures(PICTURES * 6)
    assert many.shape == (72, 32)
    assert np.allclose(many[60:], model.encode_pictures(PICTURES), atol=1e-6)


def test_what_the_library_refuses_is_one_error(base, tmp_path):
    folder = change_config(base, tmp_path / "model", embed_dim=16)
    with pytest.raises(NotLoaded, match="open_clip cannot load"):
        OpenClipEmbedder(folder, FAMILY)
