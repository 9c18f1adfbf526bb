"""Models that are sharded over devices, by PyTorch's FSDP2 (`fully_shard`).

`accelerate launch --use_fsdp --fsdp_version 2` turns it on; of accelerate's configuration
`fsdp_reshard_after_forward` and `fsdp_offload_params` count. What is gathered at once is a layer of a
stack, as with gradient checkpointing. The arithmetic is that of one device: precision is autocast's, and
each process has the mean of the gradients, as with data parallelism.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ggez_hub.errors import GgezError

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped]
    from accelerate.utils import FullyShardedDataParallelPlugin  # type: ignore[import-untyped]


def configured() -> FullyShardedDataParallelPlugin | None:
    """What `accelerate launch` says of FSDP, None without it; raises GgezError for its version 1."""
    from accelerate.utils import FullyShardedDataParallelPlugin, parse_flag_from_env

    if not parse_flag_from_env("ACCELERATE_USE_FSDP"):
        return None
    found = FullyShardedDataParallelPlugin()
    if found.fsdp_version != 2:
        raise GgezError(
            "accelerate is configured for FSDP of version 1",
            "Give `accelerate launch` --fsdp_version 2.",
        )
    return found


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


def is_sharded(tensor: Tensor) -> bool:
    """Whether this process has a part of it."""
    if not torch.distributed.is_available():
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def complete_tensor(tensor: Tensor) -> Tensor:
    """All of it, detached; every process has to ask."""
    found: Tensor = tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return found.detach()


def sharded_as(like: Tensor, complete: Tensor) -> Tensor:
    """This process's part of what every process has, if `like` is sharded."""
    if not is_sharded(like):
        return complete
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = like.device_mesh, like.placements  # type: ignore[attr-defined]
    return distribute_tensor(
        complete.to(mesh.device_type), mesh, placements, src_data_rank=None
    ).to(like.device)
