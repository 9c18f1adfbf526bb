"""UnifiedReward's point score from an OpenAI-compatible endpoint."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.data.chat import ChatEndpoint
from ggez_hub.data.scorers.base import Scored
from ggez_hub.data.scorers.prompt import asked, final_score
from ggez_hub.data.scorers.spec import EndpointScorer

# What servers read for certain; other formats are sent as PNG.
SENT = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png"}


@dataclass(frozen=True)
class EndpointScore:
    """The scores of a served model; None where the answer has none."""

    endpoint: ChatEndpoint
    name: str
    languages: frozenset[str]

    @classmethod
    def of(cls, spec: EndpointScorer, base: Path) -> EndpointScore:
        """The scorer of a spec; nothing is sent yet."""
        del base
        name = f"UnifiedReward {spec.model} (endpoint)"
        return cls(ChatEndpoint.of(spec), name, frozenset(spec.languages))

    def score(self, rows: Sequence[Scored]) -> list[float | None]:
        scores: list[float | None] = [None] * len(rows)
        places = [place for place, row in enumerate(rows) if row["image"]]
        chats = [[_message(rows[place])] for place in places]
        for place, answer in zip(places, self.endpoint.ask(chats), strict=True):
            scores[place] = final_score(answer)
        return scores


def _message(row: Scored) -> dict[str, Any]:
    content = [
        {"type": "image_url", "image_url": {"url": data_url(row["image"]["bytes"])}},
        {"type": "text", "text": asked(row["text"])},
    ]
    return {"role": "user", "content": content}


def data_url(content: bytes) -> str:
    """A picture as the address of its own bytes, JPEG or PNG."""
    kind = next((name for magic, name in SENT.items() if content.startswith(magic)), None)
    if kind is None:
        from io import BytesIO

        from ggez_hub.data.pictures import opened

        buffer = BytesIO()
        opened(content).convert("RGB").save(buffer, "PNG")
        kind, content = "png", buffer.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
