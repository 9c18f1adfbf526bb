"""Headers of weight files on a hub: what is checked of a file here is checked of one that is there."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
from safetensors.numpy import save_file

from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub, listings
from ggez_hub.hub import sparse_copy as sparse_copies
from ggez_hub.hub.sparse_copy import header, sparse_copy, tensors
from ggez_hub.safetensors_header import BadWeights, read_header

from ..dishonest_hub import dishonest
from ..merging.test_hostile_files import HOSTILE
from ..worlds import serving
from .declared import upload


def test_a_hostile_header_is_refused_before_anything_is_made_of_it():
    with dishonest(
        {"org/files": {f"{how}.safetensors": data for how, (data, _) in HOSTILE.items()}}
    ) as there:
        hub = Hub(there.endpoint)
        at = hub.at_commit("org/files", "main")
        for how, (_, named) in HOSTILE.items():
            with pytest.raises(BadWeights) as caught:
                header(hub, at, f"{how}.safetensors")
            assert named in caught.value.message
            assert f"{how}.safetensors of org/files" in caught.value.message


def test_a_list_of_models_that_never_ends(monkeypatch):
    monkeypatch.setattr(listings, "MOST_FOUND", 50)
    asked = []

    class Endless(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            models = [{"id": f"org/m{len(asked)}-{n}", "sha": "c" * 40} for n in range(20)]
            body = json.dumps(models).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.send_header("link", f'<{address}/api/models?cursor={len(asked)}>; rel="next"')
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(GgezError, match="more than 50 models with the tags ggez"):
            Hub(address).discover(["ggez"])
        server.shutdown()
    assert len(asked) == 3


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


@pytest.mark.parametrize(
    ("limit", "most", "said"),
    [
        ("MOST_CONFIGURATION_BYTES", 10, "more than 10 bytes of configuration"),
        ("MOST_WEIGHT_FILES", 0, "more than 0 weight files"),
    ],
)
def test_a_repository_of_endless_small_files_is_not_copied(seeded, monkeypatch, limit, most, said):
    at = seeded.at_commit("ggez-world/clip-emoji-th", "main")
    names = {"adapter_config.json"}
    with sparse_copy(seeded, at, names, headers=True) as folder:
        assert (folder / "adapter_config.json").stat().st_size > 10
    monkeypatch.setattr(sparse_copies, limit, most)
    with (
        pytest.raises(BadWeights, match=said),
        sparse_copy(seeded, at, names, headers=True),
    ):
        pass
