"""What flows through the stages: an example, made of a row of a source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

UNKNOWN = "unknown"


@dataclass(slots=True)
class Example:
    """A picture with a text.

    id        source/row/view; as unique in the output as the source's own ids are
    picture   the cell of the source: bytes and path, or a path; None without a picture
    messages  (role, text) of a chat; a caption is one message of the assistant
    language  BCP 47, country ISO 3166-1 in lower case, or `unknown`
    scores    numbers of the source that are carried along
    """

    id: str
    source: str
    format: str
    messages: tuple[tuple[str, str], ...]
    picture: Any = None
    language: str = UNKNOWN
    country: str = UNKNOWN
    location: str = ""
    path: str = ""
    category: str = UNKNOWN
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The texts of all messages."""
        if len(self.messages) == 1:
            return self.messages[0][1]
        return "\n".join(text for _, text in self.messages)
