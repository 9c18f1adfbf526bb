"""`--as peft`: megabytes in place of a model, from the adapter's bytes alone."""

from __future__ import annotations

import json
import subprocess
import sys

import peft
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from ggez_hub.cli.main import cli

from ..faults import wire
from ..models import open_clip_model


def pull(endpoint, *arguments):
    return CliRunner().invoke(
        cli, ["pull", "--hub", endpoint, "--region", "th", *map(str, arguments)]
    )


def test_the_adapter_form_does_what_the_merged_form_does(seeded, world, tmp_path):
    merged, adapter = tmp_path / "merged", tmp_path / "adapter"
    assert pull(seeded.endpoint, "-o", merged).exit_code == 0
    result = pull(seeded.endpoint, "-o", adapter, "--as", "peft")
    assert result.exit_code == 0, result.output
    assert "PeftModel.from_pretrained" in result.stdout
    files = sorted(p.name for p in (adapter / "embedding").iterdir())
    assert files == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    config = json.loads((adapter / "embedding" / "adapter_config.json").read_text())
    assert config["lora_alpha"] == 3.0  # 6 * beta 0.5

    model = open_clip_model()
    base = load_file(world / "embedding" / "base" / "open_clip_model.safetensors")
    model.load_state_dict({name: tensor.float() for name, tensor in base.items()})
    state = peft.PeftModel.from_pretrained(model, adapter / "embedding").merge_and_unload()
    out = load_file(merged / "embedding" / "open_clip_model.safetensors")
    for name, tensor in state.state_dict().items():
        torch.testing.assert_close(tensor, out[name].float(), rtol=1e-3, atol=1e-3)


def test_only_adapter_bytes_are_transferred(seeded, world, tmp_path):
    """The base's weights never pass; what passes is less than they are."""
    passed = []
    marker = (world / "embedding" / "base" / "open_clip_model.safetensors").read_bytes()[-64:]

    def count(data):
        assert marker not in data
        passed.append(len(data))
        return data

    with wire(seeded.endpoint, count) as line:
        assert pull(line.endpoint, "-o", tmp_path / "out", "--as", "peft").exit_code == 0
    adapter = sum(p.stat().st_size for p in (world / "embedding" / "th").glob("adapter_*"))
    assert adapter < sum(passed) < adapter + 60_000


def test_no_torch_is_imported(seeded, tmp_path):
    code = (
        "import atexit, sys\n"
        "heavy = {'torch', 'mergekit', 'transformers'}\n"
        "atexit.register(lambda: print('HEAVY', heavy & set(sys.modules)))\n"
        "from ggez_hub.cli.main import main\n"
        "sys.argv[0] = 'ggez-hub'\n"
        "main()\n"
    )
    arguments = ["pull", "--region", "th", "--as", "peft", "-o", str(tmp_path / "out"), "-q"]
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--hub", seeded.endpoint],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "HEAVY set()"


def test_dry_run_of_the_adapter_form_is_small(seeded, tmp_path):
    costs = {
        form: json.loads(
            pull(seeded.endpoint, "-o", tmp_path / "x", "--as", form, "--dry-run", "--json").stdout
        )
        for form in ("merged", "peft")
    }
    assert costs["peft"]["fetch_bytes"] < costs["merged"]["fetch_bytes"]
    assert costs["peft"]["ram_bytes"] == 0


def test_the_forms_have_different_digests_and_do_not_mix(seeded, tmp_path):
    assert pull(seeded.endpoint, "-o", tmp_path / "out", "--as", "peft").exit_code == 0
    result = pull(seeded.endpoint, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "holds another pull" in result.stderr
    assert pull(seeded.endpoint, "-o", tmp_path / "y", "--as", "nonsense").exit_code == 2
