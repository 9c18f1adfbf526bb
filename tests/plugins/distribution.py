"""A small distribution of somebody else, installed into a folder as pip would leave it."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import entry_points

import pytest

from ggez_hub import plugins

MODULE = '''
from dataclasses import dataclass

from ggez_hub.families.embedding import EmbeddingFamily


@dataclass(frozen=True)
class SpeechFamily(EmbeddingFamily):
    name: str = "speech"
    title: str = "speech model"


FAMILY = SpeechFamily()
NOT_A_FAMILY = 7


def negated(base, deltas, betas):
    """The opposite direction."""
    for delta, beta in zip(deltas, betas):
        base = base - beta * delta
    return base
'''


def install(folder, points, name="somebody-else", version="1.2.3", module=MODULE):
    """Write the distribution into `folder`; `points` are lines of entry_points.txt by group."""
    package = name.replace("-", "_")
    info = folder / f"{package}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    text = "".join(
        f"[ggez_hub.{group}]\n" + "\n".join(each) + "\n" for group, each in points.items()
    )
    (info / "entry_points.txt").write_text(text)
    (folder / f"{package}.py").write_text(module)
    return folder


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs distributions into this process for one test."""
    folder = tmp_path / "site"
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)

    def installs(points, **options):
        install(folder, points, **options)
        importlib.invalidate_caches()
        plugins.clear()
        assert entry_points(group=f"ggez_hub.{next(iter(points))}")

    yield installs
    plugins.clear()
    for name in set(sys.modules) - before:
        if name.startswith(("somebody", "other")):
            del sys.modules[name]
