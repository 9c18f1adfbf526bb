"""The losses of a run on trackio's dashboard, if the recipe names a project for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TypeAlias

from ggez_hub.extras import require
from ggez_hub.training.loop import Report

Told: TypeAlias = Callable[[str, Report], None]
# A run is called by so much of its digest.
NAME = 16


@contextmanager
def tracked(project: str | None, digest: str, did: Told) -> Iterator[Told]:
    """`did`, which tells trackio too; raises MissingExtra where that is not installed."""
    if project is None:
        yield did
        return
    require("trackio", "trackio")
    import trackio

    def told(stage: str, report: Report) -> None:
        values = {
            "loss": report.loss,
            "learning_rate": report.rate,
            "validation": report.validation,
        }
        known = {f"{stage}/{key}": value for key, value in values.items() if value is not None}
        trackio.log(known, step=report.step)
        did(stage, report)

    # It prints what it does; the answer alone goes to stdout.
    with redirect_stdout(sys.stderr):
        # What goes on after a kill is the same run there too.
        trackio.init(project=project, name=digest[:NAME], resume="allow", config={"digest": digest})
        try:
            yield told
        finally:
            trackio.finish()
