from __future__ import annotations

import pytest

from tests.evaluation.towers import write_towers
from tests.training.material import write_captions


@pytest.fixture(scope="session")
def material(tmp_path_factory):
    """A folder with a tiny CLIP in `base` and pictures with captions."""
    folder = tmp_path_factory.mktemp("training")
    write_towers(folder / "base")
    write_captions(folder / "captions")
    return folder
