"""`--hub hf|embedded|URL`: which hub a command talks to."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ggez_hub.errors import UsageProblem
from ggez_hub.hub import Hub


@contextmanager
def connect(name: str, *, quiet: bool = False) -> Iterator[Hub]:
    """The hub that `name` means; raises UsageProblem if it means none.

    HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE have their usual meaning. `embedded` starts
    or joins a hub on this machine, seeded with the demo world, for as long as the context lasts.
    """
    if quiet or not sys.stderr.isatty():
        # Read when huggingface_hub is imported, which nothing has done before this.
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if name == "hf":
        yield Hub.of_environment()
    elif name == "embedded":
        from ggez_hub.world.session import demo_hub

        with demo_hub() as endpoint:
            yield Hub(endpoint)
    elif re.fullmatch(r"https?://[^\s/]+(/.*)?", name):
        yield Hub.of_environment(name.rstrip("/"))
    else:
        raise UsageProblem(
            f"{name!r} is no hub", "Use --hub hf, --hub embedded, or an http address."
        )
