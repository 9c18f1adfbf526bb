"""The page that shows a report's contents offline."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from ggez_hub.charts import report_script, style_sheet
from ggez_hub.digests import finite

TEMPLATE = Path(__file__).with_name("page.html")


def page(contents: dict[str, Any]) -> str:
    """The HTML of a report.

    Contents stand there as JSON and reach the page as text, never as markup: names come from
    strangers' cards. A policy in the page forbids it to load anything, and to run another script.
    """
    data = json.dumps(finite(contents), ensure_ascii=False, allow_nan=False)
    # Inside <script> only these could end it or begin a comment.
    for character in "<>&\u2028\u2029":
        data = data.replace(character, f"\\u{ord(character):04x}")
    script, style = report_script(), style_sheet()
    found = {
        "__STYLE_DIGEST__": _csp_digest(style),
        "__SCRIPT_DIGEST__": _csp_digest(script),
        "__STYLE__": style,
        "__SCRIPT__": script,
        "__CONTENTS__": data,
    }
    # In one pass: contents may hold the name of a place.
    return re.sub("|".join(found), lambda name: found[name[0]], TEMPLATE.read_text("utf-8"))


def _csp_digest(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"sha256-{digest}"
