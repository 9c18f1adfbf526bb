"""`ci doctor`, `release-check`: the registry itself, and its program."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from ggez_hub.automation.setup.secrets import PURPOSES
from ggez_hub.cli.ci.workflow import clone_option, summary
from ggez_hub.cli.doctor import print_checks
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import FOLDER
from ggez_hub.errors import GgezError
from ggez_hub.hub_connection import connect


@click.command("release-check")
@click.argument("tag")
@clone_option
@click.option("--dist", type=FOLDER, help="The wheel and the source distribution that were built.")
@output_options
def release_check_command(tag: str, repository: Path, dist: Path | None, out: Output) -> None:
    """Check that versions, changelog and what was built are those of TAG (v1.2.0).

    The tag is `v` and the version in pyproject.toml, which __version__ repeats; the changelog begins
    with a section of that version, with its date. Exits with 1 and everything that does not agree.
    """
    from ggez_hub.automation.release import check_release

    release = check_release(repository, tag, dist)
    out.line(
        f"{release.name} {release.version} of {release.date}: tag, versions and changelog agree"
    )
    summary(f"## {release.name} {release.version} ({release.date})\n\n{release.notes}\n")
    out.document(asdict(release))


@click.command("doctor")
@clone_option
@click.option(
    "--secret",
    type=click.Choice([name for name, purpose in PURPOSES.items() if purpose.on_hub]),
    default="HF_TOKEN",
    show_default=True,
    help="The secret of the workflows for which the token at hand is meant.",
)
@hub_option
@output_options
def ci_doctor_command(repository: Path, secret: str, hub: str, out: Output) -> None:
    """Check a registry: its checkout, its settings on GitHub, its hub; what is missing, and the fix.

    GITHUB_TOKEN is used to ask GitHub, and HF_TOKEN (or `hf auth login`) to ask the hub; what cannot
    be asked is unknown. Changes nothing. Exits with 1 if something is missing.
    """
    from ggez_hub.automation.github import GitHub
    from ggez_hub.automation.setup.checkout import budget_of, checkout_checks, github_name
    from ggez_hub.automation.setup.github_settings import github_checks, unasked
    from ggez_hub.automation.setup.hub import hub_checks

    found = list(checkout_checks(repository))
    name, token = github_name(repository), os.environ.get("GITHUB_TOKEN")
    if name and token:
        found += github_checks(GitHub.at(name, token), repository)
    else:
        found += unasked(name)
    option = "" if hub == "hf" else f" --hub {hub}"
    with connect(hub, quiet=True) as server:
        found += hub_checks(server, budget_of(repository), secret, option)
    missing = [one for one in found if one.state == "missing"]
    print_checks(found, out)
    out.document({"ok": not missing, "github": name, "checks": [asdict(one) for one in found]})
    if missing:
        raise GgezError(
            f"missing: {', '.join(one.name for one in missing)}",
            "\n  ".join(f"{one.name}: {one.fix}" for one in missing),
        )
