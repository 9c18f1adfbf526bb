"""ggez-hub: the registry of regional adapters for vision-language models.

    from ggez_hub import alpha, grp, merge, pull, resolve

    model = pull("th", hub="embedded").model

Importing the package imports nothing else; each function is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ggez_hub.api import pull, resolve
    from ggez_hub.merging import merge
    from ggez_hub.parity import grp
    from ggez_hub.regions import alpha

__version__ = "0.1.0"

__all__ = ["__version__", "alpha", "grp", "merge", "pull", "resolve"]

_HOMES = {
    "alpha": "ggez_hub.regions",
    "grp": "ggez_hub.parity",
    "merge": "ggez_hub.merging",
    "pull": "ggez_hub.api",
    "resolve": "ggez_hub.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
