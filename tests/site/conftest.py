"""The site of the demo world, built once."""

from __future__ import annotations

import pytest

from ..worlds import write_world
from .built import built, demo_world


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """The assets of a small world."""
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """A hub with the demo world, which nobody changes, and the site of its index."""
    folder = tmp_path_factory.mktemp("demo")
    with demo_world(folder / "store") as (hub, _):
        yield hub, built(hub, folder / "site").folder
