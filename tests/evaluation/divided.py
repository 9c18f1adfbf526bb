"""Sweeps whose processes note what they compute, and one of which kills itself or its parent."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

from ggez_hub.cli.asked_measurements import AskedSweep
from ggez_hub.cli.main import cli
from ggez_hub.evaluation.answers import cache

REAL = cache.answer_once


def noting(note):
    """`answer_once`, which calls `note` with the digests of what is computed together."""

    def answer_once(asked, known, compute, chunk=cache.CHUNK):
        keys = {id(value): key for key, value in asked.items()}

        def noted(inputs):
            note([keys[id(value)] for value in inputs])
            return compute(inputs)

        return REAL(asked, known, noted, chunk)

    return patch.object(cache, "answer_once", answer_once)


@dataclass(frozen=True)
class Dying(AskedSweep):
    """The process that computes the chunk number `last`, of all, kills itself or its parent once."""

    log: Path = Path()
    victim: str = "worker"
    last: int = 4

    def open(self, meeting):
        noting(self._note).start()
        return super().open(meeting)

    def _note(self, keys):
        with self.log.open("a+") as log:
            log.seek(0)
            is_last = len(log.readlines()) == self.last
            if is_last and not (first := self.log.with_suffix(".killed")).exists():
                first.touch()
                os.kill(os.getpid() if self.victim == "worker" else os.getppid(), signal.SIGKILL)
            log.write(json.dumps(keys) + "\n")


def dying(log, victim):
    """Let `sweep` open what it was asked for as one that dies."""
    return patch("ggez_hub.cli.sweep.AskedSweep", partial(Dying, log=log, victim=victim))


if __name__ == "__main__":
    with dying(Path(sys.argv[1]), "driver"):
        cli(sys.argv[2:])
