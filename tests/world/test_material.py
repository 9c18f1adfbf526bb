"""Packages are pinned: what is in the cache is used only if it is the very file."""

import subprocess

import pytest

from demo_world import packages
from demo_world.concepts import STYLES
from demo_world.packages import NOTO, cache_folder, fetch
from ggez_hub.errors import GgezError


def test_a_tarball_that_was_changed_is_refused():
    tarball = cache_folder() / "npm" / f"iconify-json-noto-{NOTO.version}.tgz"
    tarball.parent.mkdir(parents=True)
    tarball.write_bytes(b"something else")
    with pytest.raises(GgezError, match="is not @iconify-json/noto") as caught:
        fetch(NOTO)
    assert str(tarball) in caught.value.hint


def test_without_npm_the_error_says_so(monkeypatch):
    monkeypatch.setattr(packages.shutil, "which", lambda name: None)
    with pytest.raises(GgezError, match="npm is not installed"):
        fetch(NOTO)


def test_a_failed_download_leaves_nothing(monkeypatch):
    def fail(command, **options):
        return subprocess.CompletedProcess(command, 1, "", "E404")

    monkeypatch.setattr(packages.shutil, "which", lambda name: "npm")
    monkeypatch.setattr(packages.subprocess, "run", fail)
    with pytest.raises(GgezError, match="E404"):
        fetch(NOTO)
    assert not list((cache_folder() / "npm").iterdir())


def test_every_style_says_its_licence():
    assert {style: package.licence for style, package in STYLES.items()} == {
        "twemoji": "CC-BY-4.0",
        "openmoji": "CC-BY-SA-4.0",
        "fluent-emoji-flat": "MIT",
        "noto": "Apache-2.0",
    }
