"""Why a row is no example for a family; None where it is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def uncaptioned(row: Mapping[str, Any]) -> str | None:
    """For a family that learns from captions of pictures."""
    if row["format"] != "caption":
        return f"{row['format']}, not a caption"
    return "no picture" if row["image"] is None else None


def unanswered(row: Mapping[str, Any]) -> str | None:
    """For a family that learns to reply: a question without an answer says nothing."""
    messages = row["messages"]
    return None if messages and messages[-1]["role"] == "assistant" else "no reply"
