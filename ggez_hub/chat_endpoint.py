"""A chat model behind an OpenAI-compatible endpoint, as vLLM serves it."""

from __future__ import annotations

import base64
import io
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.images import needs_rotation, to_rgb

ATTEMPTS = 4
FIRST_WAIT = 0.5  # seconds; doubled each time
LONGEST_WAIT = 60.0  # seconds; a server that asks for more is not waited for
TIMEOUT = 300.0
# A server that is busy or starting says so; anything else does not get better by asking again.
AGAIN = {408, 409, 425, 429, 500, 502, 503, 504}
# What servers read for certain; other formats are sent as PNG.
SENT = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png"}

Chat: TypeAlias = list[dict[str, Any]]


class EndpointFailed(GgezError):
    """The endpoint did not answer, or refused; `status` is what it answered with, if it did."""

    def __init__(self, message: str, hint: str = "", status: int | None = None) -> None:
        super().__init__(message, hint)
        self.status = status


@dataclass(frozen=True)
class Completion:
    """An answer; `first` are the likeliest first tokens with their log-probabilities, if asked for.

    None where the server gives none. `cut` says that the answer had to end before it was whole.
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

    def ask(self, chats: Sequence[Chat]) -> list[str]:
        """The answer to each chat; raises EndpointFailed."""
        return [completion.text for completion in self.complete(chats)]

    def complete(
        self, chats: Sequence[Chat], *, new_tokens: int | None = None, top: int = 0
    ) -> Iterator[Completion]:
        """The answer to each chat, and if `top` is above 0 its likeliest first tokens.

        One after the other, while the next are asked already. Raises EndpointFailed.
        """
        early: dict[int, Completion] = {}
        following = 0
        for number, completion in self.as_they_come(chats, new_tokens=new_tokens, top=top):
            early[number] = completion
            while following in early:
                yield early.pop(following)
                following += 1

    def as_they_come(
        self, chats: Sequence[Chat], *, new_tokens: int | None = None, top: int = 0
    ) -> Iterator[tuple[int, Completion]]:
        """The same with the number of the chat, each as soon as it is there; raises EndpointFailed."""
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

            # The next one is asked when an answer was taken: no more than these are ever lost.
            ask(self.parallel)
            while asked:
                for future in wait(asked, return_when=FIRST_COMPLETED).done:
                    yield asked.pop(future), future.result()
                    ask(1)

    def _answer(self, client: Any, body: dict[str, Any]) -> Completion:
        said = self._post(client, body)
        try:
            choice = said["choices"][0]
            content = choice["message"]["content"]
        except (KeyError, IndexError, TypeError) as error:
            raise EndpointFailed(f"{self.url} answered with something else than a chat") from error
        return Completion(
            content if isinstance(content, str) else "",
            _first_tokens(choice),
            choice.get("finish_reason") == "length",
        )

    def _post(self, client: Any, body: dict[str, Any]) -> Any:
        import httpx2

        problem, status, asked = "", None, ""
        for attempt in range(ATTEMPTS):
            if attempt:
                wait = float(asked) if asked.isdecimal() else FIRST_WAIT * 2 ** (attempt - 1)
                if wait > LONGEST_WAIT:
                    break
                time.sleep(wait)
            try:
                answer = client.post(f"{self.url}/chat/completions", json=body)
            except httpx2.TransportError as error:
                problem, status, asked = type(error).__name__, None, ""
                continue
            status, asked = answer.status_code, answer.headers.get("Retry-After", "")
            if status == 200:
                try:
                    return answer.json()
                except ValueError as error:
                    raise EndpointFailed(f"{self.url} answered with no JSON") from error
            problem = f"HTTP {status}: {self._without_key(answer.text.strip())[:200]}"
            if status not in AGAIN:
                break
        raise EndpointFailed(
            f"{self.url} gave no answer: {problem}",
            "Run it again when the endpoint answers: what was done is kept.",
            status,
        )

    def _without_key(self, text: str) -> str:
        """What a server says, which may be what it was told."""
        return text.replace(self.key, "...") if self.key else text


def key_in(variable: str | None) -> str | None:
    """The key that an environment variable holds; raises UsageProblem if it is not set."""
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise UsageProblem(f"the environment variable {variable} with the key is not set")
    return key


def about_picture(picture: bytes, text: str) -> Chat:
    """A chat of one message: a picture, and what is asked about it."""
    content = [
        {"type": "image_url", "image_url": {"url": data_url(picture)}},
        {"type": "text", "text": text},
    ]
    return [{"role": "user", "content": content}]


def data_url(content: bytes) -> str:
    """A picture as the address of its own bytes, JPEG or PNG; one that lies is turned."""
    kind = next((name for magic, name in SENT.items() if content.startswith(magic)), None)
    if kind is None or needs_rotation(content):
        buffer = io.BytesIO()
        to_rgb(content).save(buffer, "PNG")
        kind, content = "png", buffer.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _first_tokens(choice: Mapping[str, Any]) -> dict[str, float] | None:
    try:
        listed = choice["logprobs"]["content"][0]["top_logprobs"]
        return {str(entry["token"]): float(entry["logprob"]) for entry in listed} or None
    except (KeyError, IndexError, TypeError, ValueError):
        return None
