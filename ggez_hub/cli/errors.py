"""The one map from exceptions to what the user reads. Commands do not catch."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from typing import IO, Any

import click

from ggez_hub.cli.output import plain
from ggez_hub.errors import GgezError
from ggez_hub.urls import is_http


class Explained(click.ClickException):
    """A failure as the user meets it: what happened, and the way out."""

    exit_code: int  # type: ignore[misc]

    def __init__(self, message: str, hint: str = "", exit_code: int = 1) -> None:
        super().__init__(message)
        self.hint = hint
        self.exit_code = exit_code

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(plain(f"error: {self.message}"), err=True, file=file)
        if self.hint:
            click.echo(plain(f"  {self.hint}"), err=True, file=file)


def wants_traceback(ctx: click.Context) -> bool:
    """Whether the command that is running was given --debug."""
    return bool(ctx.meta.get("ggez_hub.debug"))


def explained(error: BaseException) -> Explained:
    """The message for `error`; an error that is not expected here asks for a report."""
    if isinstance(error, GgezError):
        return Explained(error.message, error.hint, error.exit_code)
    endpoint = os.environ.get("HF_ENDPOINT")
    if endpoint and not is_http(endpoint):
        # With some of these huggingface_hub itself cannot be imported.
        return Explained(
            f"HF_ENDPOINT is {endpoint!r}, which is no http address", "Unset it, or mend it.", 2
        )
    for kind in type(error).__mro__:
        name = f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
        if name in FOREIGN:
            return FOREIGN[name](error)
    return Explained(
        f"{type(error).__name__}: {error}",
        "This should have been a clearer message: run it again with --debug and report it.",
    )


WAYS_OUT = {
    errno.EACCES: "Change who may read or write it, or choose another place.",
    errno.EPERM: "Change who may read or write it, or choose another place.",
    errno.EROFS: "Choose a place on a disk that can be written.",
    errno.EISDIR: "Name a file, not a folder.",
    errno.ENOTDIR: "Name a folder, not a file.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ELOOP: "The link leads to itself: remove it.",
}


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _os_error(error: BaseException) -> Explained:
    assert isinstance(error, OSError)  # noqa: S101 - the table below sends only these here
    where = f": {error.filename}" if error.filename else ""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        why = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        return Explained(f"no room to write: {why}{where}", "Free some space and run it again.")
    hint = WAYS_OUT.get(error.errno or 0, "")
    return Explained(f"{error.strerror or _first_line(error)}{where}", hint)


def _database(error: BaseException) -> Explained:
    return Explained(
        f"SQLite: {_first_line(error)}",
        "Check that its folder is there, that it can be written, and that the disk is not full.",
    )


def _unreachable(error: BaseException) -> Explained:
    return Explained(
        f"the hub could not be reached: {_first_line(error)}",
        "Check the address given with --hub and the network, then run it again: "
        "what was already downloaded is kept.",
    )


def _gated(error: BaseException) -> Explained:
    return Explained(
        f"access to this repository is restricted: {_first_line(error)}",
        "Accept its licence on its page while signed in, then set HF_TOKEN or run `hf auth login`.",
    )


def _repo_missing(error: BaseException) -> Explained:
    repo = getattr(error, "repo_id", None)
    which = f"the repository {repo}" if repo else "the repository"
    return Explained(
        f"{which} does not exist, or is private: {_first_line(error)}",
        "Check its name; for a private one set HF_TOKEN or run `hf auth login`.",
    )


def _hub_answer(error: BaseException) -> Explained:
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if status in {408, 429} or status >= 500:
        return Explained(
            f"the hub is busy or out of order: {_first_line(error)}",
            "Run it again in a while: what was already downloaded is kept.",
        )
    return Explained(f"the hub refused: {_first_line(error)}")


def _unwritable(error: BaseException) -> Explained:
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101 - the table below sends only these here
    return Explained(
        f"{error.object[:80]!r} is no text: it holds bytes that are no UTF-8",
        "Check what was typed or pasted, and the names of the files.",
    )


def _weight_file(error: BaseException) -> Explained:
    # It says in words what the system said: the number of an error is all that is left of it.
    if number := re.search(r"os error (\d+)", str(error)):
        code = int(number[1])
        return _os_error(OSError(code, os.strerror(code)))
    return Explained(
        f"a file of weights cannot be read or written: {_first_line(error)}",
        "If it came from a hub, remove it and fetch it again.",
    )


def _no_repo_name(error: BaseException) -> Explained:
    return Explained(
        f"no such name of a repository: {_first_line(error)}", "A repository is named org/name.", 2
    )


def _offline(error: BaseException) -> Explained:
    return Explained(
        f"this needs the network and HF_HUB_OFFLINE is set: {_first_line(error)}",
        "Unset HF_HUB_OFFLINE, or pull once with a network: what was fetched serves offline.",
    )


def _embedded(error: BaseException) -> Explained:
    return Explained(
        f"the embedded hub: {error}", "Run it again; if it stays, remove its folder in the cache."
    )


def _github(error: BaseException) -> Explained:
    status, data = getattr(error, "status", 0), getattr(error, "data", None)
    said = data.get("message") if isinstance(data, dict) else None
    if status in {401, 403}:
        return Explained(
            f"GitHub refused: {said or status}",
            "The run's token needs the permissions that the job of this step declares.",
        )
    return Explained(f"GitHub answered {status}: {said or _first_line(error)}")


# By the top package and name of the class, so that nothing heavy is imported to print an error.
FOREIGN: dict[str, Callable[[BaseException], Explained]] = {
    # The embedded hub imports nothing else of ours, our errors included.
    "ggez_hub.SessionError": _embedded,
    "ggez_hub.HubError": _embedded,
    "huggingface_hub.OfflineModeIsEnabled": _offline,
    "huggingface_hub.GatedRepoError": _gated,
    "huggingface_hub.RepositoryNotFoundError": _repo_missing,
    "huggingface_hub.HFValidationError": _no_repo_name,
    "huggingface_hub.HfHubHTTPError": _hub_answer,
    "huggingface_hub.LocalEntryNotFoundError": _unreachable,
    "github.GithubException": _github,
    "httpx2.TransportError": _unreachable,
    "httpx.TransportError": _unreachable,
    "sqlite3.OperationalError": _database,
    "safetensors.SafetensorError": _weight_file,
    "safetensors_rust.SafetensorError": _weight_file,
    "builtins.ConnectionError": _unreachable,
    "builtins.UnicodeEncodeError": _unwritable,
    "builtins.OSError": _os_error,
}
