"""Locks of what resolution takes: text that `pull --locked --lock FILE` reads.

They pin what goes in: commits and digests. What comes out is not recorded, since nothing was made.
"""

from __future__ import annotations

from huggingface_hub.errors import HfHubHTTPError

from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub
from ggez_hub.registry.index.entries import IndexEntry
from ggez_hub.registry.lock import Lock
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolution import Resolution
from ggez_hub.registry.resolver.resolver import Resolver


def resolution_of(entry: IndexEntry, hub: Hub) -> Resolution | None:
    """The resolution of an adapter for its own region; None where the hub does not give what it pins."""
    try:
        return Resolver.of(Request(entry.summary.region), hub).take([entry]).resolution
    except (GgezError, HfHubHTTPError, OSError):
        return None


def lock_text(resolution: Resolution) -> str:
    """The text of its lock."""
    return Lock(outputs={}, resolution=resolution).to_text()
