"""Full fine-tunes and task vectors: Delta is streamed, what is equal stays equal."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from ggez_hub.digests import sha256_file
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, BadAdapter, WrongBase, merge

from .conftest import DTYPES
from .exactness import WEIGHTS, assert_exact, load_pair, same_bits

EMBEDDING = get_family("embedding")
CHANGED = ("visual.conv1.weight", "logit_scale", "ln_final.bias", "token_embedding.weight")


def write_finetune(folder, base, dtype=None, *, changed=CHANGED, seed=3, change=None):
    """A fine-tune of the base: some tensors moved, the others as they are."""
    state = load_file(base / WEIGHTS)
    torch.manual_seed(seed)
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        moved = tensor.to(dtype or tensor.dtype)
        if name in changed:
            moved = moved + 0.05 * torch.randn_like(moved)
        state[name] = moved
    if change:
        change(state)
    folder.mkdir()
    save_file(state, folder / WEIGHTS)
    (folder / "open_clip_config.json").write_bytes((base / "open_clip_config.json").read_bytes())
    return folder


@pytest.mark.parametrize("of", DTYPES)
@pytest.mark.parametrize("beta", [0.4, 1.0])
def test_finetune(of, beta, bases, tmp_path):
    # A float32 fine-tune of each base, as trainers write it.
    tuned = write_finetune(tmp_path / "tuned", bases[of], torch.float32)
    merge(bases[of], [Adapter(tuned, beta)], tmp_path / "out", EMBEDDING)
    base, out = load_pair(bases[of], tmp_path / "out")
    regional = {name: t.double() for name, t in load_file(tuned / WEIGHTS).items()}
    assert assert_exact(base, out, regional, beta) == set(CHANGED)


def test_finetune_of_the_same_dtype_at_beta_one_is_the_finetune(base, tmp_path):
    tuned = write_finetune(tmp_path / "tuned", base)
    merge(base, [Adapter(tuned, 1.0)], tmp_path / "out", EMBEDDING)
    _, out = load_pair(base, tmp_path / "out")
    assert all(torch.equal(out[k], v) for k, v in load_file(tuned / WEIGHTS).items())


def edit(name, value):
    return lambda state: state.update({name: value(state[name]) if callable(value) else value})


@pytest.mark.parametrize(
    ("change", "kind", "named"),
    [
        (lambda s: s.pop("ln_final.bias"), WrongBase, "lacks 1 tensor: 'ln_final.bias'"),
        (edit("extra.weight", torch.ones(2)), WrongBase, "'extra.weight'"),
        (edit("ln_final.bias", torch.ones(49)), WrongBase, r"\(49,\)"),
        (edit("text.position_ids", lambda t: t + 1), BadAdapter, "text.position_ids"),
        (edit("ln_final.bias", lambda t: t.to(torch.int8)), WrongBase, "quantised"),
        (edit("ln_final.bias", lambda t: t * float("nan")), Exception, "'ln_final.bias' is not f"),
    ],
)
def test_finetunes_that_do_not_fit(change, kind, named, base, tmp_path):
    tuned = write_finetune(tmp_path / "tuned", base, change=change)
    with pytest.raises(kind, match=named):
        merge(base, [Adapter(tuned, 0.5)], tmp_path / "out", EMBEDDING)
    assert not list(tmp_path.glob("*out*"))


def test_a_model_with_parameters_named_as_parts_of_a_lora(tmp_path):
    names = ("norm.alpha", "layers.0.diff", "mixed.a1.weight", "proj.weight", "fc.weight", "x", "y")
    state = {name: torch.randn(4, 4) for name in names}
    for folder, change in (("base", 0.0), ("tuned", 0.5)):
        (tmp_path / folder).mkdir()
        save_file({k: t + change for k, t in state.items()}, tmp_path / folder / WEIGHTS)
        (tmp_path / folder / "open_clip_config.json").write_text("{}")
    adapters = [Adapter(tmp_path / "tuned", 0.5)]
    assert merge(tmp_path / "base", adapters, tmp_path / "out", EMBEDDING).touched == len(names)


def write_vector(folder, base, tensors, manifest=None):
    folder.mkdir()
    save_file(tensors, folder / "task_vector.safetensors")
    digests = {WEIGHTS: sha256_file(base / WEIGHTS)}
    text = {"format": "ggez-task-vector", "version": 1, "created_by": "a test"}
    text |= {"base": {"weights": digests}} | (manifest or {})
    (folder / "task_vector.json").write_text(json.dumps(text))
    return folder


@pytest.mark.parametrize("of", DTYPES)
def test_task_vector_dense_and_sparse(of, bases, tmp_path):
    torch.manual_seed(0)
    base = load_file(bases[of] / WEIGHTS)
    fc = "transformer.resblocks.0.mlp.c_fc.weight"
    dense = torch.randn_like(base["visual.conv1.weight"], dtype=torch.float32) * 0.1
    places = torch.randperm(base[fc].numel())[:500].sort().values
    values = (torch.randn(500) * 0.1).to(torch.bfloat16)
    tensors = {
        "visual.conv1.weight": dense,
        "logit_scale": torch.tensor(0.25, dtype=torch.float64),
        f"{fc}::indices": places.to(torch.int32),
        f"{fc}::values": values,
    }
    vector = write_vector(tmp_path / "vector", bases[of], tensors)
    merge(bases[of], [Adapter(vector, 0.7)], tmp_path / "out", EMBEDDING)
    regional = {name: t.double() for name, t in base.items()}
    regional["visual.conv1.weight"] = regional["visual.conv1.weight"] + dense.double()
    regional["logit_scale"] = regional["logit_scale"] + 0.25
    scattered = torch.zeros(base[fc].numel(), dtype=torch.float64)
    scattered[places] = values.double()
    regional[fc] = regional[fc] + scattered.reshape(base[fc].shape)
    _, out = load_pair(bases[of], tmp_path / "out")
    changed = assert_exact(base, out, regional, 0.7)
    assert changed == {"visual.conv1.weight", "logit_scale", fc}
    untouched = scattered.reshape(base[fc].shape) == 0
    assert same_bits(out[fc][untouched], base[fc][untouched])


I = "ln_final.bias::indices"  # noqa: E741
V = "ln_final.bias::values"


@pytest.mark.parametrize(
    ("tensors", "manifest", "kind", "named"),
    [
        ({"nowhere": torch.ones(2)}, {}, WrongBase, "nowhere"),
        ({"ln_final.bias": torch.ones(47)}, {}, WrongBase, r"\(47,\)"),
        ({"ln_final.bias": torch.ones(48).int()}, {}, BadAdapter, "I32"),
        ({"ln_final.bias": torch.full((48,), torch.inf)}, {}, BadAdapter, "not finite"),
        ({"text.position_ids": torch.ones(16)}, {}, WrongBase, "quantised"),
        ({I: torch.tensor([1])}, {}, BadAdapter, "without"),
        ({I: torch.tensor([1, 2]), V: torch.ones(3)}, {}, BadAdapter, "indices"),
        ({I: torch.tensor([[1]]), V: torch.ones(1, 1)}, {}, BadAdapter, "indices"),
        ({I: torch.tensor([2, 1]), V: torch.ones(2)}, {}, BadAdapter, "ascending"),
        ({I: torch.tensor([1, 1]), V: torch.ones(2)}, {}, BadAdapter, "ascending"),
        ({I: torch.tensor([-1]), V: torch.ones(1)}, {}, BadAdapter, "ascending"),
        ({I: torch.tensor([48]), V: torch.ones(1)}, {}, BadAdapter, "48 elements"),
        ({I: torch.arange(49), V: torch.ones(49)}, {}, WrongBase, "49 elements"),
        ({I: torch.tensor([1.0]), V: torch.ones(1)}, {}, BadAdapter, "F32"),
        (
            {I: torch.tensor([1]), V: torch.ones(1), "ln_final.bias": torch.ones(48)},
            {},
            BadAdapter,
            "both",
        ),
        ({}, {"version": 2}, BadAdapter, "version"),
        ({}, {"format": "other"}, BadAdapter, "not describe a task vector"),
        ({}, {"base": {}}, BadAdapter, "base.weights"),
        ({}, {"base": {"weights": {"w": "0" * 64}}}, WrongBase, "other weights"),
    ],
)
def test_task_vectors_that_do_not_fit(tensors, manifest, kind, named, base, tmp_path):
    tensors = tensors or {"ln_final.bias": torch.ones(48)}
    vector = write_vector(tmp_path / "vector", base, tensors, manifest)
    with pytest.raises(kind, match=named):
        merge(base, [Adapter(vector, 0.5)], tmp_path / "out", EMBEDDING)
    assert not list(tmp_path.glob("*out*"))
