"""The demo's figures come from pictures and weights: other weights give other figures."""

from __future__ import annotations

import shutil

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file

from ggez_hub.cards import read_card
from ggez_hub.evaluation.task import load_tasks
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.resources import recipes
from ggez_hub.world.demo import Folders, recompute
from ggez_hub.world.seed import ASSETS

EMBEDDING = get_family("embedding")
FAMILY = ASSETS / "embedding"
BETA = 0.6


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The data set with the first 200 pictures of each split."""
    folder = tmp_path_factory.mktemp("data")
    for split in ("validation", "test"):
        place = folder / "data" / f"{split}.parquet"
        place.parent.mkdir(exist_ok=True)
        pq.write_table(
            pq.read_table(ASSETS / "emoji-names" / "data" / place.name).slice(0, 200), place
        )
    return folder


@pytest.fixture(scope="module")
def merged(tmp_path_factory):
    """base + 0.6 * Delta of the Thai adapter, as `merge` writes it."""
    out = tmp_path_factory.mktemp("merged") / "out"
    merge(FAMILY / "base", [Adapter(FAMILY / "th", BETA)], out, EMBEDDING)
    return out


def demo(adapter, merged, data):
    folders = Folders(FAMILY / "base", adapter, merged, data)
    card = read_card(FAMILY / "th" / "README.md").card
    tasks = load_tasks(recipes() / "demo")
    return recompute(folders, card, tasks, EMBEDDING, card.alpha.value, BETA, betas=(BETA,))


def test_another_adapter_changes_the_table(merged, data, tmp_path):
    thai = demo(FAMILY / "th", merged, data)
    assert thai.languages == "Thai"
    assert [row.beta for row in thai.rows] == [0.0, BETA, 1.0]
    assert thai.merged_equal

    other = shutil.copytree(FAMILY / "th", tmp_path / "other")
    weights = other / "adapter_model.safetensors"
    save_file({k: -t if "B" in k else t for k, t in load_file(weights).items()}, weights)
    changed = demo(other, merged, data)
    assert changed.row(0.0).regional == thai.row(0.0).regional
    assert changed.row(1.0).regional.value < thai.row(1.0).regional.value
    assert changed.row(1.0).grp != thai.row(1.0).grp
    # The merged folder is still that of the Thai adapter, and is found out.
    assert not changed.merged_equal


def test_the_best_is_what_comes_out(merged, data):
    shown = demo(FAMILY / "th", merged, data)
    betas = {"base": 0.0, "merged": BETA, "unmerged": 1.0}
    parities = {name: shown.row(beta).grp.value for name, beta in betas.items()}
    assert parities[shown.best] == max(parities.values())
    for rival in shown.rivals:
        assert rival.lead.value == pytest.approx(parities[shown.best] - parities[rival.label])
