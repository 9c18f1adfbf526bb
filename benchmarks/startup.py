"""How fast the command line starts, against importing click."""

from __future__ import annotations

import sys

from benchmarks.pairs import compare


def main() -> None:
    """`ggez-hub --help` and a light command against `python -c "import click"`."""
    click = [sys.executable, "-c", "import click"]
    hub = [sys.executable, "-m", "ggez_hub"]
    compare("ggez-hub --help / import click (aim 1.5)", [*hub, "--help"], click)
    compare("ggez-hub alpha th / import click", [*hub, "alpha", "th"], click)
