"""The loop: order and rate, accumulation, several processes, validation and early stopping."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from importlib.util import find_spec

import psutil
import pytest
import torch
from safetensors.torch import load_file

from ggez_hub.cards import read_card
from ggez_hub.errors import GgezError
from ggez_hub.training.batches import BatchOrder
from ggez_hub.training.checkpoint import read_progress
from ggez_hub.training.optimiser import learning_rate
from ggez_hub.training.recipe import Optimiser
from ggez_hub.training.run import open_module, train
from tests.training.material import CAPTIONS, job, write_recipe


def test_each_epoch_is_another_permutation_in_whole_batches():
    order = BatchOrder(examples=10, batch=3, seed=1)
    epochs = [
        [n for step in range(3) for n in order.examples_of(3 * epoch + step)] for epoch in range(4)
    ]
    assert all(len(set(epoch)) == 9 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert epochs == [
        [n for s in range(3) for n in BatchOrder(10, 3, 1).examples_of(3 * e + s)] for e in range(4)
    ]
    assert order.steps(2, None) == 6
    assert order.steps(0.1, None) == 1
    assert order.steps(2, 100) == 100


def test_no_batch_has_two_captions_of_one_picture_while_others_are_left():
    keys = [n // 3 for n in range(30)]
    order = BatchOrder(examples=30, batch=6, seed=3, keys=keys)
    for epoch in range(3):
        batches = [order.examples_of(5 * epoch + step) for step in range(5)]
        assert Counter(n for batch in batches for n in batch) == Counter(range(30))
        assert all(len({keys[n] for n in batch}) == 6 for batch in batches[:3])


def test_the_rate_goes_up_and_then_down_to_zero():
    asked = Optimiser(learning_rate=1.0, warmup=0.2)
    rates = [learning_rate(asked, step, 10) for step in range(10)]
    assert rates == pytest.approx([0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])


FAMILIES = {
    "contrastive": {},
    "replies": {"family": "vlm", "base": "chatter"},
    "noise": {"family": "diffusion", "base": "sd15", "resolution": 16},
}


def weights_of(out):
    (path,) = (
        p for p in out.rglob("*.safetensors") if p.parent.name not in {"vae", "text_encoder"}
    )
    return load_file(path)


def assert_same_steps(one, other):
    """The same losses and weights but for rounding, which AdamW's first steps make larger.

    They are signs of the gradient: where it is nearly zero, rounding decides. That of the bias of
    attention's keys is zero: it adds the same to all logits.
    """
    assert one.record["losses"][-1][1] == pytest.approx(other["losses"][-1][1], rel=1e-5)
    after = weights_of(other["out"])
    for name, tensor in weights_of(one.out).items():
        if name.endswith("k_proj.bias"):
            continue
        assert ((tensor - after[name]).abs() < 1e-5).float().mean() > 0.99, name


@pytest.mark.parametrize(
    "family",
    [
        pytest.param("contrastive", marks=pytest.mark.slow),
        "replies",
        pytest.param("noise", marks=pytest.mark.slow),
    ],
)
def test_micro_batches_change_nothing(material, tmp_path, family):
    """A batch of 8 at once, and accumulated from 3, 3 and 2."""
    done = []
    for micro in (8, 3):
        path = write_recipe(
            material / f"micro-{micro}.yaml", micro_batch=micro, max_steps=3,
            optimiser={"learning_rate": 0.01}, **FAMILIES[family],
        )  # fmt: skip
        done.append(train(job(path), tmp_path / f"micro-{micro}"))
    assert_same_steps(done[0], {**done[1].record, "out": done[1].out})


@pytest.mark.parametrize(
    "family",
    [
        pytest.param("contrastive", marks=pytest.mark.slow),
        "replies",
        pytest.param("noise", marks=pytest.mark.slow),
    ],
)
def test_activations_that_are_computed_again_change_nothing(material, tmp_path, family):
    done, calls = [], []
    for again in (False, True):
        path = write_recipe(
            material / f"again-{again}.yaml", gradient_checkpointing=again, max_steps=2,
            **FAMILIES[family],
        )  # fmt: skip
        with count_forwards() as counted:
            done.append(train(job(path), tmp_path / f"again-{again}"))
        calls.append(len(counted))
    assert calls[1] > 1.2 * calls[0]
    assert_same_steps(done[0], {**done[1].record, "out": done[1].out})


@contextmanager
def count_forwards():
    """How often a module of torch is run."""
    counted = []
    hook = torch.nn.modules.module.register_module_forward_hook(lambda *_: counted.append(1))
    try:
        yield counted
    finally:
        hook.remove()


@pytest.mark.slow
@pytest.mark.parametrize("family", [pytest.param("contrastive", marks=pytest.mark.slow), "noise"])
def test_in_bfloat16_what_learns_stays_in_float32(material, tmp_path, family):
    done = {}
    for precision in ("fp32", "bf16"):
        path = write_recipe(
            material / f"{precision}.yaml", precision=precision, max_steps=3, **FAMILIES[family]
        )
        done[precision] = train(job(path), tmp_path / precision)
    # A rate of 1e-4 moves factors by less than bfloat16 could hold beside their values.
    exact, rounded = (weights_of(done[name].out) for name in ("fp32", "bf16"))
    assert {tensor.dtype for tensor in rounded.values()} == {torch.float32}
    assert any(not exact[name].equal(rounded[name]) for name in exact)
    assert all(not t.equal(t.bfloat16().float()) for n, t in rounded.items() if "lora_A" in n)
    losses = [done[name].record["losses"][-1][1] for name in ("fp32", "bf16")]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    held = {
        p.dtype
        for p in open_module(job(material / "bf16.yaml")).parameters()
        if not p.requires_grad
    }
    assert held == {torch.bfloat16}


@pytest.mark.slow
def test_processes_that_read_pictures_change_nothing(material, tmp_path):
    weights = []
    for workers in (0, 2):
        path = write_recipe(material / f"workers-{workers}.yaml", workers=workers, max_steps=3)
        out = train(job(path), tmp_path / f"workers-{workers}").out
        weights.append((out / "adapter_model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_it_stops_early_and_keeps_the_best_weights(material, tmp_path):
    path = write_recipe(
        material / "early.yaml", max_steps=60, validation={"share": 0.3}, validate_every=1,
        early_stop={"patience": 2}, optimiser={"learning_rate": 1.0}, batch_size=4,
    )  # fmt: skip
    kept = {}

    def on_step(stage, report):
        (best,) = tmp_path.glob(".out.training/*/tune/best.safetensors")
        kept.update({name.removeprefix("weight:model."): t for name, t in load_file(best).items()})

    done = train(job(path), tmp_path / "out", on_step=on_step)
    losses = [loss for _, loss in done.record["validations"]]
    assert done.record["steps"] == len(losses) < 60
    assert losses.index(min(losses)) == len(losses) - 3
    for name, tensor in load_file(done.out / "adapter_model.safetensors").items():
        assert tensor.equal(kept[name.replace(".weight", ".default.weight")])


# Without a GPU nobody has to say that CPUs are meant.
LAUNCHED = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
SHARDED = {
    "FSDP2": ("--use_fsdp", "--fsdp_version", "2"),
    "DeepSpeed ZeRO-3": ("--use_deepspeed", "--zero_stage", "3"),
}
sharded = pytest.mark.parametrize(
    "sharding",
    [
        pytest.param("FSDP2", id="fsdp2"),
        pytest.param(
            "DeepSpeed ZeRO-3",
            id="zero3",
            marks=pytest.mark.skipif(
                find_spec("deepspeed") is None, reason="the extra [deepspeed] is not installed"
            ),
        ),
    ],
)


def launch_command(path, out, *options, program="ggez_hub"):
    return [
        sys.executable, "-m", "accelerate.commands.launch", *options, "--num_processes", "2",
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
        "--num_cpu_threads_per_process", "1", "--main_process_port", "0",
        "-m", program, "train", str(path), "-o", str(out), "--json",
    ]  # fmt: skip


def launch(path, out, sharding=None):
    """By `accelerate launch` as for two GPUs, on two CPUs with gloo."""
    command = launch_command(path, out, *SHARDED.get(sharding, ["--multi_gpu"]))
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=LAUNCHED)
    assert done.returncode == 0, done.stderr[-3000:]
    used = read_card(out / "README.md").card.training.hyper_parameters
    assert used["processes"] == 2
    assert used.get("sharding") == sharding
    # The answer of one process; DeepSpeed's launcher says before it that there is no GPU.
    assert json.loads(done.stdout[done.stdout.index("{") :])
    return json.loads((out / "training.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_two_processes_take_the_steps_of_one(material, tmp_path, family):
    """A batch is shared, and its loss is one."""
    path = write_recipe(
        material / f"two-{family}.yaml", max_steps=3, micro_batch=2,
        optimiser={"learning_rate": 0.01}, validation={"share": 0.2}, **FAMILIES[family],
    )  # fmt: skip
    one = train(job(path), tmp_path / "one")
    two = launch(path, tmp_path / "two")
    assert_same_steps(one, {**two, "out": tmp_path / "two"})
    assert two["validations"][-1][1] == pytest.approx(one.record["validations"][-1][1], rel=1e-5)


@pytest.mark.slow
@sharded
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_sharded_model_takes_the_steps_of_one(material, tmp_path, family, method, sharding):
    """Each process holds a part of every weight."""
    # What more is made of the weights: their mean, a stage before.
    more = {"noise": {"ema": 0.9}, "replies": {"cpt": {"data": CAPTIONS, "max_steps": 2}}}
    path = write_recipe(
        material / f"sharded-{family}-{method}.yaml", max_steps=3, micro_batch=2,
        optimiser={"learning_rate": 0.001}, validation={"share": 0.2}, method=method,
        gradient_checkpointing=True, **FAMILIES[family], **more.get(family, {}),
    )  # fmt: skip
    one = train(job(path), tmp_path / "one")
    two = launch(path, tmp_path / "two", sharding)
    assert_same_steps(one, {**two, "out": tmp_path / "two"})
    assert two["validations"][-1][1] == pytest.approx(one.record["validations"][-1][1], rel=1e-5)


@pytest.mark.slow
@sharded
@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_sharded_model_takes_the_steps_of_one_in_bfloat16(material, tmp_path, method, sharding):
    """What learns is in float32 beside a base in bfloat16; activations are computed again."""
    path = write_recipe(
        material / f"sharded-bf16-{method}.yaml", max_steps=3, micro_batch=2, precision="bf16",
        optimiser={"learning_rate": 0.001}, method=method, gradient_checkpointing=True,
        **FAMILIES["replies"],
    )  # fmt: skip
    one = train(job(path), tmp_path / "one")
    two = launch(path, tmp_path / "two", sharding)
    assert {tensor.dtype for tensor in weights_of(tmp_path / "two").values()} == {torch.float32}
    assert_same_steps(one, {**two, "out": tmp_path / "two"})


@pytest.mark.slow
@sharded
def test_a_sharded_run_that_is_killed_goes_on(material, tmp_path, sharding):
    """From complete tensors, by two processes or by one."""
    path = write_recipe(
        material / "sharded-killed.yaml", max_steps=30, checkpoint_every=1, method="full",
        optimiser={"learning_rate": 0.001}, **FAMILIES["replies"],
    )  # fmt: skip
    complete = launch(path, tmp_path / "complete", sharding)
    for name in ("two", "one"):
        out = tmp_path / name
        process = subprocess.Popen(
            launch_command(path, out, *SHARDED[sharding], program="tests.training.halting"),
            env=LAUNCHED,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while not (found := list(tmp_path.glob(f".{name}.training/*/tune/state.safetensors"))):
            assert process.poll() is None
            time.sleep(0.05)
        launcher = psutil.Process(process.pid)
        killed = [*launcher.children(recursive=True), launcher]
        for each in killed:
            each.kill()
        process.wait()
        psutil.wait_procs(killed)
        assert 0 < read_progress(found[0]).step <= 3
        assert not out.exists()
        if name == "two":
            launch(path, out, sharding)
            assert weights_of(out).keys() == weights_of(tmp_path / "complete").keys()
            for key, tensor in weights_of(out).items():
                assert tensor.equal(weights_of(tmp_path / "complete")[key]), key
        else:
            alone = train(job(path), out)
            assert alone.record["losses"][-1][1] == pytest.approx(
                complete["losses"][-1][1], rel=1e-2
            )


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("ACCELERATE_USE_FSDP", "FSDP of version 1"),
        ("ACCELERATE_USE_DEEPSPEED", "ZeRO of stage 2"),
        ("ACCELERATE_USE_MEGATRON_LM", "Megatron-LM, which is not offered"),
    ],
)
def test_other_ways_to_shard_are_refused(material, tmp_path, monkeypatch, flag, message):
    """As `accelerate launch --use_megatron_lm` and its like say it."""
    monkeypatch.setenv(flag, "true")
    path = write_recipe(material / "sharded.yaml")
    with pytest.raises(GgezError, match=message):
        train(job(path), tmp_path / "out")
    assert not list(tmp_path.iterdir())
