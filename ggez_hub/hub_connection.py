"""`--hub hf|embedded|URL`: which hub a command talks to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ggez_hub.errors import UsageProblem
from ggez_hub.http_address import is_http
from ggez_hub.hub import Hub


@contextmanager
def connect(name: str, *, quiet: bool = False, offline: bool = False) -> Iterator[Hub]:
    """The hub that `name` means; raises UsageProblem if it means none.

    HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE have their usual meaning; `offline` is the same
    as HF_HUB_OFFLINE. `embedded` starts or joins a hub on this machine, seeded with the demo world,
    for as long as the context lasts; it needs no network, so that it is asked offline too.
    """
    if quiet or not sys.stderr.isatty():
        _without_bars()
    if name == "hf":
        yield Hub.of_environment(offline=offline)
    elif name == "embedded":
        from ggez_hub.demo.hub import demo_hub, demo_token, store_folder

        with demo_hub() as endpoint, _client_online():
            # The user's own hub has a token of its own, which no other hub ever sees.
            yield Hub(endpoint, demo_token(), temporary=True, folder=store_folder())
    elif is_http(name):
        yield Hub.of_environment(name.rstrip("/"), offline=offline)
    else:
        raise UsageProblem(
            f"{name!r} is not a hub", "Use --hub hf, --hub embedded, or an http address."
        )


@contextmanager
def _client_online() -> Iterator[None]:
    """Let the client ask a hub on this machine, whatever HF_HUB_OFFLINE says."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = False
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _without_bars() -> None:
    # Read when huggingface_hub is imported; who has read a card before has imported it already.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if "huggingface_hub" in sys.modules and os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "1":
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
