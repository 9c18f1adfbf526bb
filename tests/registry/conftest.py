"""A hub with a small world, over real HTTP."""

from __future__ import annotations

import shutil

import pytest

from ggez_hub.demo.hub import seed
from ggez_hub.embedded.store import HubStore
from ggez_hub.hub import Hub

from ..worlds import serving, write_world


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """The assets, made once; tests that change them take a copy."""
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def assets(world, tmp_path):
    """A copy of the assets to change before they are seeded."""
    return shutil.copytree(world, tmp_path / "assets")


@pytest.fixture(scope="session")
def seeded(world, tmp_path_factory):
    """A hub with the world as it is; nobody changes it."""
    with HubStore.open(tmp_path_factory.mktemp("store")) as store:
        seed(store, world)
        with serving(store) as endpoint:
            yield Hub(endpoint)


@pytest.fixture
def hub_of(tmp_path):
    """A function that seeds assets into a new hub and serves it until the end of the test."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(assets):
            store = stack.enter_context(HubStore.open(tmp_path / "store"))
            seed(store, assets)
            hub = Hub(stack.enter_context(serving(store)))
            return hub, store

        yield start


@pytest.fixture
def store(tmp_path):
    """An empty store, for a hub that is served when it is filled."""
    with HubStore.open(tmp_path / "store") as store:
        yield store
