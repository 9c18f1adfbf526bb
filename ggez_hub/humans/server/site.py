"""The study that is served, and who sends a request."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request

from ggez_hub.humans.assignment import Shown, queue, training
from ggez_hub.humans.server.limits import RateLimiter, RaterLimits
from ggez_hub.humans.server.words import Speech, preferred, speech
from ggez_hub.humans.store import Rater, Store
from ggez_hub.humans.study import Output, Side, StudyItem, read_output, read_study


class Refusal(Exception):
    """A request that is refused: the status, and which of the page's words says why."""

    def __init__(self, status: int, word: str) -> None:
        super().__init__(word)
        self.status = status
        self.word = word


class Session:
    """A rater who sends a request.

    All that the browser gets to name things is signed with the invitation of the rater and means
    nothing to others; models, items and digests have no part in it.
    """

    def __init__(self, rater: Rater, token: str, study: str) -> None:
        self.rater = rater
        self._key = token.encode()
        self._study = study

    def sign(self, what: str) -> str:
        """A name for something of this rater and study."""
        text = f"{self._study} {what}".encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:32]

    def check(self, what: str, signature: str) -> None:
        """Raises Refusal if the signature is another one."""
        if not hmac.compare_digest(self.sign(what).encode(), signature.encode()):
            raise Refusal(403, "failed")

    @property
    def speech(self) -> Speech:
        return speech(self.rater.language)


class Site:
    """A study with its raters and outputs; `address` is the address of a proxy, if there is one."""

    def __init__(
        self, folder: Path, address: str | None = None, limits: RaterLimits | None = None
    ) -> None:
        self.study = read_study(folder)
        self.store = Store(folder)
        self.address = address
        self.limits = limits or RaterLimits()
        self._folder = folder
        self._limiter = RateLimiter(self.limits)
        self._queue = lru_cache(maxsize=256)(self._computed)

    @property
    def cookie(self) -> str:
        """The name of the cookie: studies on one machine do not share it."""
        return f"rater-{self.study.digest[:12]}"

    @property
    def hosts(self) -> frozenset[str]:
        """The names by which requests come."""
        own = {"127.0.0.1", "localhost", "[::1]"}
        name = urlsplit(self.address or "").hostname
        return frozenset({*own, f"[{name}]" if ":" in name else name} if name else own)

    def client(self, request: Request) -> str:
        """The address of whoever sends this; behind a proxy what it wrote last."""
        forwarded = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        if self.address and forwarded:
            return forwarded[:64]
        return request.client.host if request.client else "unknown"

    def enter(self, request: Request, token: str, cost: float = 1.0) -> Session:
        """The rater whose invitation this is; raises Refusal for an unknown one, or too many."""
        rater = self.store.rater(token) if token else None
        client = rater.id if rater else self.client(request)
        if not self._limiter.allows(client, cost if rater else 20.0):
            raise Refusal(429, "too_many")
        if rater is None:
            raise Refusal(403, "unknown_invitation" if token else "no_invitation")
        return Session(rater, token, self.study.digest)

    def session(self, request: Request, cost: float = 1.0) -> Session:
        """The rater who sends a request, by the cookie; raises Refusal."""
        return self.enter(request, request.cookies.get(self.cookie, ""), cost)

    def speech(self, request: Request) -> Speech:
        """The language of a page for whoever sends this."""
        token = request.cookies.get(self.cookie)
        rater = self.store.rater(token) if token else None
        if rater is not None:
            return speech(rater.language)
        return preferred(request.headers.get("accept-language", ""))

    def queue(self, rater: Rater) -> tuple[Shown, ...]:
        """What a rater judges, in order."""
        return self._queue(rater.side, rater.language, rater.number)

    def _computed(self, side: Side, language: str, number: int) -> tuple[Shown, ...]:
        return queue(self.study, side, language, number)

    def training(self, rater: Rater) -> tuple[Shown, ...]:
        """What a rater is trained with."""
        return training(self.study, rater.language)

    def item(self, shown: Shown) -> StudyItem:
        return self.study.by_item[shown.item]

    def read(self, output: Output) -> bytes:
        """The bytes of an output; raises GgezError if they are not those that were pinned."""
        return read_output(self._folder, output)
