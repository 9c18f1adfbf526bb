"""The page: one HTML file that fetches nothing and opens without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ggez_hub.finite import finite

TEMPLATE = Path(__file__).with_name("page.html")
PLACE = "__CONTENTS__"


def page(contents: dict[str, Any]) -> str:
    """The HTML of a report.

    Contents stand there as JSON and reach the page as text, never as markup: names come from
    strangers' cards. A policy in the page forbids it to load anything.
    """
    data = json.dumps(finite(contents), ensure_ascii=False, allow_nan=False)
    # Inside <script> only these could end it or begin a comment.
    for character in "<>&\u2028\u2029":
        data = data.replace(character, f"\\u{ord(character):04x}")
    return TEMPLATE.read_text(encoding="utf-8").replace(PLACE, data)
