"""The one map from exceptions to messages. Commands do not catch."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from typing import IO, Any, NamedTuple
from urllib.parse import unquote

import click

from ggez_hub.cli.output import plain
from ggez_hub.errors import GgezError, first_line
from ggez_hub.http_address import is_http


class CommandFailed(click.ClickException):
    """A failure as the user reads it: what happened, and how to fix it."""

    exit_code: int  # type: ignore[misc]

    def __init__(self, message: str, hint: str = "", exit_code: int = 1) -> None:
        super().__init__(message)
        self.hint = hint
        self.exit_code = exit_code

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(plain(f"error: {self.message}"), err=True, file=file)
        if self.hint:
            click.echo(plain("  " + self.hint.replace("\n", "\n  ")), err=True, file=file)


class Message(NamedTuple):
    """What is printed for a class of exceptions; `{}` is the exception's first line."""

    text: str
    hint: str = ""
    exit_code: int = 1


def explain(error: BaseException) -> CommandFailed:
    """The message for `error`, and which task of a run raised it; an unexpected error asks for a report."""
    found = _explained(error)
    notes = getattr(error, "__notes__", ())
    if task := ", ".join(note for note in notes if re.match(r"task [0-9]+ of |log: ", note)):
        return CommandFailed(f"{found.message} ({task})", found.hint, found.exit_code)
    return found


def _explained(error: BaseException) -> CommandFailed:
    if isinstance(error, GgezError):
        return CommandFailed(error.message, error.hint, error.exit_code)
    endpoint = os.environ.get("HF_ENDPOINT")
    if endpoint and not is_http(endpoint):
        # With some of these huggingface_hub itself cannot be imported.
        return CommandFailed(
            f"HF_ENDPOINT is {endpoint!r}, which is not an http address", "Unset or correct it.", 2
        )
    for kind in type(error).__mro__:
        found = MESSAGES.get(f"{kind.__module__.partition('.')[0]}.{kind.__name__}")
        if found is not None:
            message = found if isinstance(found, Message) else found(error)
            if message is None:
                continue
            text = message.text.replace("{}", first_line(error))
            return CommandFailed(text, message.hint, message.exit_code)
    return CommandFailed(
        f"{type(error).__name__}: {error}",
        "This should have been a clearer message: run it again with --debug and report it.",
    )


PERMISSION = "Change who may read or write it, or choose another place."
OS_HINTS = {
    errno.EACCES: PERMISSION,
    errno.EPERM: PERMISSION,
    errno.EROFS: "Choose a place on a disk that can be written.",
    errno.EISDIR: "Name a file, not a folder.",
    errno.ENOTDIR: "Name a folder, not a file.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ELOOP: "The link leads to itself: remove it.",
}


def _os_error(error: Any) -> Message:
    if error.errno == errno.ENOMEM:
        return NO_MEMORY
    where = f": {error.filename}" if error.filename else ""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        why = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        return Message(f"no room to write: {why}{where}", "Free some space and run it again.")
    return Message(f"{error.strerror or '{}'}{where}", OS_HINTS.get(error.errno, ""))


def _missing_repo(error: Any) -> Message:
    repo = getattr(error, "repo_id", None)
    found = re.search(r"https?://[^/]+", _url(error))
    return Message(
        f"the repository {f'{repo} ' if repo else ''}does not exist, or is private"
        + (f" ({found[0]} does not show it)" if found else ""),
        "Check its name; for a private one set HF_TOKEN or run `hf auth login`.",
    )


def _gated_repo(error: Any) -> Message:
    repo = getattr(error, "repo_id", None)
    page = re.match(r"https?://[^/]+/", _url(error))
    where = f"its page {page[0]}{repo}" if repo and page else "its page"
    return Message(
        f"access to {repo or 'this repository'} is restricted",
        f"Accept its licence on {where} while signed in, then set HF_TOKEN or run `hf auth login`.",
    )


def _missing_revision(error: Any) -> Message:
    found = re.search(r"/([^/]+/[^/]+)/(?:revision|resolve|tree)/([^/?]+)", _url(error))
    where = f"{found[1]} has no revision {unquote(found[2])!r}" if found else "no such revision"
    return Message(where, "Name a branch, a tag or a commit, or leave the revision out for main.")


def _url(error: Any) -> str:
    response = getattr(error, "response", None)
    return str(getattr(response, "url", ""))


def _hub_response(error: Any) -> Message:
    status = getattr(getattr(error, "response", None), "status_code", 0)
    # What the hub itself writes, without the client's words around it.
    message = " ".join((error.server_message or "").split())
    answer = f"it answered {status}" + (f", {message}" if message else "")
    if status in {408, 429} or status >= 500:
        return Message(
            f"the hub is busy or out of order: {answer}",
            "Run it again in a while: what was already downloaded is kept.",
        )
    if status == 401:
        return Message(
            f"the hub does not accept the token: {answer}",
            "Set HF_TOKEN to a valid one or run `hf auth login`; `ggez-hub doctor` checks it.",
        )
    if status == 403:
        return Message(
            f"the token may not do this: {answer}",
            "It needs that right for this repository: see the settings of your tokens on the hub.",
        )
    return Message(f"the hub refused: {answer}")


def _not_utf8(error: Any) -> Message:
    return Message(
        f"{error.object[:80]!r} is not text: it holds bytes that are not UTF-8",
        "Check what was typed or pasted, and the names of the files.",
    )


def _weight_file(error: Any) -> Message:
    # Of an error of the system, safetensors keeps the number in its text.
    if number := re.search(r"os error (\d+)", str(error)):
        code = int(number[1])
        return _os_error(OSError(code, os.strerror(code)))
    return Message(
        "a file of weights cannot be read or written: {}",
        "If it came from a hub, remove it and fetch it again.",
    )


def _github(error: Any) -> Message:
    said = error.data.get("message") if isinstance(error.data, dict) else None
    if error.status in {401, 403}:
        return Message(
            f"GitHub refused: {said or error.status}",
            "The run's token needs the permissions that the job of this step declares.",
        )
    return Message(f"GitHub answered {error.status}: {said or '{}'}")


def _embedded(error: Any) -> Message:
    # All lines: they may end with those of the server's log.
    return Message(
        f"the embedded hub: {error}",
        "Run it again; if it happens again, remove its folder in the cache.",
    )


NO_MEMORY = Message(
    "there is not enough memory for this",
    "Close other programs, or take a smaller model or batch; an adapter form (--as peft) needs the least.",
)


# What torch, threads and libraries of C say of memory that is not there: they have no class for it.
# Where a library may not be run, the system gives that reason after a colon.
OF_MEMORY = re.compile(
    "(?:can't|cannot) allocate memory|can't start new thread"
    "|failed to map segment from shared object(?!:)",
    re.I,
)


def _if_memory(error: Any) -> Message | None:
    return NO_MEMORY if OF_MEMORY.search(str(error)) else None


def _unreachable(error: Any) -> Message:
    # httpx raises RuntimeError where no request is known.
    try:
        url = error.request.url
        where = f" ({url.scheme}://{url.netloc.decode()})"
    except (AttributeError, RuntimeError):
        where = ""
    return Message(
        f"the hub could not be reached{where}: {{}}",
        "Check the network, and the address given with --hub or HF_ENDPOINT; what was already "
        "downloaded is kept. These work without a network: `pull --offline`, from what was "
        "downloaded; `--hub embedded`, a hub on this machine; `search --index shipped`, a list of "
        "what there is.",
    )


# By the top package and name of the class, so that nothing heavy is imported to print an error.
MESSAGES: dict[str, Message | Callable[[Any], Message | None]] = {
    # The embedded hub and `execution` do not import our error classes.
    "ggez_hub.SessionError": _embedded,
    "ggez_hub.HubError": _embedded,
    "ggez_hub.EngineFailed": Message("{}", "Run it again after that: what was done is kept."),
    "ggez_hub.WorkerLost": Message(
        "{}", "Perhaps for lack of memory: fewer --workers need less. What was done is kept."
    ),
    "huggingface_hub.OfflineModeIsEnabled": Message(
        "this needs the network and HF_HUB_OFFLINE is set: {}",
        "Unset HF_HUB_OFFLINE, or pull once with a network: what was fetched serves offline.",
    ),
    "huggingface_hub.GatedRepoError": _gated_repo,
    "huggingface_hub.RepositoryNotFoundError": _missing_repo,
    "huggingface_hub.HFValidationError": Message(
        "this is not the name of a repository: {}", "A repository is named org/name.", 2
    ),
    "huggingface_hub.RevisionNotFoundError": _missing_revision,
    "huggingface_hub.HfHubHTTPError": _hub_response,
    "huggingface_hub.LocalEntryNotFoundError": _unreachable,
    "github.GithubException": _github,
    "botocore.BotoCoreError": Message(
        "the object store: {}",
        "Its address and credentials are those of AWS: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_PROFILE.",
    ),
    "httpx2.TransportError": _unreachable,
    "httpx.TransportError": _unreachable,
    "sqlite3.OperationalError": Message(
        "SQLite: {}",
        "Check that its folder is there, that it can be written, and that the disk is not full.",
    ),
    "safetensors.SafetensorError": _weight_file,
    "safetensors_rust.SafetensorError": _weight_file,
    "torch.OutOfMemoryError": NO_MEMORY,
    "builtins.MemoryError": NO_MEMORY,
    "builtins.RuntimeError": _if_memory,
    "builtins.ImportError": _if_memory,
    "builtins.ConnectionError": _unreachable,
    "builtins.UnicodeEncodeError": _not_utf8,
    "builtins.OSError": _os_error,
}
