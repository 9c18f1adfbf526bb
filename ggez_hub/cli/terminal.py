"""Text as a terminal may see it: names and prose come from strangers, and terminals obey some of it."""

from __future__ import annotations

import re

# Control characters but for tab and newline: an escape sequence moves the cursor, sets the title,
# writes to the clipboard. What turns the order of the text around it (Unicode UAX #9). And bytes of
# a file's name that are no text, which no stream takes.
COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    """The text with each character that a terminal would obey written out, as `\\x1b`."""
    return COMMANDS.sub(lambda found: _written_out(found[0]), text)


def plain_json(text: str) -> str:
    """A JSON document that says the same without such characters."""
    return COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _written_out(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
