"""What `train --plan` says: sizes of real bases, steps, and memory that is counted."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.recipe_file import recipes_folder
from ggez_hub.registry.local_merge.inputs import ModelSource
from ggez_hub.training.job import Job, read_training
from ggez_hub.training.plan import memory_of, plan, skeleton_in_training
from ggez_hub.training.run import open_module
from ggez_hub.training.sharding import blocks
from tests.training.material import CAPTIONS, job, write_recipe
from tests.training.real_bases import SIZES, write_outline

REAL = sorted(
    path
    for path in (recipes_folder() / "train").glob("*.yaml")
    if read_training(path).base.partition("@")[0] in SIZES
)
# The settings of the paper's table, by family: batch, rate, weight decay, epochs.
PAPER = {
    "vlm": (64, 2e-5, 0.01, 3),
    "embedding": (128, 5e-6, 0.001, 2),
    "diffusion": (32, 1e-5, 0.01, 4),
}


# The large ones take as long as their names are many.
QUICK = {"clip-vit-base-patch32"}
PLANNED = [
    pytest.param(path, id=path.stem, marks=[] if path.stem in QUICK else pytest.mark.slow)
    for path in REAL
]


@pytest.mark.parametrize("path", PLANNED)
def test_recipes_of_real_bases_are_planned_from_configurations(path, tmp_path):
    asked = read_training(path)
    repo = asked.base.partition("@")[0]
    base = ModelSource(write_outline(tmp_path / "base", repo), repo, repo, "a" * 40)
    found = plan(Job(asked, path.parent, base), tmp_path)
    size = SIZES[repo]
    assert found.parameters == size
    assert found.memory.total is not None
    if asked.method == "full":
        optimiser = asked.optimiser
        assert PAPER[asked.family] == (
            asked.batch_size, optimiser.learning_rate, optimiser.weight_decay, asked.epochs
        )  # fmt: skip
        assert found.trained_parameters == size
        # Float32 weights, gradients and two moments.
        assert found.memory.total > 16 * size
    else:
        assert found.trained_parameters < size / 30
        assert 2 * size < found.memory.total < 4 * size + 40e9
    (stage,) = found.stages
    assert stage.steps is None
    assert "is not an output of `ggez-hub filter`" in stage.problem


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "keys", [{}, {"method": "full"}, {"base": "siglip"}], ids=["lora", "full", "siglip"]
)
def test_activations_are_those_that_a_real_pass_keeps(material, precision, keys):
    path = write_recipe(
        material / "memory.yaml", precision=precision, micro_batch=4, batch_size=4, **keys
    )
    asked = job(path)
    planned = memory_of(asked, skeleton_in_training(asked)).activations
    learner = open_module(job(path))
    kept = {}

    def pack(tensor):
        if not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage._cdata] = (storage.nbytes(), tensor)
        return tensor

    learner.train()
    embedder = learner.embedder
    words = embedder.text_inputs(["what is shown"] * 4)
    pictures = {"pixel_values": torch.zeros(4, 3, 28, 28)}
    cast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), cast:
        embedder.picture_features(pictures)
        embedder.text_features({"input_ids": words["input_ids"]})
    assert planned == sum(nbytes for nbytes, _ in kept.values())


def test_checkpointing_keeps_less(material):
    asked = {
        key: memory_of(j := job(path), skeleton_in_training(j))
        for key in (False, True)
        for path in [write_recipe(material / f"memory-{key}.yaml", gradient_checkpointing=key)]
    }
    assert asked[True].activations < 0.75 * asked[False].activations
    assert asked[True].optimiser == asked[False].optimiser


def test_a_sharded_model_shares_its_memory(material):
    path = write_recipe(material / "shared.yaml", method="full")
    one, four = (memory_of(j := job(path), skeleton_in_training(j), devices) for devices in (1, 4))
    assert (one.gathered, four.activations) == (0, one.activations)
    assert four.weights == -(-one.weights // 4)
    assert four.optimiser == one.optimiser / 4
    model = open_module(job(path)).model
    layers = [p.numel() for layer in blocks(model).values() for p in layer.parameters()]
    largest = max(sum(p.numel() for p in layer.parameters()) for layer in blocks(model).values())
    outside = sum(p.numel() for p in model.parameters()) - sum(layers)
    # With gradients: what is in no layer, and one layer; the next one is fetched.
    assert four.gathered == 4 * (2 * outside + 3 * largest)


@pytest.mark.slow
def test_the_full_fine_tune_of_27b_fits_eight_devices_of_80_gb(tmp_path):
    path = next(path for path in REAL if path.stem == "gemma-3-27b.full")
    asked = read_training(path)
    repo = asked.base.partition("@")[0]
    base = ModelSource(write_outline(tmp_path / "base", repo), repo, repo, "a" * 40)
    found = plan(Job(asked, path.parent, base), tmp_path, 8)
    assert found.memory.total < 80e9


@pytest.mark.parametrize(("room", "fits"), [(1.3, True), (1.1, None), (0.9, False)])
def test_it_fits_where_a_fifth_is_left_for_what_is_not_counted(material, tmp_path, room, fits):
    found = plan(job(write_recipe(material / "fits.yaml")), tmp_path)
    device = int(found.memory.total * room)
    assert replace(found, device_bytes=device).fits is fits


def test_the_command_says_it_in_words_and_as_json(material):
    path = write_recipe(material / "plan.yaml", max_steps=None, epochs=2.0)
    said = CliRunner().invoke(cli, ["train", str(path), "--plan"])
    assert said.exit_code == 0, said.output
    assert "24 examples, 6 steps of 8" in said.output
    document = json.loads(CliRunner().invoke(cli, ["train", str(path), "--plan", "--json"]).stdout)
    assert document["stages"][0]["steps"] == 6
    assert document["memory"]["optimiser"] == 8 * document["trained_parameters"]


def test_examples_that_are_none_for_the_family_are_told(material):
    asked = copy.deepcopy(CAPTIONS)
    asked["sources"][0]["columns"]["examples"].append(
        {"format": "open_ended", "question": "caption", "answer": "caption"}
    )
    path = write_recipe(material / "questions.yaml", data=asked)
    said = CliRunner().invoke(cli, ["train", str(path), "--plan"])
    assert "24 examples of 48 rows (not used: open_ended, not a caption: 24)" in said.output
