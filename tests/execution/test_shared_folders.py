"""Folders that are shared through a data set, of a hub that is not honest."""

from __future__ import annotations

import pytest
from huggingface_hub import HfApi

from ggez_hub.errors import GgezError
from ggez_hub.execution import SharedFolder
from ggez_hub.hub.shared_folders import SharedFolders

from ..dishonest_hub import dishonest

REPO = "lab/ggez-work-1"


@pytest.mark.parametrize("path", ["0/../outside", "0/a/../../outside", "0//outside", "0/a\x1b[2J"])
def test_nothing_is_written_outside_a_folder(path, tmp_path):
    place = tmp_path / "shared"
    place.mkdir()
    files = {"0/inside": b"x", "outside": b"y"}
    with dishonest({REPO: files}, paths={"outside": path}) as hub:
        shared = SharedFolders(HfApi(hub.endpoint), REPO, {"0": SharedFolder(place)})
        with pytest.raises(GgezError, match="leads out of its folder"):
            shared.pull()
    assert [entry.name for entry in tmp_path.iterdir()] == ["shared"]
    assert list(place.iterdir()) == []


def test_a_folder_or_a_file_of_it(tmp_path):
    for name in ("a/b", "a/.git/config", "a/.cache/x", "c", ".answers/key/d", ".answers/other/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to(tmp_path / "a")

    def files(shared):
        return [path.relative_to(tmp_path).as_posix() for path in shared.files()]

    assert sorted(files(SharedFolder(tmp_path))) == [
        ".answers/key/d", ".answers/other/e", "a/b", "c", "link/b",
    ]  # fmt: skip
    assert files(SharedFolder(tmp_path, (".answers/key", "absent"))) == [".answers/key/d"]
    assert files(SharedFolder.holding(tmp_path / "c")) == ["c"]
    assert files(SharedFolder.holding(tmp_path / "a")) == ["a/b"]
    parts = SharedFolder(tmp_path, (".answers/key", "c"))
    names = (".answers/key/d", "c", "c/x", ".answers/keys", "results.json")
    assert [parts.has(name) for name in names] == [True, True, True, False, False]
    assert SharedFolder(tmp_path).has("results.json")
