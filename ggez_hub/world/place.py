"""Where the parts of the embedding family lie below the assets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


@dataclass(frozen=True)
class Place:
    """The folders of the embedding family and its data."""

    assets: Path

    @property
    def base(self) -> Path:
        """The base's folder."""
        return self.assets / "embedding" / "base"

    @property
    def data(self) -> Path:
        """The data set's folder."""
        return self.assets / "emoji-names"

    def adapter(self, name: str) -> Path:
        """An adapter's folder."""
        return self.assets / "embedding" / name

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters, which are their regions."""
        found = (p for p in self.base.parent.iterdir() if (p / ADAPTER_FILES[0]).is_file())
        return tuple(sorted(p.name for p in found))
