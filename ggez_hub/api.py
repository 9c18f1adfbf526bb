"""The Python API: the command line's pull and resolve as functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ggez_hub.hub_connection import connect
from ggez_hub.registry.lock import read_lock
from ggez_hub.registry.pull.plan import plan, plan_locked
from ggez_hub.registry.pull.pull import Pulled, carry_out
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolution import Resolution


def resolve(region: str, *, hub: str = "hf", **choices: Any) -> Resolution:
    """What `pull` would take for `region` on `hub`, every input pinned.

    choices are the fields of Request: family, base, beta, alpha, method, wide, trust, live, index. Raises
    GgezError with the reason where nothing serves.
    """
    with connect(hub, quiet=True) as server:
        return plan(Request(region, **choices), server).resolution


def pull(
    region: str,
    out: str | Path | None = None,
    *,
    hub: str = "hf",
    lock: str | Path | None = None,
    **choices: Any,
) -> Pulled:
    """Fetch and merge the model of `region` into the new folder `out` (./ggez-<region>).

    With `lock`, the path of a ggez.lock, nothing is resolved anew. `Pulled.model` is the folder to
    load. Raises GgezError with the reason; then `out` is as it was before.
    """
    with connect(hub, quiet=True) as server:
        planned = (
            plan(Request(region, **choices), server)
            if lock is None
            else plan_locked(read_lock(Path(lock)), server)
        )
        target = Path(out or f"ggez-{planned.resolution.region}")
        return carry_out(planned, server, target)
