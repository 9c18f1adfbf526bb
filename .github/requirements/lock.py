"""Locked requirements with hashes, for jobs that hold a token: `lock.py REPORT` prints the file.

REPORT is what `pip install --dry-run --report` wrote. pip takes no other file than those of the hashes,
whatever an index offers. They are wheels for CPython 3.11 on x86-64 Linux, where these jobs run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HEAD = "# Written by `make lock`: what a job with a token installs, by `pip --require-hashes`.\n"


def main(report: Path) -> None:
    """Print the requirements of a report, sorted, without the project itself."""
    lines = []
    for item in json.loads(report.read_text())["install"]:
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        found = item["download_info"]
        if name == "ggez-hub":
            continue
        if not found["url"].endswith(".whl"):
            sys.exit(f"{name} {version} has no wheel: its installation would run code")
        digest = found["archive_info"]["hashes"]["sha256"]
        lines.append(f"{name}=={version} --hash=sha256:{digest}\n")
    sys.stdout.write(HEAD + "".join(sorted(lines, key=str.lower)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
