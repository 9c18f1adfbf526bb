"""What is merged with a sample of its base: every form of adapter that is right, and some that are not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import load_file, save_file

from ggez_hub.automation import trial_merge
from ggez_hub.automation.check import Misfit, check_on_hub, fit
from ggez_hub.automation.contribution_rules import ProposedCard
from ggez_hub.cards import read_card
from ggez_hub.demo.hub import ASSETS
from ggez_hub.families import get_family
from ggez_hub.hub import Hub
from ggez_hub.merging import Adapter
from ggez_hub.merging.extraction import extract_task_vector
from ggez_hub.merging.forms import write_adapter

from .runner import PROJECT

pytestmark = pytest.mark.slow

CARDS = {
    "embedding": "cards/th/embedding/clip-emoji-th.md",
    "vlm": "cards/th/vlm/vlm-emoji-th.md",
    "diffusion": "cards/th/diffusion/diffusion-emoji-th.md",
}
PEFT_FILES = ("adapter_config.json", "adapter_model.safetensors")
CLIP = "open_clip_model.safetensors"


def accepted(family):
    return read_card(PROJECT / CARDS[family])


def proposed(store, family, folder, kind="lora"):
    """The card of a family's accepted adapter, for the files of a folder on the hub instead."""
    repo = f"someone/{folder.name}"
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "README.md"}
    store.create_repo("model", repo, exist_ok=True)
    revision = store.commit("model", repo, files, message="Add", author="s", email="s@x",
                            date=1_800_000_000)  # fmt: skip
    document = accepted(family)
    block = document.card.model_dump(mode="json", exclude_defaults=True)
    block |= {"kind": kind, "adapter": {"repo": repo, "revision": str(revision)}, "files": {}}
    for name, data in files.items():
        if name.endswith((".safetensors", "adapter_config.json", "task_vector.json")):
            block["files"][name] = {"size": len(data), "sha256": sha256(data).hexdigest()}
    return replace(document, card=type(document.card).model_validate(block))


def findings(document, hub, family="embedding"):
    card = ProposedCard(CARDS[family], document, None)
    return [f.message for f in check_on_hub(card, hub, merges=True)]


@pytest.fixture(scope="module")
def hub(demo_hub):
    return Hub(demo_hub)


@pytest.fixture(scope="module")
def tried(hub):
    """What was merged of each family's accepted adapter, and the files that were fetched for it."""
    fetched = []
    fetch = Hub.fetch

    def recording(self, repo, revision, files, *more):
        fetched.extend(file.path for file in files)
        return fetch(self, repo, revision, files, *more)

    with patch.object(Hub, "fetch", recording):
        return {family: fit(accepted(family).card, hub, merges=True) for family in CARDS}, fetched


@pytest.mark.parametrize("family", CARDS)
def test_the_accepted_adapters_are_merged_with_a_tensor_of_each_kind(family, tried):
    done = tried[0][family]
    assert len({trial_merge.NUMBER.sub("#", name) for name in done.merged}) >= 3
    assert done.too_large == ()


def test_only_headers_and_configurations_are_fetched(tried):
    suffixes = {Path(path).suffix for path in tried[1]}
    assert ".json" in suffixes
    assert ".safetensors" not in suffixes


def peft(folder, change=None, **options):
    """The demo's Thai adapter with other options, or other tensors."""
    folder.mkdir()
    for name in PEFT_FILES:
        shutil.copyfile(ASSETS / "embedding" / "th" / name, folder / name)
    config = json.loads((folder / PEFT_FILES[0]).read_text()) | options
    (folder / PEFT_FILES[0]).write_text(json.dumps(config))
    if change:
        save_file(change(load_file(folder / PEFT_FILES[1])), folder / PEFT_FILES[1])
    return folder


def kohya(folder):
    base = ASSETS / "diffusion" / "base"
    adapter = Adapter(ASSETS / "diffusion" / "th", 1.0)
    write_adapter(base, [adapter], folder, get_family("diffusion"), "kohya")
    return folder


def finetune(folder):
    folder.mkdir()
    base = ASSETS / "embedding" / "base"
    shutil.copyfile(base / "open_clip_config.json", folder / "open_clip_config.json")
    state = load_file(base / CLIP)
    save_file(state | {"ln_final.weight": state["ln_final.weight"] * 2}, folder / CLIP)
    return folder


def task_vector(folder):
    base, tuned = ASSETS / "embedding" / "base", finetune(folder.parent / "tuned")
    extract_task_vector(base, tuned, folder, get_family("embedding"))
    return folder


def test_a_full_fine_tune_is_merged(store_of_demo, hub, tmp_path):
    document = proposed(store_of_demo, "embedding", finetune(tmp_path / "finetune"), "finetune")
    assert "ln_final.weight" in fit(document.card, hub, merges=True).merged


def test_a_task_vector_is_merged_though_its_base_is_not_here(store_of_demo, hub, tmp_path):
    document = proposed(store_of_demo, "embedding", task_vector(tmp_path / "vector"), "task_vector")
    assert fit(document.card, hub, merges=True).merged == ("ln_final.weight",)


def test_a_file_of_kohyas_is_merged_by_the_names_of_the_pipeline(
    store_of_demo, hub, tried, tmp_path
):
    document = proposed(store_of_demo, "diffusion", kohya(tmp_path / "kohya"))
    merged = fit(document.card, hub, merges=True).merged
    assert {name.partition("/")[0] for name in merged} == {"unet"}
    assert merged == tried[0]["diffusion"].merged


def test_a_name_of_kohyas_that_means_no_module_is_named(store_of_demo, hub, tmp_path):
    folder = kohya(tmp_path / "kohya-other")
    (path,) = folder.glob("*.safetensors")
    state = {k.replace("to_q", "to_nobody"): v for k, v in load_file(path).items()}
    save_file(state, path)
    document = proposed(store_of_demo, "diffusion", folder)
    (message,) = findings(document, hub, "diffusion")
    assert "to_nobody' changes a module" in message
    assert "that the base in ggez-world/diffusion-emoji does not have" in message


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nothing", {"lora_alpha": 0}, "does not change 'transformer.resblocks."),
        ("endless", {"lora_alpha": 1e300}, "changes 'transformer.resblocks."),
        ("infinite", {"lora_alpha": 1e308}, "cannot be merged into 'transformer.resblocks."),
    ],
)  # fmt: skip
def test_what_names_and_shapes_do_not_tell_is_found_by_merging(
    store_of_demo, hub, tmp_path, name, options, message
):
    document = proposed(store_of_demo, "embedding", peft(tmp_path / name, **options))
    assert fit(document.card, hub, merges=False) is None
    with pytest.raises(Misfit) as refused:
        fit(document.card, hub, merges=True)
    assert message in refused.value.message
    (found,) = findings(document, hub)
    assert found.startswith(f"ggez.adapter: someone/{name} ")


def test_a_dora_is_merged_too(store_of_demo, hub, tmp_path):
    """Its Delta is not zero where its values are: nothing of it is taken instead."""

    def with_magnitudes(state):
        linear = {key: value for key, value in state.items() if "embedding" not in key}
        return linear | {
            key.replace("lora_B.weight", "lora_magnitude_vector"): torch.ones(len(value))
            for key, value in linear.items()
            if key.endswith("lora_B.weight")
        }

    folder = peft(tmp_path / "dora", with_magnitudes, use_dora=True)
    document = proposed(store_of_demo, "embedding", folder)
    assert findings(document, hub) == []


def test_what_there_is_no_room_for_is_said(hub, monkeypatch):
    monkeypatch.setattr(trial_merge, "MOST", 400_000)
    done = fit(accepted("embedding").card, hub, merges=True)
    assert done.too_large
    (hint,) = findings(accepted("embedding"), hub)
    assert f"with tensors like {done.too_large[0]}" in hint
