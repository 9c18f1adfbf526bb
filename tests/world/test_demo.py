"""The demo's figures come from pictures and weights: other weights give other figures."""

from __future__ import annotations

import shutil

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file

from ggez_hub.cards import read_card
from ggez_hub.demo.figures import Folders, recompute
from ggez_hub.demo.hub import ASSETS
from ggez_hub.demo.world import DIFFUSION, EMBEDDING, EVIDENCE, VLM, FamilyFolders, find_in
from ggez_hub.evaluation.answers.predictions import read_predictions
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.regions import find_region

BETA = 0.6
PLACE = FamilyFolders(ASSETS, EMBEDDING)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The data set with the first 200 pictures of each split."""
    folder = tmp_path_factory.mktemp("assets") / "emoji-names" / "data"
    folder.mkdir(parents=True)
    for split in ("validation", "test"):
        table = pq.read_table(PLACE.data / "data" / f"{split}.parquet").slice(0, 200)
        pq.write_table(table, folder / f"{split}.parquet")
    return find_in(folder.parents[1])


@pytest.fixture(scope="module")
def merged(tmp_path_factory):
    """base + 0.6 * Delta of the Thai adapter, as `merge` writes it."""
    out = tmp_path_factory.mktemp("merged") / "out"
    merge(PLACE.base, [Adapter(PLACE.adapter("th"), BETA)], out, get_family("embedding"))
    return out


def demo(place, adapter, merged, find, beta=BETA):
    card = read_card(place.adapter("th") / "README.md").card
    return recompute(
        Folders(place.base, adapter, merged, find), place.part, find_region("th"),
        card.alpha.value, beta, read_predictions(place.adapter("th") / EVIDENCE), betas=(beta,),
    )  # fmt: skip


@pytest.mark.slow
def test_another_adapter_changes_the_table(merged, data, tmp_path):
    thai = demo(PLACE, PLACE.adapter("th"), merged, data)
    assert thai.languages == "Thai"
    assert [row.beta for row in thai.rows] == [0.0, BETA, 1.0]
    assert thai.merged_equal
    # Among fewer pictures other answers are right; those in four ways do not ask for the others.
    assert 0 < thai.equal < thai.answers

    other = shutil.copytree(PLACE.adapter("th"), tmp_path / "other")
    weights = other / "adapter_model.safetensors"
    save_file({k: -t if "B" in k else t for k, t in load_file(weights).items()}, weights)
    changed = demo(PLACE, other, merged, data)
    assert changed.rows[0].regional == thai.rows[0].regional
    assert changed.rows[-1].regional.value < thai.rows[-1].regional.value
    assert changed.rows[-1].grp != thai.rows[-1].grp
    # The merged folder is still that of the Thai adapter, and is found out.
    assert not changed.merged_equal


@pytest.mark.slow
def test_the_best_is_what_comes_out(merged, data):
    shown = demo(PLACE, PLACE.adapter("th"), merged, data)
    names = ("base", "merged", "unmerged")
    parities = {name: row.grp.value for name, row in zip(names, shown.rows, strict=True)}
    assert parities[shown.best] == max(parities.values())
    for rival in shown.rivals:
        assert rival.lead.value == pytest.approx(parities[shown.best] - parities[rival.label])


@pytest.mark.slow
@pytest.mark.parametrize("part", [VLM, DIFFUSION], ids=lambda part: part.family)
def test_a_part_asked_again_is_answered_as_the_evidence_records(part, tmp_path):
    place = FamilyFolders(ASSETS, part)
    merge(
        place.base, [Adapter(place.adapter("th"), 0.5)], tmp_path / "out", get_family(part.family)
    )
    found = demo(place, place.adapter("th"), tmp_path / "out", find_in(ASSETS), 0.5)
    assert [row.beta for row in found.rows] == [0, 0.5, 1]
    assert found.answers == 3 * 2 * {"vlm": 342, "diffusion": 80}[part.family]
    assert found.equal >= 0.97 * found.answers  # near ties
    assert found.merged_equal
    assert found.validated is None
