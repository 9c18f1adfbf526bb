"""`verify`: a pulled folder against its lock file."""

from __future__ import annotations

from pathlib import Path

import click

from ggez_hub.cli.output import Output, output_options


@click.command("verify", short_help="Check a pulled folder against its lock file.")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@output_options
def verify_command(folder: Path, out: Output) -> None:
    """Check a pulled folder against its lock file: every byte of every output is read."""
    from ggez_hub.registry.lock import LOCK_NAME, Differs, differences, read_lock

    lock = read_lock(folder / LOCK_NAME)
    found = differences(lock, folder, digests=True)
    out.document({"folder": str(folder), "ok": not found, "differences": found})
    if found:
        raise Differs(
            f"{folder} is not what its lock says:\n  " + "\n  ".join(found),
            f"Pull it again: ggez-hub pull --region {lock.resolution.region} --locked --lock "
            f"{folder / LOCK_NAME} -o ANOTHER_FOLDER",
        )
    out.line(f"{folder}: {len(lock.outputs)} files are what the lock says")
