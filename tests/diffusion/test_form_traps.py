"""What diffusers' kohya loader reads wrong, and what is written so that it does not."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import diffusers
import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from ggez_hub.merging import Adapter, BadAdapter, merge
from ggez_hub.merging.adapters.lora_file import lora_path
from ggez_hub.merging.forms.base import LOADERS

from .loras import FAMILY, load, modules, regional_by_diffusers, weights, write_named
from .pipelines import DENOISER, write_pipeline
from .styles import ATTENTION, SGM, kohya, kohya_clip
from .test_forms import BETA, assert_equal, write


def same_as_merged(form, adapter, base, folder, units=3):
    merge(base, [Adapter(adapter, BETA)], folder / "merged", FAMILY)
    written = lora_path(write(form, adapter, base, folder / "out"))
    fused, _ = regional_by_diffusers(base, written)
    assert_equal(base, fused, weights(folder / "merged"), units=units)
    return load_file(written)


def attention_and_convolutions(base, folder, alpha):
    names = kohya(base, "unet", "lora_unet", ATTENTION + r"|.*conv1")
    return write_named(base, folder / "a.safetensors", names, alpha=alpha)


def test_alphas_that_differ_get_one_alpha_by_zeros(bases, tmp_path):
    """Scale = alpha / rank; where alphas differ the rank grows, and B @ A stays."""
    base = bases["sd15"]
    adapter = attention_and_convolutions(base, tmp_path, lambda n: 1 + n % 3)
    # diffusers would take 1, 2 or 3 for all attention modules.
    wrong, _ = regional_by_diffusers(base, adapter)
    merge(base, [Adapter(adapter, 1.0)], tmp_path / "one", FAMILY)
    with pytest.raises(AssertionError):
        assert_equal(base, wrong, weights(tmp_path / "one"), units=3)
    state = same_as_merged("kohya", adapter, base, tmp_path)
    alphas = {float(t) for key, t in state.items() if key.endswith(".alpha")}
    ranks = {t.shape[0] for key, t in state.items() if key.endswith("lora_down.weight")}
    assert (len(alphas), ranks) == (1, {4, 6, 12})


def test_other_alphas_for_convolutions_stay(bases, tmp_path):
    """What kohya's --conv_alpha makes is read right: nothing grows."""
    base = bases["sd15"]
    found = kohya(base, "unet", "lora_unet", ATTENTION + r"|.*conv1")
    convolution = [name.endswith("conv1") for name in found]
    adapter = write_named(
        base, tmp_path / "a.safetensors", found, alpha=lambda n: 1 if convolution[n] else 4
    )
    state = same_as_merged("kohya", adapter, base, tmp_path)
    assert {t.shape[0] for key, t in state.items() if "lora_down" in key} == {4}


def test_alphas_without_a_common_one_are_refused(bases, tmp_path):
    base = bases["sd15"]
    adapter = attention_and_convolutions(base, tmp_path, lambda n: 2 ** (n % 3) + n % 3 / 7)
    with pytest.raises(BadAdapter, match="different alphas") as problem:
        write("kohya", adapter, base, tmp_path / "out")
    assert "--as diffusers" in problem.value.hint
    # Which is exact for the same file.
    same_as_merged("diffusers", adapter, base, tmp_path / "diffusers")


def test_alphas_of_a_text_encoder(bases, tmp_path):
    base = bases["sdxl"]
    names = kohya_clip(base, "text_encoder_2", "lora_te2")
    adapter = write_named(base, tmp_path / "a.safetensors", names, alpha=lambda n: 1 + n % 2)
    same_as_merged("kohya", adapter, base, tmp_path)


def test_two_tools_names_for_one_unet_are_refused(bases, tmp_path):
    base = bases["sdxl"]
    names = {f"lora_unet_{key}": f"unet/{path}.weight" for key, path in list(SGM.items())[:3]}
    names |= kohya(base, "unet", "lora_unet", r"mid_block.*to_q")
    adapter = write_named(base, tmp_path / "a.safetensors", names, alpha=lambda _: 1)
    with pytest.raises(BadAdapter, match="two tools"):
        write("kohya", adapter, base, tmp_path / "out")


@pytest.mark.parametrize(
    ("pipeline", "name"),
    [
        ("sd15", "lora_unet_input_blocks_1_1_proj_in"),
        ("sd15", "lora_unet_nothing_of_the_kind"),
        ("sdxl", "lora_unet_add_embedding_linear_1"),
        ("flux", "lora_unet_img_in"),
        ("flux", "lora_transformer_transformer_blocks_0_ff_net_0_proj"),
    ],
)
def test_names_that_diffusers_reads_as_something_else_are_refused(bases, tmp_path, pipeline, name):
    state = {
        f"{name}.lora_down.weight": torch.ones(2, 8),
        f"{name}.lora_up.weight": torch.ones(8, 2),
        f"{name}.alpha": torch.tensor(1.0),
    }
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(BadAdapter, match=name):
        write("kohya", tmp_path / "a.safetensors", bases[pipeline], tmp_path / "out")


def read_back(base, name, names):
    """The modules that diffusers finds under these kohya names, in one file."""
    loader = getattr(diffusers, name)
    state = {}
    for key in names:
        state[f"{key}.lora_down.weight"] = torch.zeros(2, 4)
        state[f"{key}.lora_up.weight"] = torch.zeros(4, 2)
        state[f"{key}.alpha"] = torch.tensor(2.0)
    options = {"unet_config": SimpleNamespace(layers_per_block=2)} if "XL" in name else {}
    converted = loader.lora_state_dict(state, return_lora_metadata=True, **options)[0]
    from diffusers.utils.state_dict_utils import (
        convert_state_dict_to_peft,
        convert_unet_state_dict_to_peft,
    )

    found = set()
    for key in converted:
        encoder = key.startswith("text_encoder")
        convert = convert_state_dict_to_peft if encoder else convert_unet_state_dict_to_peft
        options = {"original_type": None} if encoder else {}
        if encoder and "lora_linear_layer" not in key and "lora_A" not in key:
            from diffusers.utils.state_dict_utils import StateDictType

            options = {"original_type": StateDictType.DIFFUSERS_OLD}
        one = {key: None} if "lora_A" in key or "lora_B" in key else convert({key: None}, **options)
        found |= {k.rpartition(".lora_")[0] for k in one}
    return found


@pytest.mark.parametrize("pipeline", ["sd15", "sdxl", "flux"])
def test_every_name_that_is_written_is_read_back(bases, pipeline):
    """All modules of the components that the table has a name for, by diffusers' own converter."""
    base = bases[pipeline]
    name = FAMILY_CLASS[pipeline]
    paths, names = set(), []
    for component, part in LOADERS[name].kohya.items():
        for path in modules(base, component, r".*"):
            if part.paths.fullmatch(path):
                encoder = component.startswith("text_encoder")
                old = f"text_model.{path.removeprefix('text_model.')}" if encoder else path
                paths.add(f"{component}.{old}")
                names.append(f"{part.prefix}_{old.replace('.', '_')}")
                assert part.names.fullmatch(names[-1])
    assert len(paths) > 15
    assert read_back(base, name, names) == paths


FAMILY_CLASS = {
    "sd15": "StableDiffusionPipeline",
    "sdxl": "StableDiffusionXLPipeline",
    "sd3": "StableDiffusion3Pipeline",
    "flux": "FluxPipeline",
}


@pytest.mark.parametrize("name", LOADERS)
def test_the_table_of_loaders_is_diffusers_own(name):
    own = tuple(getattr(diffusers, name)._lora_loadable_modules)
    # A second denoiser, as Wan's, has a file of its own.
    assert own[: len(LOADERS[name].components)] == LOADERS[name].components
    assert not any(part.startswith("text_encoder") for part in own[len(LOADERS[name].components) :])


@pytest.mark.parametrize("form", ["peft", "diffusers", "kohya"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sd15", {"target_modules": ["to_q", "conv1", "proj_in"], "rank_pattern": {"to_q": 3}}),
        ("sdxl", {"target_modules": ["to_k", "conv2"], "use_rslora": True}),
        ("flux", {"target_modules": ["to_q", "proj_out"]}),
        ("sd3", {"target_modules": ["to_q", "add_k_proj"], "alpha_pattern": {"add_k_proj": 2}}),
    ],
)
def test_a_peft_folder_of_a_denoiser_in_every_form(bases, tmp_path, name, options, form):
    torch.manual_seed(4)
    base, denoiser = bases[name], DENOISER[name]
    model = peft.get_peft_model(
        getattr(load(base), denoiser), peft.LoraConfig(r=4, lora_alpha=6, **options)
    )
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            parameter.data.normal_(0, 0.3)
    adapter = tmp_path / "adapter"
    model.save_pretrained(adapter)
    refused = {("flux", "kohya"): "proj_out", ("sd3", "kohya"): "add_k_proj"}
    if word := refused.get((name, form)):
        with pytest.raises(BadAdapter, match=word):
            write(form, adapter, base, tmp_path / "out")
        return
    if form != "peft":
        same_as_merged(form, adapter, base, tmp_path, units=2)
        return
    merge(base, [Adapter(adapter, BETA)], tmp_path / "merged", FAMILY)
    fresh = getattr(load(base), denoiser).double()
    wrapped = peft.PeftModel.from_pretrained(
        fresh, write("peft", adapter, base, tmp_path / "out"), autocast_adapter_dtype=False
    )
    state = wrapped.double().merge_and_unload().state_dict()
    fused = {f"{denoiser}/{key}": tensor for key, tensor in state.items()}
    assert_equal(base, fused, weights(tmp_path / "merged"), units=1.01)


def test_dora_and_saved_parameters_have_no_lora_file(bases, tmp_path):
    torch.manual_seed(4)
    for number, options in enumerate(({"use_dora": True}, {"bias": "lora_only"})):
        config = peft.LoraConfig(r=2, target_modules=["to_q", "conv1"], **options)
        adapter = tmp_path / f"adapter{number}"
        peft.get_peft_model(load(bases["sdxl"]).unet, config).save_pretrained(adapter)
        for form in ("diffusers", "kohya"):
            with pytest.raises(BadAdapter, match=r"use_dora|whole parameter") as problem:
                write(form, adapter, bases["sdxl"], tmp_path / f"{form}{number}")
            assert "merged form" in problem.value.hint


def test_other_pipelines_are_refused(tmp_path, bases):
    base = write_pipeline("sd15", tmp_path / "base")
    index = base / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusionPipeline", "PixArtAlphaPipeline"))
    adapter = attention_and_convolutions(base, tmp_path, lambda _: 1)
    with pytest.raises(BadAdapter, match="PixArtAlphaPipeline"):
        write("diffusers", adapter, base, tmp_path / "out")


def test_files_need_torch_only_where_names_need_diffusers(bases, tmp_path):
    base = bases["sd15"]
    names = kohya(base, "unet", "lora_unet", ATTENTION)
    by_kohya = write_named(base, tmp_path / "kohya.safetensors", names, alpha=lambda _: 2)
    plain = {f"unet.{path}": name for path, name in modules(base, "unet", ATTENTION).items()}
    by_peft = write_named(base, tmp_path / "peft.safetensors", plain, down="lora_A", up="lora_B")
    old = {f"{key}.lora": name for key, name in plain.items()}
    by_scripts = write_named(base, tmp_path / "old.safetensors", old, down="down", up="up")
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from ggez_hub.families import get_family\n"
        "from ggez_hub.merging.merge import Adapter\n"
        "from ggez_hub.merging.forms import ADAPTER_FORMS, FormBase\n"
        "base = FormBase('b', None, get_family('diffusion'), Path(sys.argv[1]))\n"
        "for number, (source, form) in enumerate(zip(sys.argv[3::2], sys.argv[4::2])):\n"
        "    out = Path(sys.argv[2], str(number))\n"
        "    out.mkdir(parents=True)\n"
        "    ADAPTER_FORMS[form].write(Adapter(Path(source), 0.4), base, out)\n"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)\n"
    )
    light = [
        (by_kohya, "kohya"),
        *((source, form) for source in (by_peft, by_scripts) for form in ALL),
    ]
    arguments = [str(part) for pair in light for part in pair]
    subprocess.run(
        [sys.executable, "-c", code, str(base), str(tmp_path / "out"), *arguments], check=True
    )


ALL = ("peft", "diffusers", "kohya")


def test_a_fused_module_of_flux_becomes_its_parts(bases, tmp_path):
    """kohya fuses query, key and value: each gets its rows of B, and the same A."""
    base, name = bases["flux"], "lora_unet_double_blocks_0_img_attn_qkv"
    torch.manual_seed(5)
    state = {
        f"{name}.lora_down.weight": torch.randn(3, 32) * 0.3,
        f"{name}.lora_up.weight": torch.randn(96, 3) * 0.3,
        f"{name}.alpha": torch.tensor(1.5),
    }
    # More than one tensor has to change for the comparison to mean something.
    for other in ("img_attn_proj", "txt_attn_proj"):
        key = name.replace("img_attn_qkv", other)
        state |= {
            f"{key}.lora_down.weight": torch.randn(3, 32) * 0.3,
            f"{key}.lora_up.weight": torch.randn(32, 3) * 0.3,
            f"{key}.alpha": torch.tensor(3.0),
        }
    adapter = tmp_path / "a.safetensors"
    save_file(state, adapter)
    written = same_as_merged("diffusers", adapter, base, tmp_path, units=1.01)
    attention = "transformer.transformer_blocks.0.attn"
    for part, rows in zip("qkv", state[f"{name}.lora_up.weight"].split(32), strict=True):
        assert torch.equal(written[f"{attention}.to_{part}.lora_B.weight"], rows)
