"""The only place that calls huggingface_hub's network side."""

from ggez_hub.hub.answers import NotInCache
from ggez_hub.hub.cache import ChangedFile, link_fetched
from ggez_hub.hub.client import Hub
from ggez_hub.hub.repository_files import HubFile, RepoAtCommit

__all__ = ["ChangedFile", "Hub", "HubFile", "NotInCache", "RepoAtCommit", "link_fetched"]
