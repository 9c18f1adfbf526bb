r"""Regular expressions of strangers, matched by RE2: in time that grows with the text alone.

Python's engine tries every way to match: `(\w+)*$` takes years on forty letters. RE2 has neither
look-around nor back-references (https://github.com/google/re2/wiki/Syntax).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

LONGEST_PATTERN = 1000


class BadPattern(ValueError):
    """An expression is too long, or is not one of RE2's; the message says what is wrong."""


@lru_cache(maxsize=4096)
def compile_pattern(pattern: str | bytes) -> Any:
    """The compiled expression, which has `search`, `match` and `fullmatch` as those of `re`.

    They raise UnicodeEncodeError for what is not text; of bytes they match bytes. Raises BadPattern.
    """
    import re2

    if len(pattern) > LONGEST_PATTERN:
        raise BadPattern(f"{pattern[:40]!r}… has more than {LONGEST_PATTERN:,} letters")
    options = re2.Options()
    options.log_errors = False
    if isinstance(pattern, bytes):
        options.encoding = re2.Options.Encoding.LATIN1
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        problem = error.args[0]
        reason = (
            problem.decode(errors="replace") if isinstance(problem, bytes) else "it is not text"
        )
        raise BadPattern(
            f"{pattern!r} is not an expression of RE2: {reason}"
            " (it has neither look-around nor back-references)"
        ) from error
