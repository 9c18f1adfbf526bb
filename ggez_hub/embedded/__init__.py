"""A Hugging Face Hub in a folder: for air-gapped labs, for CI, and for a first look.

    from ggez_hub.embedded import HubStore, session

    def seed(store: HubStore) -> None:
        store.create_repo("model", "acme/tiny", exist_ok=True)

    with session(Path("hub"), seed) as endpoint:
        HfApi(endpoint).model_info("acme/tiny")

The unmodified `huggingface_hub` client speaks to it. Importing this package imports nothing else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ggez_hub.embedded.app_server import AppServer, is_loopback
    from ggez_hub.embedded.errors import HubError
    from ggez_hub.embedded.http.app import create_app
    from ggez_hub.embedded.http.body import Limits
    from ggez_hub.embedded.http.network import Network
    from ggez_hub.embedded.server import serve
    from ggez_hub.embedded.sessions import SessionError, session, session_token
    from ggez_hub.embedded.store import HubStore

__all__ = [
    "AppServer",
    "HubError",
    "HubStore",
    "Limits",
    "Network",
    "SessionError",
    "create_app",
    "is_loopback",
    "serve",
    "session",
    "session_token",
]

_MODULES = {
    "app_server": {"AppServer", "is_loopback"},
    "errors": {"HubError"},
    "http.app": {"create_app"},
    "http.body": {"Limits"},
    "http.network": {"Network"},
    "server": {"serve"},
    "sessions": {"SessionError", "session", "session_token"},
    "store": {"HubStore"},
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
