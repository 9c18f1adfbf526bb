"""`--as peft|diffusers|kohya` of every family over HTTP, and `merge --as` of local folders."""

from __future__ import annotations

import json
import warnings

import peft
import pytest
import torch
from click.testing import CliRunner
from diffusers import DiffusionPipeline
from safetensors.torch import load_file

from ggez_hub.cli.main import cli
from ggez_hub.embedded.store import HubStore

from ..diffusion.loras import regional_by_diffusers, write_by_diffusers
from ..diffusion.loras import weights as pipeline_weights
from ..diffusion.pipelines import write_pipeline
from ..diffusion.test_forms import assert_equal
from ..families.architectures import EMBEDDING, LLAVA_HUB, write_base
from ..families.architectures import write_adapter as write_lora
from ..faults import wire
from ..merging.exactness import write_peft
from ..worlds import serving
from .declared import BASE, declare, register, upload

FULL_CLIP = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1"]
SIGLIP = next(a for a in EMBEDDING if a.config["model_type"] == "siglip")
CLIP = next(a for a in EMBEDDING if a.config["model_type"] == "clip")


@pytest.fixture
def store(tmp_path):
    with HubStore.open(tmp_path / "store") as store:
        yield store


def run(*arguments):
    result = CliRunner().invoke(cli, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result


def publish(store, family, base, adapter):
    upload(store, BASE, base)
    paths = [p.name for p in adapter.iterdir() if p.suffix in {".json", ".safetensors"}]
    for path in adapter.glob("adapter_config.json"):
        config = json.loads(path.read_text()) | {"base_model_name_or_path": BASE}
        path.write_text(json.dumps(config | {"auto_mapping": None}))
    revision = upload(store, "real/regional", adapter)
    register(store, declare(family, "lora", base, adapter, revision=revision, paths=paths))


def pull(endpoint, form, out):
    return run(
        "pull", "--hub", endpoint, "--region", "th", "--beta", "0.4", "--as", form, "-o", out,
        "--json",
    )  # fmt: skip


@pytest.mark.parametrize("form", ["diffusers", "kohya"])
def test_a_pipeline(store, tmp_path, form):
    """Only the base's configuration passes; the file loads in the pipeline and is the merge."""
    base = write_pipeline("sdxl", tmp_path / "base")
    targets = {"unet": ["to_q", "conv1"], "text_encoder": FULL_CLIP, "text_encoder_2": FULL_CLIP}
    adapter = tmp_path / "adapter"
    write_by_diffusers(base, adapter, targets, metadata=True, lora_alpha=6)
    publish(store, "diffusion", base, adapter)
    marker = (base / "unet/diffusion_pytorch_model.safetensors").read_bytes()[-64:]

    def watch(data):
        assert marker not in data
        return data

    with serving(store) as endpoint:
        with wire(endpoint, watch) as line:
            document = json.loads(pull(line.endpoint, form, tmp_path / "out").stdout)
        pull(endpoint, "merged", tmp_path / "merged")
    folder = tmp_path / "out" / "diffusion"
    found = {row["runtime"]: row for row in document["runtimes"]}
    assert found["diffusers"]["status"] == "yes"
    assert found["diffusers hot-swap"]["status"] == "no"  # it has text encoders
    assert found["ComfyUI"]["status"] == ("yes" if form == "kohya" else "no")
    merged = pipeline_weights(tmp_path / "merged" / "diffusion")
    (file,) = folder.glob("*.safetensors")
    fused, adapted = regional_by_diffusers(base, file)
    assert adapted == set(targets)
    assert_equal(base, fused, merged, units=2)
    # The lines that the card and the command give, on the local copy of the base.
    *_, last = found["diffusers"]["lines"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = DiffusionPipeline.from_pretrained(base)
        exec(last, {"pipeline": pipeline})  # noqa: S102 - the lines that pull tells people to run
    assert pipeline.get_list_adapters().keys() == set(targets)
    assert "load_lora_weights" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("architecture", "family"), [(CLIP, "embedding"), (SIGLIP, "embedding"), (LLAVA_HUB, "vlm")]
)
def test_a_transformers_model(architecture, family, tmp_path):
    """`merge --as peft` and `merge` of the same folders give the same model in PEFT."""
    (tmp_path / "base").mkdir()
    base = write_base(tmp_path / "base", architecture, torch.float32)
    names = ["q_proj", "fc1", "down_proj"]
    adapter = write_lora(tmp_path / "adapter", architecture.build(), names)
    common = ["merge", "--base", base, "--adapter", adapter, "--beta", "0.4", "--family", family]
    run(*common, "-o", tmp_path / "merged")
    document = json.loads(run(*common, "--as", "peft", "-o", tmp_path / "out", "--json").stdout)
    assert document["form"] == "peft"
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(base)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    models = []
    for folder in (base, tmp_path / "merged"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            models.append(architecture.model_class.from_pretrained(folder, dtype=torch.float32))
    wrapped = peft.PeftModel.from_pretrained(models[0], tmp_path / "out")
    adapted, changed = wrapped.merge_and_unload().state_dict(), 0
    for name, tensor in models[1].state_dict().items():
        torch.testing.assert_close(adapted[name], tensor, rtol=1e-6, atol=1e-6)
        changed += 1
    assert changed > 20


def test_what_is_saved_whole_needs_the_base(store, tmp_path):
    """modules_to_save: the base is fetched, and says so beforehand; bytes of the LoRA alone do not."""
    (tmp_path / "base").mkdir()
    base = write_base(tmp_path / "base", CLIP, torch.float16)
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["visual_projection"])
    adapter = write_peft(tmp_path / "adapter", config, model=CLIP.build())
    publish(store, "embedding", base, adapter)
    size = (base / "model.safetensors").stat().st_size
    with serving(store) as endpoint:
        arguments = ["pull", "--hub", endpoint, "--region", "th", "--beta", "0.4", "--as", "peft"]
        costs = json.loads(run(*arguments, "-o", tmp_path / "x", "--dry-run", "--json").stdout)
        assert costs["fetch_bytes"] > size
        assert costs["ram_bytes"] > 0
        run(*arguments, "-o", tmp_path / "out")
    key = "base_model.model.visual_projection.weight"
    before = load_file(base / "model.safetensors")["visual_projection.weight"].double()
    saved = load_file(adapter / "adapter_model.safetensors")[key].double()
    after = load_file(tmp_path / "out" / "embedding" / "adapter_model.safetensors")[key]
    assert torch.equal(after, (before + 0.4 * (saved - before)).float())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--as", "kohya"], ("is not a diffusers pipeline", "--as peft")),
        (["--as", "peft", "--method", "ties(0.5)"], ("cannot hold what ties(0.5) makes", "--as")),
        (["--as", "switch", "--out-dtype", "bfloat16"], ("--out-dtype has no meaning", "Leave it")),
    ],
)
def test_a_refused_form_leaves_nothing_and_names_the_way_out(wrong, said, store, tmp_path):
    (tmp_path / "base").mkdir()
    base = write_base(tmp_path / "base", CLIP, torch.float16)
    adapter = write_lora(tmp_path / "adapter", CLIP.build(), ["q_proj"])
    publish(store, "embedding", base, adapter)
    request = ["--region", "th", "--beta", "0.4", *wrong]
    with serving(store) as endpoint:
        answers = []
        for command in (["resolve"], ["pull", "--dry-run"], ["pull", "-o", str(tmp_path / "out")]):
            result = CliRunner().invoke(cli, [*command, "--hub", endpoint, *request])
            answers.append((result.exit_code, result.stdout, result.stderr))
    (code, stdout, stderr), *others = answers
    assert code != 0
    assert all(part in stderr for part in said)
    # What cannot be pulled is not shown as a plan, either.
    assert "adapter " not in stdout
    assert others == [answers[0]] * 2
    assert not (tmp_path / "out").exists()


def test_merge_as_takes_one_adapter(tmp_path):
    (tmp_path / "base").mkdir()
    base = write_base(tmp_path / "base", CLIP, torch.float16)
    adapter = write_lora(tmp_path / "adapter", CLIP.build(), ["q_proj"])
    result = CliRunner().invoke(
        cli,
        ["merge", "--base", str(base), "--adapter", str(adapter), "--adapter", str(adapter),
         "--beta", "0.4", "--as", "peft", "-o", str(tmp_path / "out")],
    )  # fmt: skip
    assert result.exit_code == 2
    assert "takes one adapter" in result.stderr
