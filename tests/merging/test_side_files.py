"""Every side file of the base is in the output, or the merge is refused with the reason."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

from ggez_hub.errors import GgezError
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge

from ..models import write_lora

EMBEDDING = get_family("embedding")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n"


@pytest.fixture
def own(base, tmp_path):
    return shutil.copytree(base, tmp_path / "base")


@pytest.fixture
def adapter(tmp_path):
    return Adapter(write_lora(tmp_path / "adapter", targets=["c_fc"]), 0.5)


def link(to):
    return lambda path: path.symlink_to(to)


def text(content):
    return lambda path: path.write_bytes(content)


@pytest.mark.skipif(sys.platform == "win32", reason="makes links and pipes")
@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("vocab.json", text(b'{"a": 1'), "vocab.json is not JSON"),
        ("vocab.json", text(b"\xff\xfe\xff"), "vocab.json is not JSON"),
        ("deep.json", text(b"[" * 200_000), "deep.json is not JSON"),
        ("tokenizer.json", text(POINTER), "tokenizer.json is a pointer of Git LFS"),
        ("merges.txt", link("gone.txt"), "merges.txt is a link to nothing"),
        ("merges.txt", link("merges.txt"), "merges.txt is a link to nothing"),
        ("processor", link("/usr"), "processor is a link that leads out of"),
        ("pipe", os.mkfifo, "pipe is a pipe"),
        ("notes.txt", link("../private.txt"), "leads out of"),
        ("notes.txt", link("/etc/hostname"), "leads out of"),
    ],
)
def test_what_cannot_be_carried_is_refused(own, adapter, tmp_path, name, make, said):
    (tmp_path / "private.txt").write_text("private")
    make(own / name)
    with pytest.raises(GgezError, match=said):
        merge(own, [adapter], tmp_path / "out", EMBEDDING)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.skipif(sys.platform == "win32", reason="makes links")
def test_what_can_be_is_carried(own, adapter, tmp_path):
    (own / "vocab.json").write_text('\ufeff{"a": NaN}', encoding="utf-8")
    (own / "broken.txt").write_bytes(POINTER)
    (own / "empty").mkdir()
    # As in the cache of huggingface_hub, and as people save space.
    content = tmp_path / "models--a--b" / "blobs" / ("0" * 40)
    content.parent.mkdir(parents=True)
    content.write_text("text")
    (own / "linked.txt").symlink_to(content)
    (own / "same.txt").symlink_to("broken.txt")
    merge(own, [adapter], tmp_path / "out", EMBEDDING)
    for name in ("vocab.json", "broken.txt", "linked.txt", "same.txt"):
        assert (tmp_path / "out" / name).read_bytes() == (own / name).read_bytes()
    assert not (tmp_path / "out" / "linked.txt").is_symlink()


@pytest.mark.skipif(sys.platform == "win32", reason="makes links and pipes")
@pytest.mark.parametrize("of", ["base", "adapter"])
@pytest.mark.parametrize("how", ["weights elsewhere", "a pipe"])
def test_weights_and_adapters_are_in_their_folder(own, adapter, tmp_path, of, how):
    """A link to private weights would merge them into the result; a pipe would be waited for."""
    folder = own if of == "base" else adapter.folder
    place = next(folder.glob("*.safetensors")) if how != "a pipe" else next(folder.glob("*.json"))
    place.rename(tmp_path / "private")
    if how == "a pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(tmp_path / "private")
    with pytest.raises(GgezError, match=r"leads out of|a pipe|holds no|is not a model of"):
        merge(own, [adapter], tmp_path / "out", EMBEDDING)
    assert not (tmp_path / "out").exists()
