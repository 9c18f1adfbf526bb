"""The folder that a pull writes, as far as it can be judged before a hub is asked. Light."""

from __future__ import annotations

import os
from pathlib import Path

from ggez_hub.atomic_files import OutputExists, require_writable
from ggez_hub.registry.constants import LOCK_NAME


def require_pullable(out: Path) -> None:
    """Raise where nothing can be pulled into `out`.

    OutputExists if it exists and is not a pulled folder, OSError if it may not be written.
    """
    if os.path.lexists(out) and not (out / LOCK_NAME).is_file():
        raise OutputExists(f"{out} exists already", "Choose another folder with -o, or remove it.")
    require_writable(out)
