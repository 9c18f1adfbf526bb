"""`--hub hf|embedded|URL`: which hub a command talks to."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ggez_hub.errors import UsageProblem
from ggez_hub.hub.client import Hub


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
        from huggingface_hub import constants, get_token

        yield Hub(constants.ENDPOINT, get_token())
    elif name == "embedded":
        # The one hub that we bring ourselves; nothing else here knows of it.
        from ggez_hub.world.session import demo_hub

        with demo_hub() as endpoint:
            yield Hub(endpoint)
    elif re.fullmatch(r"https?://[^\s/]+(/.*)?", name):
        from huggingface_hub import get_token

        yield Hub(name.rstrip("/"), get_token())
    else:
        raise UsageProblem(
            f"{name!r} is no hub", "Use --hub hf, --hub embedded, or an http address."
        )
