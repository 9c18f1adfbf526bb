"""A chat model behind an OpenAI-compatible endpoint, as vLLM serves it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ggez_hub.data.extras import require
from ggez_hub.errors import GgezError, UsageProblem

ATTEMPTS = 4
FIRST_WAIT = 0.5
TIMEOUT = 300.0
# A server that is busy or starting says so; anything else does not get better by asking again.
AGAIN = {408, 409, 425, 429, 500, 502, 503, 504}


class EndpointFailed(GgezError):
    """The endpoint did not answer, or refused."""


@dataclass(frozen=True)
class ChatEndpoint:
    """Asks for answers at temperature 0, several at a time.

    The key goes to `url` and nowhere else: redirects are not followed. It is in no message.
    """

    url: str
    model: str
    parallel: int
    new_tokens: int
    key: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, spec: Any) -> ChatEndpoint:
        """The endpoint of a spec with url, model, key_variable, parallel and new_tokens.

        Raises UsageProblem if the variable with the key is not set.
        """
        key = None
        if spec.key_variable is not None:
            key = os.environ.get(spec.key_variable)
            if not key:
                raise UsageProblem(
                    f"the environment variable {spec.key_variable} with the key is not set"
                )
        return cls(spec.url.rstrip("/"), spec.model, spec.parallel, spec.new_tokens, key)

    def ask(self, chats: Sequence[list[dict[str, Any]]]) -> list[str]:
        """The answer to each chat; raises EndpointFailed."""
        require("httpx2")
        import httpx2

        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        with (
            httpx2.Client(headers=headers, timeout=TIMEOUT) as client,
            ThreadPoolExecutor(self.parallel) as pool,
        ):
            return list(pool.map(lambda chat: self._answer(client, chat), chats))

    def _answer(self, client: Any, chat: list[dict[str, Any]]) -> str:
        body = {
            "model": self.model,
            "messages": chat,
            "temperature": 0,
            "max_tokens": self.new_tokens,
        }
        said = self._post(client, body)
        try:
            content = said["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError) as error:
            raise EndpointFailed(f"{self.url} answered with something else than a chat") from error
        return content if isinstance(content, str) else ""

    def _post(self, client: Any, body: dict[str, Any]) -> Any:
        import httpx2

        problem = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(FIRST_WAIT * 2 ** (attempt - 1))
            try:
                answer = client.post(f"{self.url}/chat/completions", json=body)
            except httpx2.TransportError as error:
                problem = type(error).__name__
                continue
            if answer.status_code == 200:
                try:
                    return answer.json()
                except ValueError as error:
                    raise EndpointFailed(f"{self.url} answered with no JSON") from error
            problem = f"HTTP {answer.status_code}: {answer.text.strip()[:200]}"
            if answer.status_code not in AGAIN:
                break
        raise EndpointFailed(
            f"{self.url} gave no answer: {problem}",
            "Run it again when the endpoint answers: what was done is kept.",
        )
