"""How much a client may ask for: of each rater, and of each address that is nobody's."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True)
class RaterLimits:
    """`burst` requests at once, then `rate` a second; sizes are in bytes.

    What is sent counts as five requests, an invitation that is not known as twenty.
    """

    rate: float = 10.0
    burst: float = 600.0
    form: int = 64 << 10


class RateLimiter:
    """A bucket for each client, refilled with time; of the clients longest unseen none is kept."""

    def __init__(self, limits: RaterLimits, clients: int = 10_000) -> None:
        self._limits = limits
        self._clients = clients
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def allows(self, client: str, cost: float = 1.0) -> bool:
        """Whether a client may have this; if so, it counts."""
        now = time.monotonic()
        with self._lock:
            left, seen = self._buckets.pop(client, (self._limits.burst, now))
            left = min(self._limits.burst, left + (now - seen) * self._limits.rate)
            allowed = left >= cost
            self._buckets[client] = (left - cost if allowed else left, now)
            if len(self._buckets) > self._clients:
                self._buckets.popitem(last=False)
        return allowed
