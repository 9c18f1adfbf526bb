"""Rows of a source, in parts of fixed extent: the parts do not depend on who reads them.

What is local is read row by row, so that a broken line, a missing file or a wrong type costs that
row alone; what is on the Hub is streamed by `datasets`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ggez_hub.data.sources.base import BadSource, Extent, Reader, SourceRow
from ggez_hub.data.sources.hub import HubReader
from ggez_hub.data.sources.imagefolder import ImageFolder
from ggez_hub.data.sources.jsonl import JsonLines
from ggez_hub.data.sources.parquet import Parquet
from ggez_hub.data.sources.webdataset import WebDataset
from ggez_hub.data.spec import SourceSpec

__all__ = ["BadSource", "Extent", "Reader", "SourceRow", "open_source"]

READERS: dict[str, Callable[[SourceSpec, Path], Reader]] = {
    "hub": HubReader,
    "parquet": Parquet,
    "jsonl": JsonLines,
    "webdataset": WebDataset,
    "imagefolder": ImageFolder,
}


def open_source(source: SourceSpec, folder: Path) -> Reader:
    """The reader of a source whose relative paths start from `folder`; raises BadSource."""
    return READERS[source.place](source, folder)
