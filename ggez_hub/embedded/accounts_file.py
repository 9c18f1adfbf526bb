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

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from ggez_hub.embedded.accounts import Accounts
from ggez_hub.embedded.errors import InvalidRequestError


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Token(_Entry):
    token: str
    scope: str = "write"


class _Org(_Entry):
    name: str
    fullname: str = ""
    role: str = "write"
    default_private: bool = False


def _full_form(org: Any) -> Any:
    return {"name": org} if isinstance(org, str) else org


class _Account(_Entry):
    name: str
    fullname: str = ""
    token: str | None = None
    tokens: list[_Token] = []
    orgs: list[Annotated[_Org, BeforeValidator(_full_form)]] = []


def load_accounts(accounts: Accounts, path: Path) -> None:
    """Add the accounts, tokens and organisations of a file, and update those that exist.

    Raises InvalidRequestError if the file has another form, or a name, role or token in it is
    malformed.
    """
    try:
        entries = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidRequestError(f"{path} is not YAML: {error}") from error
    if not isinstance(entries, list):
        raise InvalidRequestError(f"{path} must be a list of accounts")
    for number, entry in enumerate(entries, 1):
        try:
            _add(accounts, _Account.model_validate(entry))
        except ValidationError as error:
            problem = InvalidRequestError.of(error).message
            raise InvalidRequestError(f"{path}, account {number}: {problem}") from error
        except InvalidRequestError as error:
            raise InvalidRequestError(f"{path}, account {number}: {error.message}") from error


def _add(accounts: Accounts, entry: _Account) -> None:
    for org in entry.orgs:
        accounts.add_org(org.name, org.fullname, default_private=org.default_private)
    accounts.add_user(entry.name, entry.fullname, {org.name: org.role for org in entry.orgs})
    if entry.token is not None:
        accounts.add_token(entry.name, entry.token, "write")
    for token in entry.tokens:
        accounts.add_token(entry.name, token.token, token.scope)
