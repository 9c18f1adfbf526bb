"""Headers of weight files on a hub: what is checked of a file here is checked of one that lies there."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from ggez_hub.hub import Hub
from ggez_hub.hub.headers import header, tensors
from ggez_hub.weights import BadWeights, read_header

from ..lying_hub import lying
from ..merging.test_hostile_files import HOSTILE
from ..worlds import serving
from .declared import upload


def test_a_hostile_header_is_refused_before_anything_is_made_of_it():
    with lying(
        {"org/files": {f"{how}.safetensors": data for how, (data, _) in HOSTILE.items()}}
    ) as there:
        hub = Hub(there.endpoint)
        at = hub.at_commit("org/files", "main")
        for how, (_, named) in HOSTILE.items():
            with pytest.raises(BadWeights) as caught:
                header(hub, at, f"{how}.safetensors")
            assert named in caught.value.message
            assert f"{how}.safetensors of org/files" in caught.value.message


def test_a_long_header_is_read_whole(store, tmp_path):
    path = tmp_path / "model" / "many.safetensors"
    path.parent.mkdir()
    save_file(
        {f"a.rather.long.name.{n}": np.zeros(2, np.float16) for n in range(2000)},
        path,
        {"of": "two requests"},
    )
    upload(store, "org/many", path.parent)
    with serving(store) as endpoint:
        hub = Hub(endpoint)
        at = hub.at_commit("org/many", "main")
        found, metadata = header(hub, at, "many.safetensors")
        named = tensors(hub, at, ["many.safetensors"])
    here = read_header(path)
    assert here.data_start > 100_000
    assert (found, metadata) == (here.tensors, here.metadata)
    assert named["a.rather.long.name.7"] == ("F16", (2,))
