"""The owner of a store's folder: an account that may do everything, and its token in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ggez_hub.atomic_files import write_file
from ggez_hub.embedded.accounts import Accounts
from ggez_hub.embedded.errors import AuthenticationError

OWNER: Final = "local"
_TOKEN_FILE: Final = "token"  # noqa: S105 - the name of a file


def owner_token(root: Path, accounts: Accounts) -> str:
    """The token in the folder, made anew where there is none that is accepted."""
    token = read_token(root)
    if token is not None:
        try:
            accounts.authenticate(token)
        except AuthenticationError:
            token = None
    if token is None:
        accounts.add_user(OWNER, "The owner of this hub", admin=True)
        token = accounts.new_token(OWNER, "write")
        write_file(root / _TOKEN_FILE, token, mode=0o600)
    return token


def read_token(root: Path) -> str | None:
    """The owner's token of the store in `root`, or None."""
    try:
        return (root / _TOKEN_FILE).read_text() or None
    except FileNotFoundError:
        return None
