"""`doctor`: a check of the installation."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING

import click

from ggez_hub import __version__
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.errors import GgezError

if TYPE_CHECKING:
    from ggez_hub.automation.setup import SetupCheck
    from ggez_hub.installation import CheckResult


def print_checks(found: Sequence[CheckResult | SetupCheck], out: Output) -> None:
    """What was checked, and how to fix what is not an error."""
    rows = [(one.state, one.topic, one.name, one.found) for one in found]
    out.table(("state", "of", "what", "found"), rows, figures=False)
    out.line("")
    fixes: dict[str, list[str]] = {}
    for one in found:
        if one.fix and one.state in {"note", "unknown"}:
            fixes.setdefault(one.fix, []).append(one.name)
    out.lines(f"{', '.join(names)}: {fix}" for fix, names in fixes.items())


@click.command("doctor")
@click.option("--offline", is_flag=True, help="Do not ask whether the hub answers.")
@hub_option
@output_options
def doctor_command(offline: bool, hub: str, out: Output) -> None:
    """Check the installation, and report how to fix it.

    Python and libraries, the extras, devices, disks, the hub and whether it takes the token (whose
    value is never shown), and the hub on this machine. Exit code 1 if something is broken that the core needs; the answer of the
    hub is among that, unless --offline or HF_HUB_OFFLINE leaves it out.
    """
    from ggez_hub.installation.hub import hubs
    from ggez_hub.installation.libraries import packages
    from ggez_hub.installation.machine import devices, disks

    found = list(chain(packages(), devices(), disks(), hubs(ask=not offline, hub=hub)))
    broken = [finding for finding in found if finding.state == "broken"]
    print_checks(found, out)
    out.document(
        {
            "version": __version__,
            "platform": platform.platform(),
            "ok": not broken,
            "findings": [asdict(finding) for finding in found],
        }
    )
    if broken:
        raise GgezError(
            f"{', '.join(f'{one.topic}: {one.name}' for one in broken)}: broken, and the core needs it",
            "\n  ".join(f"{one.name}: {one.fix}" for one in broken),
        )
