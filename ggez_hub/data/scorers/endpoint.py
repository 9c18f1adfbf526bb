"""UnifiedReward's point score from an OpenAI-compatible endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.chat import ChatEndpoint, about_picture
from ggez_hub.data.scorers.base import Scored
from ggez_hub.data.scorers.prompt import asked, final_score
from ggez_hub.data.scorers.spec import EndpointScorer


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
        chats = [
            about_picture(rows[place]["image"]["bytes"], asked(rows[place]["text"]))
            for place in places
        ]
        for place, answer in zip(places, self.endpoint.ask(chats), strict=True):
            scores[place] = final_score(answer)
        return scores
