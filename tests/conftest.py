"""What every test gets: a home of its own, no settings of the user's, no way to the real Hub."""

from __future__ import annotations

import gc
import os
import random
import sys
import zlib
from pathlib import Path

import httpx2
import pytest

# What is imported and collected are millions of objects that stay: they are not searched for garbage, neither while they
# become more nor later.
gc.disable()

# Before huggingface_hub is imported: it reads its environment once.
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
# On a machine with much else to do a server answers late, which is not an error: 5 and 10 s are what clients wait.
os.environ |= {"HF_HUB_ETAG_TIMEOUT": "120", "HF_HUB_DOWNLOAD_TIMEOUT": "120"}
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
os.environ.pop("HF_TOKEN", None)
# Nor from git: no filters, hooks and identities of whoever runs the tests, no repository around them.
for _name in [name for name in os.environ if name.startswith("GIT_")]:
    del os.environ[_name]
os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
os.environ |= {"LC_ALL": "C.UTF-8", "LANGUAGE": ""}
# One object is the default of all functions of httpx2.
for _name in ("connect", "read", "write", "pool"):
    setattr(httpx2._config.DEFAULT_TIMEOUT_CONFIG, _name, 120.0)


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """A fresh home for every test: no cache, token or data folder of the person who runs it."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(folder / name.lower()))
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HOME", str(folder / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "hf" / "token"))
    return folder


@pytest.fixture(autouse=True)
def trusted(monkeypatch):
    """Let HTTPS trust one authority, which has no key: each client would load 150, in 20 ms, and talks to this machine."""
    monkeypatch.setenv("SSL_CERT_FILE", str(Path(__file__).with_name("authority.pem")))


def draw_anew(name):
    """Let what is drawn without a seed depend on `name` alone, and not on the tests before."""
    seed = zlib.crc32(name.encode())
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed)
    if generator := getattr(sys.modules.get("torch"), "default_generator", None):
        generator.manual_seed(seed)


def pytest_fixture_setup(fixturedef):
    draw_anew(fixturedef.argname)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    draw_anew(item.name)


# Files that take longest start first, so that no process is left alone with one of them at the end.
LONGEST = ("test_docs", "test_installed", "test_embedded_pull", "test_loaders", "test_diffusion")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem not in LONGEST)


def pytest_collection_finish():
    gc.freeze()
    gc.enable()
