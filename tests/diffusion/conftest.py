"""Tiny pipelines, made once for each run."""

from __future__ import annotations

import logging

import pytest

from .pipelines import BUILDERS, write_pipeline


@pytest.fixture(scope="session", autouse=True)
def _quiet():
    logging.getLogger("diffusers").setLevel(logging.ERROR)


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    """The folders of the four pipelines, by name."""
    return {name: write_pipeline(name, tmp_path_factory.mktemp(name)) for name in BUILDERS}
