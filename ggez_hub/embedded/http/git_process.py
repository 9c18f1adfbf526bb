"""git itself where it is installed: it serves clones many times faster, partial ones and protocol 2 too."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final, cast

_PROTOCOL: Final = re.compile(r"version=[012]")
# A repository's own settings decide nothing that a caller could have written: there are none.
_SETTINGS: Final = (
    "safe.directory=*",
    "uploadpack.allowFilter=true",
    "uploadpack.allowReachableSHA1InWant=true",
)


@cache
def find_git() -> str | None:
    """The path of git, or None."""
    return shutil.which("git")


@contextmanager
def upload_pack(
    git: str, folder: Path, protocol: str, wanted: bytes, *options: str
) -> Iterator[IO[bytes]]:
    """What `git upload-pack` answers to a request; `protocol` is the header Git-Protocol.

    Raises ValueError at the end if git refuses the request.
    """
    settings = [part for setting in _SETTINGS for part in ("-c", setting)]
    environment = {"PATH": os.defpath, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    if _PROTOCOL.fullmatch(protocol):
        environment["GIT_PROTOCOL"] = protocol
    with TemporaryFile() as file:
        file.write(wanted)
        file.seek(0)
        with subprocess.Popen(
            [git, *settings, "upload-pack", "--stateless-rpc", *options, str(folder)],
            env=environment,
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield cast(IO[bytes], process.stdout)
                if process.wait():
                    raise ValueError("git does not understand it")
            finally:
                process.kill()
