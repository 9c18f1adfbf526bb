"""Translation by a chat model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ggez_hub.chat import ChatEndpoint
from ggez_hub.data.translation.spec import Endpoint
from ggez_hub.regions.names import language_name, registered_name

PROMPT = (
    "Translate the text from {source} into {target}. Keep names of people, places and dishes "
    "recognisable, and keep line breaks and option letters as they are. Answer with the "
    "translation alone.\n\n{text}"
)


@dataclass(frozen=True)
class EndpointTranslator:
    """A served chat model."""

    endpoint: ChatEndpoint
    name: str

    @classmethod
    def of(cls, spec: Endpoint) -> EndpointTranslator:
        """The translator of a spec; nothing is sent yet."""
        return cls(ChatEndpoint.of(spec), f"{spec.model} (endpoint)")

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """The translation of each text, None of one that was cut; raises EndpointFailed."""
        names = {"{source}": _named(source), "{target}": _named(target)}
        prompt = PROMPT
        for place, name in names.items():
            prompt = prompt.replace(place, name)
        chats = [[{"role": "user", "content": prompt.replace("{text}", text)}] for text in texts]
        answers = self.endpoint.complete(chats)
        return [None if answer.cut else answer.text.strip() for answer in answers]


def _named(tag: str) -> str:
    return f"{language_name(tag) or registered_name(tag)} ({tag})"
