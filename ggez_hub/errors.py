"""The exceptions of ggez-hub, all of them meant for the reader of the message.

GgezError                  could not be done (exit code 1)
  UsageProblem             the request itself is wrong (exit code 2)
    UnknownRegion          no such region; `near` lists ids that are close
  MissingExtra             an optional dependency is not installed
  GateFailed               a gate was not passed (exit code 3)

Packages define their own subclasses beside the code that raises them.
"""

from __future__ import annotations

import copyreg
from typing import Any


class GgezError(Exception):
    """Something could not be done. `message` says what, `hint` says the way out."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        # Subclasses have parameters of their own; another process gets the error as it is.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class UsageProblem(GgezError):
    """The request is wrong as it was made; nothing was tried."""

    exit_code = 2


class MissingExtra(GgezError):
    """A library of an extra is needed and absent."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(
            f"this needs {library}, which is not installed",
            f"pip install 'ggez-hub[{extra}]'",
        )


class GateFailed(GgezError):
    """A gate was evaluated and not passed."""

    exit_code = 3


def first_line(problem: BaseException) -> str:
    """What an error says, in one line."""
    said = problem.message if isinstance(problem, GgezError) else str(problem)
    return said.strip().partition("\n")[0] or type(problem).__name__
