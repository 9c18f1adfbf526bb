from __future__ import annotations

import pytest

from tests.diffusion.pipelines import write_pipeline
from tests.evaluation.seers import write_seer
from tests.evaluation.towers import SIGLIP, write_towers
from tests.training.material import write_captions, write_chatter, write_open_base


@pytest.fixture(scope="session")
def material(tmp_path_factory):
    """A folder with tiny models in `base` (CLIP) and `chatter` (LLaVA), and captioned pictures."""
    folder = tmp_path_factory.mktemp("training")
    write_towers(folder / "base")
    write_towers(folder / "siglip", SIGLIP)
    write_open_base(folder / "open")
    write_chatter(folder / "chatter")
    write_seer(folder / "seer", "llava")
    write_pipeline("sd15", folder / "sd15")
    write_captions(folder / "captions")
    return folder
