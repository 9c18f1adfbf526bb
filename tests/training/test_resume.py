"""A run that is killed and run again gives the weights of one that was not, bit for bit."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pytest
from safetensors.torch import load_file

from ggez_hub.training.checkpoint import read_progress
from ggez_hub.training.run import train
from tests.training.material import CAPTIONS, job, write_recipe

pytestmark = pytest.mark.slow

STEPS = 30
LORA = {"lora": {"r": 2, "alpha": 4, "dropout": 0.2}}


def run_and_halt(path, out):
    """As a process of its own; after six steps it waits to be killed."""

    def halt(stage, report):
        while report.step == 6:
            time.sleep(1)

    train(job(path), out, on_step=halt)


def killed_midway(path, out):
    """A run that was killed after its first state; how many steps that state has."""
    # torch allows no fork of a process that has trained already: of one that only imported it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.test_resume"])
    process = context.Process(target=run_and_halt, args=(path, out))
    process.start()
    place = out.with_name(f".{out.name}.training")
    while not (states := list(place.glob("*/*/state.safetensors"))):
        assert process.is_alive()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return read_progress(states[0]).step


@pytest.mark.slow
@pytest.mark.parametrize("keys", [LORA, {"method": "full"}], ids=["lora", "full"])
def test_killed_and_run_again_the_weights_are_the_same(material, tmp_path, keys):
    path = write_recipe(
        material / f"killed-{'full' if 'method' in keys else 'lora'}.yaml",
        max_steps=STEPS, checkpoint_every=4, **keys,
    )  # fmt: skip
    whole = train(job(path), tmp_path / "whole").out
    killed = tmp_path / "killed"
    assert killed_midway(path, killed) == 4
    assert not killed.exists()
    seen = []
    train(job(path), killed, on_step=lambda stage, report: seen.append(report.step))
    assert seen[0] == 5
    for file in whole.glob("*.safetensors"):
        one, other = load_file(file), load_file(killed / file.name)
        assert one.keys() == other.keys()
        assert all(one[name].equal(other[name]) for name in one)
    assert (whole / "training.json").read_bytes() == (killed / "training.json").read_bytes()
    assert not killed.with_name(".killed.training").exists()


def test_a_finished_run_is_not_run_again(material, tmp_path):
    path = write_recipe(material / "twice.yaml", max_steps=1)
    first = train(job(path), tmp_path / "out")
    seen = []
    again = train(job(path), tmp_path / "out", on_step=lambda *step: seen.append(step))
    assert again.record == first.record
    assert seen == []


class Stopped(Exception):
    """In place of a kill."""


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(("cpt", 3), marks=pytest.mark.slow),
        ("tune", 1),
        pytest.param(("tune", 3), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_stopped_in_either_stage_it_goes_on_there(material, tmp_path, where):
    """Continued pre-training, then fine-tuning; what is done is not done again."""
    path = write_recipe(
        material / "stages.yaml", family="vlm", base="chatter", max_steps=4, checkpoint_every=2,
        cpt={"data": CAPTIONS, "max_steps": 4}, lora={"r": 2, "alpha": 4, "dropout": 0.2},
    )  # fmt: skip
    everything = []
    whole = train(
        job(path), tmp_path / "whole", on_step=lambda s, r: everything.append((s, r.step))
    ).out
    assert everything == [(stage, n) for stage in ("cpt", "tune") for n in (1, 2, 3, 4)]

    def stopping(stage, report):
        if (stage, report.step) == where:
            raise Stopped

    with pytest.raises(Stopped):
        train(job(path), tmp_path / "stopped", on_step=stopping)
    seen = []
    out = train(job(path), tmp_path / "stopped", on_step=lambda s, r: seen.append((s, r.step))).out
    first = 2 * ((where[1] - 1) // 2) + 1
    assert seen == everything[everything.index((where[0], first)) :]
    one, other = (load_file(f / "adapter_model.safetensors") for f in (whole, out))
    assert all(one[name].equal(other[name]) for name in one)
