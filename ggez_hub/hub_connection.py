"""`--hub hf|embedded|URL`: which hub a command talks to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from ggez_hub.errors import UsageProblem
from ggez_hub.http_address import is_http
from ggez_hub.hub import Hub


@contextmanager
def connect(name: str, *, quiet: bool = False) -> Iterator[Hub]:
    """The hub that `name` means; raises UsageProblem if it means none.

    HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE have their usual meaning. `embedded` starts
    or joins a hub on this machine, seeded with the demo world, for as long as the context lasts.
    """
    if quiet or not sys.stderr.isatty():
        _without_bars()
    if name == "hf":
        yield Hub.of_environment()
    elif name == "embedded":
        from ggez_hub.demo.hub import demo_hub, demo_token

        with demo_hub() as endpoint:
            # The user's own hub has a token of its own, which no other hub ever sees.
            yield Hub(endpoint, demo_token(), option=" --hub embedded")
    elif is_http(name):
        yield replace(Hub.of_environment(name.rstrip("/")), option=f" --hub {name}")
    else:
        raise UsageProblem(
            f"{name!r} is not a hub", "Use --hub hf, --hub embedded, or an http address."
        )


def _without_bars() -> None:
    # Read when huggingface_hub is imported; who has read a card before has imported it already.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if "huggingface_hub" in sys.modules and os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "1":
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
