"""The processes that a run is shared among, as accelerate was started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ggez_hub.errors import GgezError
from ggez_hub.training.recipe import TrainRecipe

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped]


class NotSupported(GgezError):
    """accelerate is configured for something that this loop does not do."""


def accelerator_of(recipe: TrainRecipe) -> Accelerator:
    """The accelerator of this process; raises NotSupported for sharded models."""
    from accelerate import Accelerator, DistributedType
    from accelerate.state import AcceleratorState  # type: ignore[import-untyped]
    from accelerate.utils import parse_flag_from_env  # type: ignore[import-untyped]

    # On a CPU accelerate passes over what it was asked for; elsewhere it needs the library first.
    for flag, name in SHARDED.items():
        if parse_flag_from_env(flag):
            raise _not_supported(name)
    # It is one for the process, and would have the precision of an earlier run.
    AcceleratorState._reset_state()
    found = Accelerator(mixed_precision="bf16" if recipe.precision == "bf16" else "no")
    if found.distributed_type not in (
        DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU,
    ):  # fmt: skip
        raise _not_supported(str(found.distributed_type))
    if recipe.batch_size % found.num_processes:
        raise NotSupported(
            f"batch_size {recipe.batch_size} cannot be shared by {found.num_processes} processes",
            "Take a multiple of the number of processes.",
        )
    return found


# What `accelerate launch` sets for each way to shard a model.
SHARDED = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
}


def _not_supported(name: str) -> NotSupported:
    return NotSupported(
        f"accelerate is configured for {name}: a state of a run is written and read whole by one "
        "process, and would be a part of the weights there",
        "Run it on one device, or data-parallel: `accelerate launch --multi_gpu`, or `--cpu`.",
    )
