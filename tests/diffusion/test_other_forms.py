"""Adapter forms for pipelines of one transformer: loaded by diffusers and PEFT they are the merge."""

from __future__ import annotations

import inspect
import json
import warnings

import diffusers
import peft
import pytest
import torch
from diffusers import (
    ChromaTransformer2DModel,
    Flux2Transformer2DModel,
    Lumina2Transformer2DModel,
    PixArtTransformer2DModel,
    SanaTransformer2DModel,
)
from safetensors.torch import load_file

from ggez_hub.merging import Adapter, BadAdapter, merge, write_adapter
from ggez_hub.merging.adapters.lora_file import DEFAULT_NAME
from ggez_hub.merging.forms.base import LOADERS
from ggez_hub.merging.forms.runtimes import answers

from ..merging.exactness import write_peft
from .loras import FAMILY
from .test_exactness import ulp
from .test_names_of_a_file import (
    DIFFSYNTH,
    HUNYUAN,
    KOHYA,
    PEFT,
    WAN,
    WAN_BLOCKS,
    Z_IMAGE,
    flat,
    hunyuan,
    write,
    z_image,
)
from .test_other_pipelines import WEIGHTS, qwen, wan

pytestmark = pytest.mark.slow

BETA = 0.7


def flux2():
    return Flux2Transformer2DModel(
        patch_size=1, in_channels=8, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=32, timestep_guidance_channels=16, axes_dims_rope=(4, 4, 4, 4),
    )  # fmt: skip


def chroma():
    return ChromaTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=32, axes_dims_rope=(4, 4, 8),
        approximator_num_channels=8, approximator_hidden_dim=16, approximator_layers=1,
    )  # fmt: skip


def lumina2():
    return Lumina2Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, hidden_size=24, num_layers=2, num_refiner_layers=1,
        num_attention_heads=3, num_kv_heads=1, multiple_of=8, axes_dim_rope=(4, 2, 2), cap_feat_dim=8,
    )  # fmt: skip


def sana():
    return SanaTransformer2DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=12, num_layers=2,
        num_cross_attention_heads=2, cross_attention_head_dim=12, cross_attention_dim=24,
        caption_channels=8, sample_size=8,
    )  # fmt: skip


def pixart():
    return PixArtTransformer2DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=8, num_layers=2,
        norm_num_groups=4, cross_attention_dim=24, sample_size=8, caption_channels=8,
    )  # fmt: skip


ATTENTION = ["to_q", "to_out.0"]
# The transformer, modules of a LoRA on it, and whether ComfyUI knows diffusers' names of them.
PIPELINES = {
    "WanPipeline": (wan, [*ATTENTION, "ffn.net.2", "proj_out"], "unknown"),
    "QwenImagePipeline": (qwen, [*ATTENTION, "add_q_proj", "img_mlp.net.2"], "flag"),
    "ZImagePipeline": (z_image, [*ATTENTION, "feed_forward.w1"], "unknown"),
    "HunyuanVideoPipeline": (hunyuan, [*ATTENTION, "proj_mlp"], "flag"),
    "Flux2Pipeline": (flux2, [*ATTENTION, "ff.linear_in", "to_qkv_mlp_proj"], "flag"),
    "ChromaPipeline": (chroma, [*ATTENTION, "proj_mlp"], "flag"),
    "SanaPipeline": (sana, [*ATTENTION, "linear_1"], "unknown"),
    "Lumina2Pipeline": (lumina2, [*ATTENTION, "feed_forward.linear_1"], "unknown"),
    "PixArtSigmaPipeline": (pixart, [*ATTENTION, "ff.net.2"], None),
}


def write_base(folder, name):
    """A pipeline of a transformer alone, in `base`; and the transformer."""
    torch.manual_seed(0)
    model = PIPELINES[name][0]().half()
    model.save_pretrained(folder / "base" / "transformer")
    index = {"_class_name": name, "transformer": ["diffusers", type(model).__name__]}
    (folder / "base" / "model_index.json").write_text(json.dumps(index))
    return model


def fused_by_diffusers(folder, name, adapter):
    model = loaded(folder, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = pipeline_of(name, model)
        pipeline.load_lora_weights(adapter, weight_name=DEFAULT_NAME)
    model.double().fuse_lora()
    return {k.replace(".base_layer", ""): t for k, t in model.state_dict().items()}


@pytest.fixture(scope="module", params=PIPELINES)
def case(request, tmp_path_factory):
    """A pipeline of a transformer alone, a PEFT folder for it, and their merge."""
    name, folder = request.param, tmp_path_factory.mktemp("case")
    _, targets, comfyui = PIPELINES[name]
    model = write_base(folder, name)
    options = {"r": 4, "lora_alpha": 6, "alpha_pattern": {"to_q": 3}, "target_modules": targets}
    adapter = write_peft(folder / "adapter", peft.LoraConfig(**options), model=model.float())
    merge(folder / "base", [Adapter(adapter, BETA)], folder / "merged", FAMILY)
    return name, folder, comfyui


def loaded(folder, name):
    model = PIPELINES[name][0]()
    model.load_state_dict({k: t.float() for k, t in load_file(folder / "base" / WEIGHTS).items()})
    return model


def assert_is_the_merge(folder, state):
    before, merged = (load_file(folder / f / WEIGHTS) for f in ("base", "merged"))
    changed = 0
    for key, stored in merged.items():
        wide, base = stored.double(), before[key].double()
        largest = torch.stack([base.abs(), (wide - base).abs(), wide.abs()]).max(0).values
        assert ((state[key] - wide).abs() <= 1.01 * ulp(largest, stored.dtype)).all(), key
        changed += not torch.equal(stored, before[key])
    assert changed > 2


def pipeline_of(name, model):
    """The pipeline with nothing but its transformer."""
    kind = getattr(diffusers, name)
    options = dict.fromkeys(inspect.signature(kind).parameters)
    defaults = {
        parameter: value.default
        for parameter, value in inspect.signature(kind).parameters.items()
        if value.default is not inspect.Parameter.empty
    }
    return kind(**{**options, **defaults, "transformer": model})


def test_load_lora_weights_gives_the_merge(case, tmp_path):
    name, folder, comfyui = case
    adapter = Adapter(folder / "adapter", BETA)
    if comfyui is None:
        with pytest.raises(BadAdapter, match="not known here"):
            write_adapter(folder / "base", [adapter], tmp_path / "out", FAMILY, "diffusers")
        return
    facts = write_adapter(folder / "base", [adapter], tmp_path / "out", FAMILY, "diffusers")
    found = {program: answer.status for program, answer in answers(facts).items()}
    assert found["diffusers"] == "yes"
    assert found["ComfyUI"] in {comfyui, "no"}
    assert_is_the_merge(folder, fused_by_diffusers(folder, name, tmp_path / "out"))
    with pytest.raises(BadAdapter, match="under none of kohya's names"):
        write_adapter(folder / "base", [adapter], tmp_path / "kohya", FAMILY, "kohya")


def test_a_peft_folder_gives_the_merge(case, tmp_path):
    name, folder, comfyui = case
    sources = [folder / "adapter"]
    if comfyui is not None:
        sources.append(tmp_path / "file")
        weighted = Adapter(folder / "adapter", 1.0)
        write_adapter(folder / "base", [weighted], sources[1], FAMILY, "diffusers")
    for number, source in enumerate(sources):
        out = tmp_path / f"out{number}"
        write_adapter(folder / "base", [Adapter(source, BETA)], out, FAMILY, "peft")
        model = loaded(folder, name).double()
        wrapped = peft.PeftModel.from_pretrained(model, out, autocast_adapter_dtype=False)
        assert_is_the_merge(folder, wrapped.double().merge_and_unload().state_dict())


CHROMA = {
    "double_blocks.0.img_attn.qkv": [f"transformer_blocks.0.attn.to_{x}" for x in "qkv"],
    "single_blocks.0.linear2": ["single_transformer_blocks.0.proj_out"],
}
# LoRA files in names of a model's first repository, of which diffusers reads some.
FIRST_NAMES = {
    "Wan, musubi": ("WanPipeline", WAN_BLOCKS, flat, KOHYA, 2.0),
    "Wan": ("WanPipeline", WAN, "diffusion_model.{}".format, PEFT, None),
    "Wan, DiffSynth": ("WanPipeline", WAN, "{}".format, DIFFSYNTH, None),
    "HunyuanVideo": ("HunyuanVideoPipeline", HUNYUAN, "transformer.{}".format, PEFT, None),
    "HunyuanVideo, lora_down": (
        "HunyuanVideoPipeline", HUNYUAN, "diffusion_model.{}".format, KOHYA, 2.0,
    ),
    "Z-Image": ("ZImagePipeline", Z_IMAGE, "diffusion_model.{}".format, PEFT, None),
    "Z-Image, kohya": ("ZImagePipeline", Z_IMAGE, flat, KOHYA, 2.0),
    "Chroma": ("ChromaPipeline", CHROMA, "diffusion_model.{}".format, PEFT, None),
}  # fmt: skip


@pytest.mark.parametrize("case", FIRST_NAMES)
def test_files_in_other_names_give_the_merge(case, tmp_path):
    """Also where only the configuration of the base is there, as for a pull."""
    name, names, spelled, ends, alpha = FIRST_NAMES[case]
    write_base(tmp_path, name)
    path = tmp_path / "a.safetensors"
    write(path, tmp_path / "base", names, spelled, ends, alpha)
    adapter = Adapter(path, BETA)
    merge(tmp_path / "base", [adapter], tmp_path / "merged", FAMILY)
    configured = tmp_path / "configured"
    for config in ("model_index.json", "transformer/config.json"):
        (configured / config).parent.mkdir(exist_ok=True)
        (configured / config).write_bytes((tmp_path / "base" / config).read_bytes())
    write_adapter(configured, [adapter], tmp_path / "diffusers", FAMILY, "diffusers")
    assert_is_the_merge(tmp_path, fused_by_diffusers(tmp_path, name, tmp_path / "diffusers"))
    write_adapter(configured, [adapter], tmp_path / "peft", FAMILY, "peft")
    wrapped = peft.PeftModel.from_pretrained(
        loaded(tmp_path, name).double(), tmp_path / "peft", autocast_adapter_dtype=False
    )
    assert_is_the_merge(tmp_path, wrapped.double().merge_and_unload().state_dict())


# Of the one that has none of its own.
SIZES = {
    "HiDreamImagePipeline": {
        "patch_size": 2, "caption_channels": [4096, 4096], "llama_layers": list(range(48)),
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", LOADERS)
def test_every_name_of_every_transformer_is_read_as_it_is_written(name):
    """All linear layers of the real architecture, by diffusers' own reading of a file."""
    kind = getattr(diffusers, name)
    denoiser = LOADERS[name].components[0]
    hint = inspect.signature(kind).parameters[denoiser].annotation
    model_class = (
        hint if inspect.isclass(hint) else next(c for c in hint.__args__ if c is not type(None))
    )
    with torch.device("meta"):
        model = model_class(**SIZES.get(name, {}))
    paths = [p for p, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
    state = {
        f"{denoiser}.{path}.lora_{end}.weight": torch.zeros(1, 1) for path in paths for end in "AB"
    }
    options = {"unet_config": model.config} if denoiser == "unet" else {}
    read = kind.lora_state_dict(dict(state), return_lora_metadata=True, **options)[0]
    assert paths
    assert read.keys() == state.keys()
