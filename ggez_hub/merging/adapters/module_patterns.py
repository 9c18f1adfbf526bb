"""Options of an adapter that are given by patterns for the paths of modules, as PEFT reads them.

The patterns are a stranger's: RE2 matches them, and there is a limit on how many are tried.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ggez_hub.linear_patterns import BadPattern, compile_pattern
from ggez_hub.merging.deltas import BadAdapter

# Many times what adapters of large models have. Paths that are written out do not count.
MOST_PATTERNS = 10_000
MOST_TRIES = 4_000_000  # some 10 s


def by_pattern(config: Mapping[str, Any], name: str, module: str, default: Any, path: Path) -> Any:
    """The value of the first pattern in the option `name` that matches the end of a module's path.

    `default` if none does. Raises BadAdapter, which names `path`.
    """
    patterns = config.get(name) or {}
    try:
        found = _patterns(tuple(patterns)).first(module)
    except (BadPattern, UnicodeEncodeError) as error:
        raise BadAdapter(f"{path}: {name} holds no patterns: {error}") from error
    return default if found is None else patterns[found]


@lru_cache(maxsize=8)
def _patterns(patterns: tuple[str, ...]) -> _Patterns:
    return _Patterns(patterns)


class _Patterns:
    """Patterns in their order. Paths that are written out are looked up, the others are tried."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._patterns = patterns
        self._literal: dict[str, int] = {}
        self._tried: list[tuple[int, Any]] = []
        self._known: dict[str, str | None] = {}
        self._left = MOST_TRIES
        for number, pattern in enumerate(patterns):
            anchor = "^" if pattern.startswith("^") else ""
            path = re.sub(r"\\(.)", r"\1", pattern.removeprefix("^"), flags=re.DOTALL)
            if pattern == anchor + re.escape(path):
                self._literal.setdefault(anchor + path, number)
            else:
                # The expression of PEFT's get_pattern_key.
                if len(self._tried) == MOST_PATTERNS:
                    raise BadPattern(f"there are more than {MOST_PATTERNS:,} of them")
                self._tried.append((number, compile_pattern(rf"(.*\.)?({pattern})$")))

    def first(self, module: str) -> str | None:
        """The first pattern that matches; raises BadPattern after too many tries."""
        if module not in self._known:
            self._known[module] = self._first(module)
        return self._known[module]

    def _first(self, module: str) -> str | None:
        steps = module.split(".")
        ends = [".".join(steps[n:]) for n in range(len(steps))]
        written = [self._literal[end] for end in (f"^{module}", *ends) if end in self._literal]
        best = min(written, default=len(self._patterns))
        for number, expression in self._tried:
            if number > best:
                break
            if not self._left:
                raise BadPattern(f"more than {MOST_TRIES:,} of them are to be tried")
            self._left -= 1
            if expression.match(module):
                best = number
                break
        return self._patterns[best] if best < len(self._patterns) else None
