"""Models that are sharded over devices by DeepSpeed's ZeRO-3.

`accelerate launch --use_deepspeed --zero_stage 3` turns it on, with or without a configuration file of
DeepSpeed. Only `zero_optimization` of that is used; what the recipe decides may be `auto` there or the
same. The arithmetic is that of one device: precision is autocast's, AdamW is torch's, and gradients are averaged over
processes, divided once by the items of a step and clipped in float32.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ggez_hub.errors import GgezError
from ggez_hub.extras import require
from ggez_hub.training.recipe import TrainRecipe

SECTION = "zero_optimization"
# Keys of the section that change nothing but time and memory.
SECTION_KEYS = {
    "stage",
    "allgather_partitions",
    "contiguous_gradients",
    "offload_optimizer",
    "offload_param",
    "overlap_comm",
    "reduce_bucket_size",
    "reduce_scatter",
    "round_robin_gradients",
    "stage3_gather_16bit_weights_on_model_save",
    "stage3_max_live_parameters",
    "stage3_max_reuse_distance",
    "stage3_param_persistence_threshold",
    "stage3_prefetch_bucket_size",
    "sub_group_size",
}
# What is logged; and which AdamW is taken, which is torch's anyway.
IGNORED = {
    "steps_per_print",
    "wall_clock_breakdown",
    "zero_allow_untested_optimizer",
    "zero_force_ds_cpu_optimizer",
}
# Of AdamW's state, what has the shape of its parameter.
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class ZeroSettings:
    """`section` is `zero_optimization` of DeepSpeed's configuration."""

    section: Mapping[str, Any]

    def config(self, max_grad_norm: float = 0.0) -> dict[str, Any]:
        """The configuration of an engine, which clips the norm of the gradient, or does not at 0.

        When a step is complete is decided by us, so that its batches are not.
        """
        return {
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": 1,
            "gradient_clipping": max_grad_norm,
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,
            # Its own product of matrices is not autocast's.
            SECTION: {**self.section, "memory_efficient_linear": False},
        }


def configured(recipe: TrainRecipe) -> ZeroSettings | None:
    """What `accelerate launch` says of DeepSpeed, None without it.

    Raises: GgezError: it is not ZeRO-3, or contradicts the recipe. MissingExtra.
    """
    from accelerate.utils import (  # type: ignore[import-untyped]
        DeepSpeedPlugin,
        parse_flag_from_env,
    )

    if not parse_flag_from_env("ACCELERATE_USE_DEEPSPEED"):
        return None
    try:
        found = dict(DeepSpeedPlugin().deepspeed_config)
    except (OSError, ValueError) as error:
        raise _refused(error) from error
    section = {key: value for key, value in found.pop(SECTION).items() if value != "auto"}
    _check_section(section)
    decided = _decided(recipe)
    unknown = found.keys() - decided.keys() - IGNORED
    unknown |= {f"{SECTION}.{key}" for key in section.keys() - SECTION_KEYS}
    if unknown:
        raise GgezError(
            f"DeepSpeed's configuration has {', '.join(sorted(unknown))}, which is not used here",
            "Leave it out: optimiser, rate and precision are the recipe's.",
        )
    for key, values in decided.items():
        value = found.get(key, "auto")
        value = value.get("enabled", False) if isinstance(value, Mapping) else value
        if value != "auto" and value not in values:
            raise GgezError(
                f"DeepSpeed's configuration has {key} {value}, and the recipe {values[-1]}",
                "Leave it out, or set it to auto.",
            )
    require("deepspeed", "deepspeed")
    settings = ZeroSettings(section)
    try:
        _imported().DeepSpeedConfig(settings.config())
    except (AssertionError, ValueError) as error:
        raise _refused(error) from error
    return settings


def _refused(error: Exception) -> GgezError:
    return GgezError(
        f"DeepSpeed's configuration cannot be used: {error}",
        "See `accelerate launch --deepspeed_config_file`.",
    )


def _check_section(section: Mapping[str, Any]) -> None:
    if section.get("stage") != 3:
        raise GgezError(
            f"accelerate is configured for ZeRO of stage {section.get('stage')}",
            "Give `accelerate launch` --zero_stage 3.",
        )
    for key in ("offload_optimizer", "offload_param"):
        if (section.get(key) or {}).get("device", "none") not in {"none", "cpu"}:
            raise GgezError(f"{SECTION}.{key} is not to a CPU", "Set its device to cpu, or none.")


def _decided(recipe: TrainRecipe) -> dict[str, tuple[Any, ...]]:
    """What the configuration may say where the recipe decides."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    accumulated = math.ceil(recipe.batch_size / processes / recipe.micro_batch)
    norms = {stage.optimiser.max_grad_norm for stage in recipe.stages}
    return {
        "train_batch_size": (recipe.batch_size,),
        "train_micro_batch_size_per_gpu": (recipe.micro_batch,),
        # `accelerate launch` says 1 where nobody says anything.
        "gradient_accumulation_steps": (1, accumulated),
        "gradient_clipping": tuple(0.0 if most == "none" else most for most in norms),
        "bf16": (recipe.precision == "bf16",),
        "fp16": (False,),
    }


def partition(module: nn.Module, settings: ZeroSettings, device: torch.device) -> None:
    """Leave a part of each parameter in this process, on `device`; every process has to ask."""
    scalars = [p for p in module.parameters() if p.ndim == 0]
    # What it sends is a view as bytes, which scalars do not have.
    for scalar in scalars:
        scalar.data = scalar.data.view(1)
    library().zero.Init(module=module, config_dict_or_path=settings.config())
    for scalar in scalars:
        scalar.ds_shape = torch.Size()  # type: ignore[attr-defined]
    for buffer in module.buffers():
        buffer.data = buffer.data.to(device)


def is_partitioned(tensor: Tensor) -> bool:
    """Whether it is a parameter of which this process has a part."""
    return hasattr(tensor, "ds_id")


def gathered(parameter: Tensor) -> Tensor:
    """A copy of all of a partitioned parameter; every process has to ask."""
    from deepspeed.runtime.zero import GatheredParameters

    with GatheredParameters([parameter]):
        return parameter.detach().clone()


def assign(parameter: Any, value: Tensor) -> None:
    """Give a partitioned parameter a value, which every process has."""
    from deepspeed.utils import safe_set_local_fp32_param

    own = own_part(parameter, value)
    parameter.ds_tensor.data.copy_(own)
    if is_gathered(parameter):
        parameter.data.copy_(value)
    # AdamW has a copy of its own.
    if hasattr(parameter, "_z3_optimizer"):
        safe_set_local_fp32_param(parameter, own)


def is_gathered(parameter: Any) -> bool:
    """Whether each process has all of it at present, as of small ones."""
    name: str = parameter.ds_status.name
    return name == "AVAILABLE"


@dataclass(frozen=True)
class Moment:
    """One of AdamW's moments of a parameter, of which each process has a part."""

    parameter: nn.Parameter
    key: str

    def gathered(self) -> Tensor:
        """All of it; every process has to ask."""
        from deepspeed.utils import safe_get_full_optimizer_state

        found: Tensor = safe_get_full_optimizer_state(self.parameter, self.key)
        return found


def own_part(parameter: Any, value: Tensor) -> Tensor:
    """This process's part of a complete tensor, filled up with zeros."""
    size = parameter.partition_numel()
    flat = value.flatten()
    start = min(size * torch.distributed.get_rank(), len(flat))
    own = flat[start : start + size]
    return nn.functional.pad(own, (0, size - len(own)))


def library() -> Any:
    """DeepSpeed, on the processes that accelerate has connected; raises GgezError without them."""
    if not torch.distributed.is_initialized():
        raise GgezError(
            "DeepSpeed shards a model over processes, and there is this one alone",
            "Start it by `accelerate launch --use_deepspeed`, without --cpu.",
        )
    deepspeed = _imported()
    with redirect_stdout(sys.stderr):
        deepspeed.init_distributed(
            dist_backend=torch.distributed.get_backend(), auto_mpi_discovery=False
        )
    return deepspeed


def _imported() -> Any:
    # It logs and prints to stdout, which is for the command's own answer.
    with redirect_stdout(sys.stderr):
        import deepspeed
    return deepspeed
