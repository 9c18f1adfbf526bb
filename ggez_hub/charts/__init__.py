"""How charts are drawn: the explorer's shell and the script of reports, built of `explorer/` by `make explorer`.

The scripts hold d3 and world-atlas; NOTICE.txt has their licences and the checksums of npm.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent
# A file of a page, and the file here that it is.
_SHELL = {
    "index.html": "index.html",
    "style.css": "style.css",
    "explorer.js": "explorer.js",
    "data/world.js": "world.js",
    "NOTICE.txt": "NOTICE.txt",
}


def site_files() -> dict[str, bytes]:
    """The files of an explorer beside its data, by their path in it."""
    return {path: (_FOLDER / name).read_bytes() for path, name in _SHELL.items()}


def report_script() -> str:
    """The script of a report, which draws the JSON in its element `contents`."""
    return (_FOLDER / "report.js").read_text(encoding="utf-8")


def style_sheet() -> str:
    """The look of explorer and reports."""
    return (_FOLDER / "style.css").read_text(encoding="utf-8")
