"""Models that are sharded over devices, by PyTorch's FSDP2 (`fully_shard`) or by DeepSpeed (`zero`).

`accelerate launch --use_fsdp --fsdp_version 2` turns it on; of accelerate's configuration
`fsdp_reshard_after_forward` and `fsdp_offload_params` count. What is gathered at once is a layer of a
stack, as with gradient checkpointing. The arithmetic is that of one device: precision is autocast's, and
each process has the mean of the gradients, as with data parallelism.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from ggez_hub.errors import GgezError
from ggez_hub.training import zero

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped]
    from accelerate.utils import FullyShardedDataParallelPlugin  # type: ignore[import-untyped]

    from ggez_hub.training.backend import TrainingModule
    from ggez_hub.training.recipe import TrainRecipe


Sharding: TypeAlias = "FullyShardedDataParallelPlugin | zero.ZeroSettings"
"""How `accelerate launch` says that a model is to be sharded."""


def configured(recipe: TrainRecipe) -> Sharding | None:
    """What `accelerate launch` says of FSDP or of DeepSpeed, None without them.

    Raises: GgezError: FSDP of version 1, or what `zero.configured` refuses. MissingExtra.
    """
    from accelerate.utils import FullyShardedDataParallelPlugin, parse_flag_from_env

    if not parse_flag_from_env("ACCELERATE_USE_FSDP"):
        return zero.configured(recipe)
    found = FullyShardedDataParallelPlugin()
    if found.fsdp_version != 2:
        raise GgezError(
            "accelerate is configured for FSDP of version 1",
            "Give `accelerate launch` --fsdp_version 2.",
        )
    return found


def name_of(sharding: Sharding) -> str:
    """The name on the card."""
    return "DeepSpeed ZeRO-3" if isinstance(sharding, zero.ZeroSettings) else "FSDP2"


def open_sharded(
    open_module: Callable[[], TrainingModule], sharding: Sharding, accelerator: Accelerator
) -> TrainingModule:
    """A module, of whose parameters a part each is left in this process."""
    if isinstance(sharding, zero.ZeroSettings):
        module = open_module()
        zero.partition(module, sharding, accelerator.device)
        return module
    with turns(accelerator):
        module = open_module()
        shard(module, sharding, accelerator.device)
    return module


def shard(module: nn.Module, plugin: FullyShardedDataParallelPlugin, device: torch.device) -> None:
    """Leave a part of each parameter in this process, on `device`; scalars stay in each."""
    from torch.distributed import get_world_size
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import OffloadPolicy, fully_shard

    mesh = init_device_mesh(device.type, (get_world_size(),))
    scalars = {p for p in module.parameters() if p.ndim == 0}
    offload = plugin.cpu_offload or OffloadPolicy()
    for part in (*blocks(module).values(), module):
        fully_shard(
            part,
            mesh=mesh,
            reshard_after_forward=bool(plugin.reshard_after_forward),
            offload_policy=offload,
            ignored_params=scalars,
        )
    for scalar in scalars:
        scalar.data = scalar.data.to(device)


def blocks(module: nn.Module) -> dict[str, nn.Module]:
    """The layers of the outermost stacks by path: what is gathered, and computed again, as a unit."""
    found: dict[str, nn.Module] = {}
    for path, part in module.named_modules():
        inside = any(path.startswith(f"{block}.") for block in found)
        if not inside and isinstance(part, nn.ModuleList | nn.Sequential) and len(part) > 1:
            found |= {f"{path}.{name}": layer for name, layer in part.named_children()}
    return found


def shape_of(parameter: Tensor) -> torch.Size:
    """The shape of all of it."""
    found: torch.Size = getattr(parameter, "ds_shape", parameter.shape)
    return found


def gather(module: nn.Module, *, keep: bool) -> None:
    """Replace the parameters that learn by complete ones, where they are to be kept; no step follows."""
    for owner in module.modules():
        for name, parameter in list(owner.named_parameters(recurse=False)):
            if parameter.requires_grad and is_sharded(parameter):
                complete = complete_tensor(parameter)
                if keep:
                    owner.register_parameter(name, nn.Parameter(complete.cpu()))


@contextmanager
def turns(accelerator: Accelerator) -> Iterator[None]:
    """One process of a machine at a time: each holds a complete model until it is sharded."""
    import os

    for turn in range(int(os.environ.get("LOCAL_WORLD_SIZE", "1"))):
        if turn == accelerator.local_process_index:
            yield
        accelerator.wait_for_everyone()


def is_sharded(tensor: Tensor | zero.Moment) -> bool:
    """Whether this process has a part of it."""
    if isinstance(tensor, zero.Moment) or zero.is_partitioned(tensor):
        return True
    if not torch.distributed.is_available():
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def complete_tensor(tensor: Tensor | zero.Moment) -> Tensor:
    """All of it, detached; every process has to ask."""
    if isinstance(tensor, zero.Moment):
        return tensor.gathered()
    if zero.is_partitioned(tensor):
        return zero.gathered(tensor)
    found: Tensor = tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return found.detach()


def computable(tensor: Tensor) -> Tensor:
    """What elementwise arithmetic can be done with, detached: DeepSpeed's parts are empty tensors."""
    return zero.gathered(tensor) if zero.is_partitioned(tensor) else tensor.detach()


@torch.no_grad()
def assign(tensor: Tensor, value: Tensor) -> None:
    """Give a tensor a value: complete in every process, or sharded in the same way."""
    if zero.is_partitioned(tensor):
        zero.assign(tensor, value)
    else:
        tensor.copy_(value if is_sharded(value) else sharded_as(tensor, value))


def sharded_as(like: Tensor, complete: Tensor) -> Tensor:
    """This process's part of what every process has, if `like` is sharded."""
    if zero.is_partitioned(like):
        return zero.own_part(like, complete)
    if not is_sharded(like):
        return complete
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = like.device_mesh, like.placements  # type: ignore[attr-defined]
    return distribute_tensor(
        complete.to(mesh.device_type), mesh, placements, src_data_rank=None
    ).to(like.device)
