"""`ci doctor`, `release-check`: the registry itself, and its program."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ggez_hub.cli.ci.workflow import clone_option, summary
from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import FOLDER


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
