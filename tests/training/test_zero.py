"""DeepSpeed's configuration, as `accelerate launch` gives it; what it trains stands in test_loop."""

from __future__ import annotations

import json

import pytest

from ggez_hub.errors import GgezError, MissingExtra
from ggez_hub.training.run import train
from ggez_hub.training.zero import configured
from tests.training.material import job, write_recipe

STAGE = {"zero_optimization": {"stage": 3}}
# A file as many are: what `accelerate config` and the docs of transformers show.
USUAL = {
    "zero_optimization": {
        "stage": 3,
        "overlap_comm": True,
        "reduce_bucket_size": "auto",
        "stage3_prefetch_bucket_size": "auto",
        "stage3_gather_16bit_weights_on_model_save": True,
        "offload_optimizer": {"device": "cpu", "pin_memory": True},
    },
    "gradient_clipping": "auto",
    "gradient_accumulation_steps": "auto",
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "bf16": {"enabled": "auto"},
    "steps_per_print": 2000,
}


@pytest.fixture
def configure(material, tmp_path, monkeypatch):
    """What is made of a file of DeepSpeed's, beside a recipe, in one of two processes."""

    def configure(content, **keys):
        path = tmp_path / "deepspeed.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
        monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", str(path))
        monkeypatch.setenv("WORLD_SIZE", "2")
        return configured(job(write_recipe(material / "zero.yaml", **keys)).recipe)

    return configure


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"zero_optimization": {"stage": 2}}, "ZeRO of stage 2"),
        ({"gradient_clipping": 1.0}, "Please specify the ZeRO optimization config"),
        ("{", "cannot be used"),
        (STAGE | {"gradient_clipping": 0.5}, "gradient_clipping 0.5, and the recipe 1.0"),
        (STAGE | {"train_batch_size": 16}, "train_batch_size 16, and the recipe 8"),
        (STAGE | {"train_micro_batch_size_per_gpu": 8}, "per_gpu 8, and the recipe 4"),
        (STAGE | {"gradient_accumulation_steps": 2}, "steps 2, and the recipe 1"),
        (STAGE | {"bf16": {"enabled": True}}, "bf16 True, and the recipe False"),
        (STAGE | {"fp16": {"enabled": True}}, "fp16 True, and the recipe False"),
        (STAGE | {"optimizer": {"type": "Adam"}}, "has optimizer, which is not used here"),
        ({"zero_optimization": {"stage": 3, "zero_quantized_weights": True}}, "quantized_weights"),
        (
            {"zero_optimization": {"stage": 3, "offload_param": {"device": "nvme"}}},
            "offload_param is not to a CPU",
        ),
    ],
)
def test_what_contradicts_the_recipe_is_refused(configure, content, message):
    with pytest.raises(GgezError, match=message):
        configure(content, precision="fp32")


def test_without_deepspeed_the_extra_is_named(configure, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="deepspeed"):
        configure(STAGE)


@pytest.mark.parametrize("content", [STAGE, USUAL], ids=["short", "usual"])
def test_deepspeed_reads_the_configuration_as_it_is_meant(configure, content):
    deepspeed = pytest.importorskip("deepspeed", reason="the extra [deepspeed] is not installed")
    found = configure(content, precision="bf16")
    read = deepspeed.DeepSpeedConfig(found.config(0.7))
    assert read.zero_optimization_stage == 3
    assert read.gradient_clipping == 0.7
    assert read.gradient_accumulation_steps == 1
    assert not read.bfloat16_config.enabled
    assert not read.float16_config.enabled
    offloaded = content["zero_optimization"].get("offload_optimizer")
    assert (read.zero_config.offload_optimizer is not None) == bool(offloaded)


def test_deepspeed_refuses_a_value_with_a_clear_message(configure):
    pytest.importorskip("deepspeed", reason="the extra [deepspeed] is not installed")
    with pytest.raises(GgezError, match="reduce_bucket_size"):
        configure({"zero_optimization": {"stage": 3, "reduce_bucket_size": -1}})


def test_a_process_without_the_launcher_is_refused(configure, material, tmp_path, monkeypatch):
    pytest.importorskip("deepspeed", reason="the extra [deepspeed] is not installed")
    configure(STAGE)
    monkeypatch.delenv("WORLD_SIZE")
    with pytest.raises(GgezError, match="this one alone"):
        train(job(material / "zero.yaml"), tmp_path / "out")


def test_without_the_launcher_there_is_nothing(material):
    assert configured(job(write_recipe(material / "plain.yaml")).recipe) is None
