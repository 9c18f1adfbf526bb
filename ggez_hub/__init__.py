"""ggez-hub: the registry of regional adapters for vision-language models."""

__version__ = "0.1.0"
