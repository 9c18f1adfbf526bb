"""Addresses that carry their own permission, for transfers that come without a token."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Final, Literal

from ggez_hub.embedded.errors import PermissionDeniedError

Action = Literal["upload", "download"]

LIFETIME: Final = 3600


@dataclass(frozen=True, slots=True)
class Grant:
    """The permission to send one object into one repo, or to fetch it from there, until a moment."""

    action: Action
    repo: int
    oid: str
    size: int
    expires: int


class Signer:
    """Signs grants with a key of the store, and checks them."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def grant(self, action: Action, repo: int, oid: str, size: int) -> tuple[Grant, str]:
        """A new grant with its signature."""
        grant = Grant(action, repo, oid, size, int(time.time()) + LIFETIME)
        return grant, self._sign(grant)

    def check(self, grant: Grant, signature: str) -> None:
        """Accept a grant.

        Raises:
            PermissionDeniedError: the signature is not ours, or the time is over.
        """
        if not hmac.compare_digest(self._sign(grant).encode(), signature.encode()):
            raise PermissionDeniedError("The signature of this address is not valid")
        if grant.expires < time.time():
            raise PermissionDeniedError("This address has expired")

    def _sign(self, grant: Grant) -> str:
        text = f"{grant.action}\n{grant.repo}\n{grant.oid}\n{grant.size}\n{grant.expires}"
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
