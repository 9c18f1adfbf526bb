"""The accounts of a YAML file, for tests and for setting up a hub.

- name: ada
  fullname: Ada Lovelace
  token: hf_...                        # a write token
  tokens: [{token: hf_..., scope: read}]
  orgs:
    - {name: lovelace, fullname: Lovelace & Co, role: write, default_private: true}
    - babbage                          # short for {name: babbage}
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ggez_hub.embedded.accounts import Accounts, Scope
from ggez_hub.embedded.errors import InvalidRequestError


def load_accounts(accounts: Accounts, path: Path) -> None:
    """Add the accounts, tokens and organisations of a file; those that exist are brought up to date.

    Raises:
        InvalidRequestError: the file has another form, or a name, role or token in it is malformed.
    """
    try:
        entries = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidRequestError(f"{path} is not YAML: {error}") from error
    if not isinstance(entries, list):
        raise InvalidRequestError(f"{path} must be a list of accounts")
    for number, entry in enumerate(entries, 1):
        try:
            _add(accounts, entry)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"{path}, account {number}: {error.message}") from error


def _add(accounts: Accounts, entry: object) -> None:
    data = _mapping(entry, {"name", "fullname", "token", "tokens", "orgs"})
    name = _text(data, "name")
    roles = {}
    for org in _items(data, "orgs"):
        fields = {"name": org} if isinstance(org, str) else org
        described = _mapping(fields, {"name", "fullname", "role", "default_private"})
        default_private = described.get("default_private", False)
        if not isinstance(default_private, bool):
            raise InvalidRequestError("'default_private' is true or false")
        accounts.add_org(
            _text(described, "name"),
            _text(described, "fullname", ""),
            default_private=default_private,
        )
        roles[_text(described, "name")] = _text(described, "role", "write")
    accounts.add_user(name, _text(data, "fullname", ""), roles)
    for token, scope in _tokens(data):
        accounts.add_token(name, token, scope)


def _tokens(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    write: Scope = "write"
    if "token" in data:
        yield _text(data, "token"), write
    for item in _items(data, "tokens"):
        token = _mapping(item, {"token", "scope"})
        yield _text(token, "token"), _text(token, "scope", write)


def _mapping(value: object, keys: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequestError(f"{value!r} is not a mapping of {', '.join(sorted(keys))}")
    unknown = sorted(str(key) for key in value if key not in keys)
    if unknown:
        raise InvalidRequestError(
            f"unknown key {unknown[0]!r}; there are {', '.join(sorted(keys))}"
        )
    return value


def _items(data: dict[str, Any], key: str) -> list[Any]:
    items = data.get(key) or []
    if not isinstance(items, list):
        raise InvalidRequestError(f"{key!r} must be a list")
    return items


def _text(data: dict[str, Any], key: str, default: str | None = None) -> str:
    value = data.get(key, default)
    if not isinstance(value, str):
        raise InvalidRequestError(f"{key!r} must be a string")
    return value
