"""`--hub embedded`: a hub on this machine that holds the demo world."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Names the folder of the store. Raise it when the world changes: a store is seeded once.
WORLD_VERSION = 7


def store_folder() -> Path:
    """The store of this user's embedded hub."""
    import platformdirs

    return platformdirs.user_cache_path("ggez-hub") / "embedded" / f"world-{WORLD_VERSION}"


@contextmanager
def demo_hub() -> Iterator[str]:
    """The address of this user's embedded hub, started or joined, seeded with the world."""
    from ggez_hub.embedded import session
    from ggez_hub.world.seed import seed

    with session(store_folder(), seed) as endpoint:
        yield endpoint


def demo_token() -> str | None:
    """The token with which this user may write to their embedded hub while it is open."""
    from ggez_hub.embedded import session_token

    return session_token(store_folder())
