"""A filter that can be run on a few rows."""

from __future__ import annotations

import pytest

from ggez_hub.data.pipeline import run_filter
from ggez_hub.execution import Engine

from .corpora import rows_of, spec


@pytest.fixture
def filtered(tmp_path):
    """A function that runs a spec over sources in `tmp_path`: (report, rows of the output)."""
    runs = []

    def run(sources, *, workers=1, strict=False, **keys):
        out = tmp_path / f"out-{len(runs)}"
        runs.append(out)
        report = run_filter(
            spec(sources, **keys), tmp_path, out, engine=Engine("local", workers), strict=strict
        )
        return report, rows_of(out)

    return run
