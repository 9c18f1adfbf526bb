"""Folders that are shared through a data set, of a hub that is not honest."""

from __future__ import annotations

import pytest
from huggingface_hub import HfApi

from ggez_hub.errors import GgezError
from ggez_hub.hub.shared_folders import SharedFolders

from ..lying_hub import lying

REPO = "lab/ggez-work-1"


@pytest.mark.parametrize("path", ["0/../outside", "0/a/../../outside", "0//outside", "0/a\x1b[2J"])
def test_nothing_is_written_outside_a_folder(path, tmp_path):
    place = tmp_path / "shared"
    place.mkdir()
    files = {"0/inside": b"x", "outside": b"y"}
    with lying({REPO: files}, paths={"outside": path}) as hub:
        shared = SharedFolders(HfApi(hub.endpoint), REPO, {"0": place})
        with pytest.raises(GgezError, match="leads out of its folder"):
            shared.pull()
    assert [entry.name for entry in tmp_path.iterdir()] == ["shared"]
    assert list(place.iterdir()) == []
