"""The only place that calls huggingface_hub's network side."""

from ggez_hub.hub.client import ChangedFile, Hub, HubFile, RepoAtCommit, link_fetched

__all__ = ["ChangedFile", "Hub", "HubFile", "RepoAtCommit", "link_fetched"]
