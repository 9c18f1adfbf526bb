"""Every other method that PEFT can merge: its own layers, one float64 module at a time."""

from __future__ import annotations

import hashlib
import json
from itertools import cycle

import peft
import pytest
import torch
from peft.tuners.lora.config import BdLoraConfig, KasaConfig, MontecloraConfig, VeloraConfig
from safetensors.torch import load_file, save_file

from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, BadAdapter, WrongBase, merge, write_adapter
from ggez_hub.merging.forms import ADAPTER_FORMS

from ..models import open_clip_model
from .conftest import DTYPES
from .exactness import WEIGHTS, assert_exact, load_pair, peft_regional, write_peft

EMBEDDING = get_family("embedding")
MLP = r"(visual\.)?transformer\.resblocks\..*\.(c_fc|c_proj)"
TARGETS = {"target_modules": MLP}

METHODS = {
    "adalora": peft.AdaLoraConfig(init_r=4, target_r=2, total_step=10, **TARGETS),
    "beft": peft.BeftConfig(**TARGETS),
    "boft": peft.BOFTConfig(boft_block_size=4, **TARGETS),
    "c3a": peft.C3AConfig(block_size=8, **TARGETS),
    "deft": peft.DeftConfig(r=4, **TARGETS),
    "delora": peft.DeloraConfig(r=4, **TARGETS),
    "fourierft": peft.FourierFTConfig(n_frequency=50, **TARGETS),
    "glora": peft.GloraConfig(r=4, **TARGETS),
    "gralora": peft.GraloraConfig(r=4, gralora_k=2, **TARGETS),
    "hira": peft.HiraConfig(r=4, **TARGETS),
    "hra": peft.HRAConfig(r=4, **TARGETS),
    "ia3": peft.IA3Config(target_modules=["c_fc", "c_proj"], feedforward_modules=["c_proj"]),
    "ln_tuning": peft.LNTuningConfig(target_modules=["ln_1", "ln_post"]),
    "miss": peft.MissConfig(r=4, **TARGETS),
    "oft": peft.OFTConfig(oft_block_size=8, **TARGETS),
    "osf": peft.OSFConfig(effective_rank=40, **TARGETS),
    "peanut": peft.PeanutConfig(r=4, **TARGETS),
    "pvera": peft.PveraConfig(r=8, **TARGETS),
    "randlora": peft.RandLoraConfig(r=8, **TARGETS),
    "road": peft.RoadConfig(group_size=8, **TARGETS),
    "shira": peft.ShiraConfig(r=2, **TARGETS),
    "supertuning": peft.SupertuningConfig(**TARGETS),
    "tinylora": peft.TinyLoraConfig(u=6, **TARGETS),
    "unilora": peft.UniLoraConfig(theta_d_length=300, **TARGETS),
    "vblora": peft.VBLoRAConfig(num_vectors=10, vector_length=16, **TARGETS),
    "vera": peft.VeraConfig(r=8, **TARGETS),
    "waveft": peft.WaveFTConfig(n_frequency=50, **TARGETS),
    # What the file leaves out comes from a seed in the config.
    "pvera, seeded": peft.PveraConfig(r=8, save_projection=False, **TARGETS),
    "randlora, seeded": peft.RandLoraConfig(r=8, save_projection=False, **TARGETS),
    "tinylora, seeded": peft.TinyLoraConfig(u=6, save_projection=False, **TARGETS),
    "tinylora, tied": peft.TinyLoraConfig(u=6, weight_tying=0.5, **TARGETS),
    "unilora, saved": peft.UniLoraConfig(theta_d_length=300, save_indices=True, **TARGETS),
    "vera, seeded": peft.VeraConfig(r=8, save_projection=False, **TARGETS),
    # Options of a LoRA whose arithmetic is PEFT's.
    "kasa": peft.LoraConfig(r=4, kasa_config=KasaConfig(), **TARGETS),
    "kasa, saved": peft.LoraConfig(
        r=4,
        kasa_config=KasaConfig(),
        bias="lora_only",
        modules_to_save=["ln_final"],
        trainable_token_indices={"token_embedding": [3, 60]},
        **TARGETS,
    ),
    "monteclora": peft.LoraConfig(r=4, monteclora_config=MontecloraConfig(), **TARGETS),
    "velora": peft.LoraConfig(r=4, velora_config=VeloraConfig(num_groups=4), **TARGETS),
    "bdlora": peft.LoraConfig(
        r=4,
        use_bdlora=BdLoraConfig(target_modules_bd_a=["c_fc"], nblocks=2, match_strict=False),
        **TARGETS,
    ),
    "boft, convolution": peft.BOFTConfig(boft_block_size=4, target_modules=["visual.conv1"]),
    "hra, convolution": peft.HRAConfig(r=4, target_modules=["visual.conv1", "c_fc"]),
    "oft, convolution": peft.OFTConfig(oft_block_size=8, target_modules=["visual.conv1", "c_fc"]),
    "oft, saved": peft.OFTConfig(
        oft_block_size=8, target_modules=["c_fc"], modules_to_save=["ln_post"], bias="oft_only"
    ),
    "trainable tokens": peft.TrainableTokensConfig(
        target_modules=["token_embedding"], token_indices=[3, 60]
    ),
}


@pytest.mark.parametrize(("method", "dtype"), list(zip(METHODS, cycle(DTYPES), strict=False)))
def test_equals_peft(method, dtype, bases, tmp_path):
    adapter = write_peft(tmp_path / "adapter", METHODS[method])
    report = merge(bases[dtype], [Adapter(adapter, 0.7)], tmp_path / "out", EMBEDDING)
    base, out = load_pair(bases[dtype], tmp_path / "out")
    changed = assert_exact(base, out, peft_regional(base, adapter), 0.7)
    assert len(changed) == report.touched > 0


def test_psoft(bases, tmp_path):
    """PEFT takes the base's singular values in float32 alone: so does the reference."""
    adapter = write_peft(tmp_path / "adapter", peft.PsoftConfig(r=4, **TARGETS))
    merge(bases["BF16"], [Adapter(adapter, 0.7)], tmp_path / "out", EMBEDDING)
    base, out = load_pair(bases["BF16"], tmp_path / "out")
    model = open_clip_model()
    own = model.state_dict()
    model.load_state_dict({k: v.float() for k, v in base.items() if k in own}, strict=False)
    loaded = peft.PeftModel.from_pretrained(model, adapter, autocast_adapter_dtype=False)
    regional = loaded.double().merge_and_unload().state_dict()
    assert len(assert_exact(base, out, regional, 0.7)) == 8


def test_the_same_bytes_with_any_threads_and_random_numbers(base, tmp_path):
    adapter = write_peft(tmp_path / "adapter", METHODS["vera, seeded"])
    before, digests = torch.get_num_threads(), set()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            torch.manual_seed(threads)
            out = tmp_path / str(threads)
            merge(base, [Adapter(adapter, 0.7)], out, EMBEDDING)
            digests.add(hashlib.sha256((out / WEIGHTS).read_bytes()).hexdigest())
    finally:
        torch.set_num_threads(before)
    assert len(digests) == 1


def test_beta_zero_and_two_adapters(base, tmp_path):
    one = write_peft(tmp_path / "one", METHODS["oft"])
    other = write_peft(tmp_path / "other", METHODS["hra"], seed=2)
    merge(base, [Adapter(one, 0.0)], tmp_path / "zero", EMBEDDING)
    assert (tmp_path / "zero" / WEIGHTS).read_bytes() == (base / WEIGHTS).read_bytes()
    merge(base, [Adapter(one, 0.5), Adapter(other, 0.25)], tmp_path / "out", EMBEDDING)
    state, out = load_pair(base, tmp_path / "out")
    first, second = peft_regional(state, one), peft_regional(state, other)
    regional = {
        name: tensor.double()
        + 0.5 * (first[name] - tensor.double())
        + 0.25 * (second[name] - tensor.double())
        for name, tensor in state.items()
        if name in first
    } | {name: tensor.double() for name, tensor in state.items() if name not in first}
    assert len(assert_exact(state, out, regional, 1.0)) == 8


def drop(part):
    return lambda state: state.pop(next(key for key in state if part in key))


def put(key, *shape):
    return lambda state: state.update({key: torch.ones(*shape)})


FC = "base_model.model.transformer.resblocks.0.mlp.c_fc"
BROKEN = {
    "NaN": ("oft", {}, put(f"{FC}.oft_R.weight", 6, 28), None),
    "a missing part": ("glora", {}, drop("c_fc.glora_C.Xu"), "lacks .*glora_C.Xu"),
    "no bank": ("vblora", {}, drop("vector_bank"), "lacks .*vector_bank"),
    "no projection": ("vera", {}, drop("vera_A"), "vera_A"),
    "a part too many": ("oft", {}, put(f"{FC}.oft_S.weight", 2), "no place for .*oft_S"),
    "another size": ("hra", {}, put(f"{FC}.hra_u", 5, 5), "size mismatch"),
    "an unknown option": ("oft", {"use_magic": True}, None, "use_magic"),
    "a huge rank": ("vera", {"r": 10**9}, None, "r = 1000000000"),
    "a huge bank": ("vblora", {"num_vectors": 9999, "vector_length": 9999}, None, "not sizes"),
    "a huge sampler": (
        "monteclora", {"monteclora_config": {"buffer_size": 10**8}}, None, "buffer_size",
    ),
    "a broken pattern": ("oft", {"target_modules": "("}, None, "not an expression of RE2"),
    "other modules": ("oft", {"target_modules": ["attn"]}, None, "does not name|not found"),
    "target_parameters": (
        "kasa", {"target_parameters": ["c_fc.weight"]}, None, "target_parameters",
    ),
    "no modules": ("unilora", {"target_modules": ["nothing"]}, None, "nothing"),
    "another method": ("hra", {"peft_type": "OFT"}, None, "not a key|no option|not know"),
    "a method to come": ("hra", {"peft_type": "NEXT"}, None, "NEXT"),
    "prompts": ("hra", {"peft_type": "P_TUNING"}, None, "prompts"),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_broken_adapters(how, base, tmp_path):
    method, changes, change, named = BROKEN[how]
    adapter = write_peft(tmp_path / "adapter", METHODS[method])
    config, weights = adapter / "adapter_config.json", adapter / "adapter_model.safetensors"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    state = load_file(weights)
    if how == "NaN":
        state[f"{FC}.oft_R.weight"].fill_(float("nan"))
        named = "NaN"
    elif change:
        change(state)
    save_file(state, weights)
    with pytest.raises((BadAdapter, WrongBase), match=named):
        merge(base, [Adapter(adapter, 0.5)], tmp_path / "out", EMBEDDING)
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize("method", ["oft", "kasa"])
def test_no_form_with_beta_folded_in(method, base, tmp_path):
    adapter = write_peft(tmp_path / "adapter", METHODS[method])
    with pytest.raises(BadAdapter, match="no form with beta") as problem:
        write_adapter(base, [Adapter(adapter, 0.5)], tmp_path / "out", EMBEDDING, "peft")
    assert "merged form" in problem.value.hint
    # The configuration alone says so: nothing is fetched for it.
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(BadAdapter, match="no form with beta"):
        ADAPTER_FORMS["peft"].need(adapter)


def test_only_one_module_is_in_memory(base, tmp_path, monkeypatch):
    """The skeleton holds one module, and with shared tensors base weights without memory."""
    sizes = []
    original = peft.PeftModel.__init__

    def wrapped(self, model, *args, **kwargs):
        storages = {p.untyped_storage().data_ptr(): p.untyped_storage() for p in model.parameters()}
        sizes.append(sum(storage.nbytes() for storage in storages.values()))
        original(self, model, *args, **kwargs)

    monkeypatch.setattr(peft.PeftModel, "__init__", wrapped)
    largest = 192 * 48 + 192
    for method in ("oft", "vera"):
        adapter = write_peft(tmp_path / method, METHODS[method])
        sizes.clear()
        merge(base, [Adapter(adapter, 0.5)], tmp_path / f"{method}.out", EMBEDDING)
        assert 0 < max(sizes) <= 8 * largest
