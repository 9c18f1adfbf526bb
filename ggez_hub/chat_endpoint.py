"""A chat model behind an OpenAI-compatible endpoint, as vLLM serves it."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.images import encode_png, needs_rotation, to_rgb
from ggez_hub.retry import with_retries

FIRST_WAIT = 0.5  # seconds; doubled each time
TIMEOUT = 300.0
# Formats that every server reads; others are sent as PNG.
SENT = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png"}

Chat: TypeAlias = list[dict[str, Any]]


class EndpointFailed(GgezError):
    """The endpoint did not answer, or refused; `status` is that of its answer, if there was one."""

    def __init__(self, message: str, hint: str = "", status: int | None = None) -> None:
        super().__init__(message, hint)
        self.status = status


@dataclass(frozen=True)
class Completion:
    """An answer; `first` are the likeliest first tokens with their log-probabilities, if asked for.

    None where the server gives none. `cut`: the answer was longer than it may be.
    """

    text: str
    first: Mapping[str, float] | None = None
    cut: bool = False


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
        key = key_in(spec.key_variable)
        return cls(spec.url.rstrip("/"), spec.model, spec.parallel, spec.new_tokens, key)

    def complete(self, chats: Sequence[Chat], *, top: int = 0) -> list[Completion]:
        """The answer to each chat, and if `top` is above 0 its likeliest first tokens.

        Raises EndpointFailed.
        """
        found = dict(self.as_they_come(chats, top=top))
        return [found[number] for number in range(len(chats))]

    def as_they_come(
        self, chats: Sequence[Chat], *, new_tokens: int | None = None, top: int = 0
    ) -> Iterator[tuple[int, Completion]]:
        import httpx2

        body = {
            "model": self.model,
            "temperature": 0,
            "max_tokens": self.new_tokens if new_tokens is None else new_tokens,
            **({"logprobs": True, "top_logprobs": top} if top else {}),
        }
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        with (
            httpx2.Client(headers=headers, timeout=TIMEOUT) as client,
            ThreadPoolExecutor(self.parallel) as pool,
        ):
            following = enumerate(chats)
            asked: dict[Future[Completion], int] = {}

            def ask(count: int) -> None:
                for number, chat in islice(following, count):
                    own = {**body, "messages": chat}
                    asked[pool.submit(self._answer, client, own)] = number

            # The next one is asked when an answer was taken: no more than these can be lost.
            ask(self.parallel)
            while asked:
                for future in wait(asked, return_when=FIRST_COMPLETED).done:
                    yield asked.pop(future), future.result()
                    ask(1)

    def _answer(self, client: Any, body: dict[str, Any]) -> Completion:
        answer = self._post(client, body)
        try:
            choice = answer["choices"][0]
            content = choice["message"]["content"]
        except (KeyError, IndexError, TypeError) as error:
            raise EndpointFailed(f"{self.url} did not answer with a chat") from error
        return Completion(
            content if isinstance(content, str) else "",
            _first_tokens(choice),
            choice.get("finish_reason") == "length",
        )

    def _post(self, client: Any, body: dict[str, Any]) -> Any:
        import httpx2

        def post() -> Any:
            # Redirects are errors too: the key goes to no other address.
            return client.post(f"{self.url}/chat/completions", json=body).raise_for_status()

        status = None
        try:
            return with_retries(post, first_wait=FIRST_WAIT, retry_refused=True).json()
        except httpx2.HTTPStatusError as error:
            status = error.response.status_code
            said = error.response.text.strip()
            # A server may repeat what it was sent.
            problem = f"HTTP {status}: {said.replace(self.key, '...') if self.key else said}"[:210]
        except httpx2.TransportError as error:
            problem = type(error).__name__
        except ValueError as error:
            raise EndpointFailed(f"{self.url} did not answer with JSON") from error
        raise EndpointFailed(
            f"{self.url} gave no answer: {problem}",
            "Run it again when the endpoint answers: finished answers are kept.",
            status,
        )


def key_in(variable: str | None) -> str | None:
    """The key that an environment variable holds; raises UsageProblem if it is not set."""
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise UsageProblem(f"the environment variable {variable} with the key is not set")
    return key


def about_picture(picture: bytes, text: str) -> Chat:
    """A chat of one message: a picture, if there is one, and a question about it."""
    shown = [{"type": "image_url", "image_url": {"url": data_url(picture)}}] if picture else []
    return [{"role": "user", "content": [*shown, {"type": "text", "text": text}]}]


def data_url(content: bytes) -> str:
    """A picture as a data URL, JPEG or PNG, upright."""
    kind = next((name for magic, name in SENT.items() if content.startswith(magic)), None)
    if kind is None or needs_rotation(content):
        kind, content = "png", encode_png(to_rgb(content))
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _first_tokens(choice: Mapping[str, Any]) -> dict[str, float] | None:
    try:
        listed = choice["logprobs"]["content"][0]["top_logprobs"]
        return {str(entry["token"]): float(entry["logprob"]) for entry in listed} or None
    except (KeyError, IndexError, TypeError, ValueError):
        return None
