"""How many examples a fuzz target gets: few in each run of the tests, many in `make soak`."""

from __future__ import annotations

import os


def examples(few: int) -> int:
    """`few`, or what GGEZ_FUZZ_EXAMPLES asks for if that is more."""
    return max(few, int(os.environ.get("GGEZ_FUZZ_EXAMPLES", "0")))
