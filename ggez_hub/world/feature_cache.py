"""What a frozen tower computes once, kept in the user's cache under what it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggez_hub.world.material import cache_folder


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
