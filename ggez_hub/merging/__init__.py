"""Merging local folders through mergekit, exactly. It knows no Hub."""

from ggez_hub.atomic_files import OutputExists
from ggez_hub.merging.deltas import BadAdapter, WrongBase
from ggez_hub.merging.forms import write_adapter
from ggez_hub.merging.merge import Adapter, MergeReport, merge, merge_into
from ggez_hub.merging.side_files import NoSpace

__all__ = [
    "Adapter",
    "BadAdapter",
    "MergeReport",
    "NoSpace",
    "OutputExists",
    "WrongBase",
    "merge",
    "merge_into",
    "write_adapter",
]
