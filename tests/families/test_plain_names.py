"""The shipped names of common layouts against transformers' own models."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from transformers.models.auto import modeling_auto
from transformers.pytorch_utils import Conv1D

from ggez_hub.errors import GgezError
from ggez_hub.families import get_family
from ggez_hub.families import plain_names as known
from ggez_hub.families.transformers_folder import read_checkpoint
from ggez_hub.families.transformers_names import StoredNames

from .architectures import (
    EMBEDDING,
    GPT2,
    LLAMA_MODEL,
    LLAVA,
    VLM,
    targets,
    write_adapter,
    write_base,
)
from .plain_names import build, classes, row

QUICK = (LLAMA_MODEL, GPT2, LLAVA)


@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param(a, id=a.id, marks=() if a in QUICK else pytest.mark.slow)
        for a in (*EMBEDDING, *VLM)
    ],
)
def test_what_is_known_ahead_is_what_the_model_says(tmp_path, architecture):
    base = write_base(tmp_path, architecture, torch.float16)
    layout = get_family("embedding" if architecture in EMBEDDING else "vlm").layout(base)
    names = {n for path in layout.weights for n in known_names(base / path)}
    found = known.plain_names(read_checkpoint(base), names)
    model = architecture.build()
    stored = StoredNames(model, names)
    modules = {**dict(model.named_modules()), **{n.removesuffix(".weight"): None for n in names}}
    looked_up = 0
    for path, module in modules.items():
        if (tensor := found.tensor(path)) is not None:
            looked_up += 1
            assert tensor == stored.tensor(path)
            assert not isinstance(module, Conv1D)
        elif module is not None and isinstance(module, Conv1D):
            assert not found.hold([stored.tensor(path)])
    if architecture in (LLAMA_MODEL, LLAVA):
        # What may be tied is left to the model.
        layers = [path for path in targets(model) if ".layers." in path]
        assert all(map(found.tensor, layers))
    assert (looked_up > 0) == bool(found.tensors)


def known_names(path):
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return header.keys() - {"__metadata__"}


def test_a_name_of_another_layout_leaves_it_to_the_model(tmp_path):
    config = LLAMA_MODEL.config | {"architectures": [LLAMA_MODEL.cls]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    weight = "model.layers.{}.self_attn.q_proj.weight"
    names = {weight.format(n) for n in range(3)} | {"model.embed_tokens.weight"}
    checkpoint = read_checkpoint(tmp_path)
    found = known.plain_names(checkpoint, names)
    assert found.tensor("model.layers.2.self_attn.q_proj") == weight.format(2)
    assert found.hold(weight.format(n) for n in range(3))
    # Neither a layer that is not there, nor what may be tied.
    assert found.tensor("model.layers.3.self_attn.q_proj") is None
    assert found.tensor("model.embed_tokens") is None
    assert not found.hold(names)
    assert not known.plain_names(checkpoint, names | {"layers.0.self_attn.q_proj.weight"}).tensors
    other = config | {"model_type": "mistral"}
    (tmp_path / "config.json").write_text(json.dumps(other))
    assert not known.plain_names(read_checkpoint(tmp_path), names).tensors


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", sorted({*modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.values()})
)
def test_the_table_is_made_of_the_models(name):
    """Every architecture that sees and writes: what is shipped is what its model gives."""
    shipped = json.loads(known.TABLE.read_text()).get(name)
    kind = classes()[name]
    try:
        found = row(build(name, kind))
    except GgezError:
        raise
    except Exception:  # its default configuration is not complete
        assert shipped is None
        return
    assert shipped == ({"model_type": kind, "layouts": found} if found else None)


@pytest.mark.slow
def test_a_merge_of_a_common_layout_imports_no_models(tmp_path):
    (tmp_path / "base").mkdir()
    base = write_base(tmp_path / "base", LLAMA_MODEL, torch.float16)
    adapter = write_adapter(tmp_path / "adapter", LLAMA_MODEL.build(), ["q_proj", "down_proj"])
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from ggez_hub.families import get_family\n"
        "from ggez_hub.merging import Adapter, merge\n"
        "base, adapter, out = map(Path, sys.argv[1:])\n"
        "print(merge(base, [Adapter(adapter, 0.5)], out, get_family('vlm')).touched)\n"
        "print([n for n in sys.modules if n.startswith(('transformers.model', 'torchvision'))])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, base, adapter, tmp_path / "out"],
        check=True, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["4", "[]"]
