"""The merge methods that users name, among those that mergekit knows."""

from __future__ import annotations

from mergekit.merge_methods import get, register

from ggez_hub.merging.methods import NAME, GgezLinear
from ggez_hub.merging.task_arithmetic import FromMergekit

# The methods that users name, and what each is called among mergekit's registered methods, where
# `task_arithmetic` and `ties` are mergekit's own.
REGISTERED = {NAME: NAME, "task_arithmetic": "ggez_task_arithmetic", "ties": "ggez_ties"}


def register_methods() -> None:
    """Make our methods known to mergekit; calling it again does nothing."""
    try:
        get(NAME)
    except RuntimeError:
        register(GgezLinear())
        for name, registered in REGISTERED.items():
            if name != registered:
                register(FromMergekit(name, registered))
