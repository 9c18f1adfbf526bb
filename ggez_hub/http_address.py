"""An http or https address, as people give it to a command."""

from __future__ import annotations

import re
from urllib.parse import urlsplit


def is_http(address: str) -> bool:
    """Whether this is an http or https address with a host, and a port that can be one."""
    try:
        parts = urlsplit(address)
        # The port is read when it is asked for: it may be none.
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return named and parts.scheme in {"http", "https"} and not re.search(r"\s", address)
