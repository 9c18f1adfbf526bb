"""The adapter form, loaded by PEFT at scale 1, is the merged form."""

from __future__ import annotations

import json
import subprocess
import sys

import peft
import pytest
import torch
from safetensors.torch import load_file

from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, BadAdapter, merge
from ggez_hub.merging.forms import write_peft

from ..models import open_clip_model

WEIGHTS = "open_clip_model.safetensors"


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0, 1.25])
def test_peft_form_equals_the_merged_form(base, lora, tmp_path, beta):
    folder = tmp_path / "adapter"
    folder.mkdir()
    write_peft(lora, beta, "org/base", "a" * 40, folder)
    merge(base, [Adapter(lora, beta)], tmp_path / "out", get_family("embedding"))

    model = open_clip_model()
    state = load_file(base / WEIGHTS)
    model.load_state_dict({k: v.float() for k, v in state.items() if k != "text.position_ids"})
    adapted = peft.PeftModel.from_pretrained(model, folder).merge_and_unload().state_dict()
    for name, tensor in load_file(tmp_path / "out" / WEIGHTS).items():
        if tensor.is_floating_point():
            # The merged form is rounded to the base's float16.
            torch.testing.assert_close(adapted[name], tensor.float(), rtol=1e-3, atol=1e-3)


def test_matrices_are_copied_and_the_base_is_named(lora, tmp_path):
    write_peft(lora, 0.4, "org/base", "a" * 40, tmp_path)
    assert (tmp_path / "adapter_model.safetensors").read_bytes() == (
        lora / "adapter_model.safetensors"
    ).read_bytes()
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["lora_alpha"] == pytest.approx(6 * 0.4)
    assert config["alpha_pattern"] == {"resblocks.1.mlp.c_proj": pytest.approx(4.4)}
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/base", "a" * 40)


def test_what_does_not_scale_with_beta_is_refused(lora, tmp_path):
    import shutil

    adapter = shutil.copytree(lora, tmp_path / "dora")
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"use_dora": True}))
    with pytest.raises(BadAdapter, match="use_dora"):
        write_peft(adapter, 0.4, "org/base", "a" * 40, tmp_path)


def test_it_needs_no_torch(lora, tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from ggez_hub.merging.forms import write_peft\n"
        "write_peft(Path(sys.argv[1]), 0.4, 'org/base', 'a' * 40, Path(sys.argv[2]))\n"
        "assert not {'torch', 'mergekit', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(lora), str(tmp_path)], check=True)
