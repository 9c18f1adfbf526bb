"""What a run leaves: folders that peft, transformers and open_clip load, and that merge takes."""

from __future__ import annotations

import copy
import json
import shutil

import peft
import pytest
import torch
import transformers
from click.testing import CliRunner
from safetensors.torch import load_file

from ggez_hub.cards import read_card
from ggez_hub.cards.provenance import DataFilter
from ggez_hub.cli.main import cli
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.registry.licences import _of_data
from ggez_hub.training.card import FinishedStage, combined_origin
from ggez_hub.training.run import train
from tests.training.material import CAPTIONS, job, write_recipe

pytestmark = pytest.mark.slow

FAST = {"optimiser": {"learning_rate": 0.01}, "max_steps": 2}
VLM = {"family": "vlm", "base": "chatter", **FAST}


def trained(material, tmp_path, name, **keys):
    return train(job(write_recipe(material / f"{name}.yaml", **keys)), tmp_path / name).out


def by_merge(material, tmp_path, base, adapter, family):
    merge(material / base, [Adapter(adapter, 1.0)], tmp_path / "merged", get_family(family))


@pytest.mark.parametrize(
    ("keys", "base", "auto"),
    [
        (FAST, "base", "AutoModel"),
        (FAST | {"base": "siglip", "towers": "text"}, "siglip", "AutoModel"),
        (VLM, "chatter", "AutoModelForImageTextToText"),
    ],
    ids=["clip", "siglip", "llava"],
)
def test_a_lora_loaded_by_peft_is_the_one_that_merge_folds_in(material, tmp_path, keys, base, auto):
    out = trained(material, tmp_path, f"lora-{base}", **keys)
    model = getattr(transformers, auto).from_pretrained(material / base, dtype=torch.float32)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    loaded = peft.PeftModel.from_pretrained(model, out).merge_and_unload().state_dict()
    by_merge(material, tmp_path, base, out, keys.get("family", "embedding"))
    merged = getattr(transformers, auto).from_pretrained(tmp_path / "merged").state_dict()
    changed = {name for name, t in loaded.items() if not t.equal(before[name])}
    assert changed
    if "towers" in keys:
        assert read_card(out / "README.md").card.adapts == ["prompt_language"]
        assert all(name.startswith("text_model") for name in changed)
    if "family" in keys:
        assert all("language_model" in name for name in changed)
    for name, tensor in merged.items():
        torch.testing.assert_close(tensor, loaded[name], rtol=1e-6, atol=1e-7, msg=name)


@pytest.mark.parametrize(
    ("keys", "base", "auto"),
    [
        (FAST | {"method": "full"}, "base", "AutoModel"),
        (VLM | {"method": "full"}, "chatter", "AutoModelForImageTextToText"),
    ],
    ids=["clip", "llava"],
)
def test_a_fine_tune_is_the_base_with_other_weights(material, tmp_path, keys, base, auto):
    out = trained(material, tmp_path, f"full-{base}", **keys)
    before, after = (load_file(f / "model.safetensors") for f in (material / base, out))
    assert before.keys() == after.keys()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed
    if "family" in keys:
        assert not any("vision" in name for name in changed)
    _, report = getattr(transformers, auto).from_pretrained(out, output_loading_info=True)
    assert not report["missing_keys"]
    assert read_card(out / "README.md").card.kind == "finetune"
    by_merge(material, tmp_path, base, out, keys.get("family", "embedding"))
    merged = load_file(tmp_path / "merged" / "model.safetensors")
    assert all(merged[name].equal(tensor) for name, tensor in after.items())


def test_an_open_clip_base_gives_an_open_clip_fine_tune(material, tmp_path):
    import open_clip

    asked = FAST | {"base": "open", "method": "full"}
    out = trained(material, tmp_path, "full-open", **asked)
    model, _ = open_clip.create_model_from_pretrained(f"local-dir:{out}")
    stored = load_file(out / "open_clip_model.safetensors")
    assert all(tensor.equal(stored[name]) for name, tensor in model.state_dict().items())
    merge(material / "open", [Adapter(out, 0.5)], tmp_path / "half", get_family("embedding"))


def test_bf16_trains_factors_in_float32(material, tmp_path):
    out = trained(material, tmp_path, "bf16", **FAST, precision="bf16")
    factors = load_file(out / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in factors.values()} == {torch.float32}
    assert any(tensor.abs().max() > 0 for name, tensor in factors.items() if "lora_B" in name)


def test_the_card_says_how_it_was_made_and_nothing_of_this_machine(material, tmp_path):
    rights = {
        "pictures": "made for this test", "licence_basis": "cc0-1.0", "recognisable_people": "no",
        "restricted_content": "no", "contact": "an issue", "takedown": "an issue",
    }  # fmt: skip
    out = trained(
        material, tmp_path, "card", **FAST, seed=7, data_rights=rights, license="cc0-1.0",
        summary={"en": "Colours."}, languages=["en"],
    )  # fmt: skip
    document = read_card(out / "README.md")
    card = document.card
    assert (card.level, card.kind, card.languages) == ("reproducible", "lora", ["en"])
    assert card.training.seed == 7
    figures = card.training.hyper_parameters
    assert figures["optimiser.learning_rate"] == 0.01
    assert figures["lora.r"] == 16
    assert figures["batch_size"] == 8
    assert {"torch", "peft", "ggez-hub"} <= card.training.versions.keys()
    assert card.data_rights.contact == "an issue"
    assert document.license == "cc0-1.0"
    assert document.front_matter["library_name"] == "peft"
    written = "".join(path.read_text() for path in out.iterdir() if path.suffix in {".md", ".json"})
    assert str(tmp_path) not in written
    assert str(material) not in written
    assert (
        json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"]
        == "org/base"
    )


def test_without_the_base_s_commit_it_cannot_be_reproduced(material, tmp_path):
    path = write_recipe(material / "main.yaml", max_steps=1)
    out = train(job(path, revision="main"), tmp_path / "out").out
    assert read_card(out / "README.md").card.level == "declared"


def test_rows_that_were_not_used_are_told_by_reason(material, tmp_path):
    """In the record and on the card: questions are none for CLIP, nor captions without a picture."""
    asked = copy.deepcopy(CAPTIONS)
    (source,) = asked["sources"]
    source["columns"]["examples"].append(
        {"format": "open_ended", "question": "caption", "answer": "caption"}
    )
    bare = {
        "name": "bare", "jsonl": "bare.jsonl", "license": "cc0-1.0",
        "columns": {"examples": [{"format": "caption", "answer": "text"}]},
    }  # fmt: skip
    rows = "".join(json.dumps({"text": f"a dish {n}"}) + "\n" for n in range(3))
    (material / "bare.jsonl").write_text(rows)
    asked["sources"].append(bare)
    keys = {"data": asked, "validation": {"share": 0.2}, **FAST}
    out = trained(material, tmp_path, "unused", **keys)
    record = json.loads((out / "training.json").read_text())
    assert record["unused"] == {"open_ended, not a caption": 24, "no picture": 3}
    assert record["examples"] + record["held_out"] == 24
    assert record["held_out"] > 0
    card = read_card(out / "README.md")
    figures = card.card.training.hyper_parameters
    assert figures["unused.open_ended, not a caption"] == 24
    assert figures["unused.no picture"] == 3
    assert figures["held_out"] == record["held_out"]
    assert "not used: 24 (open_ended, not a caption), 3 (no picture)." in card.prose


def other_captions(name, material):
    """The same pictures as a source of its own, with other captions."""
    folder = material / name
    if not folder.is_dir():
        shutil.copytree(material / "captions", folder)
        metadata = folder / "metadata.jsonl"
        metadata.write_text(metadata.read_text().replace("what is", f"{name} is"))
    asked = copy.deepcopy(CAPTIONS)
    asked["sources"][0] |= {"name": name, "imagefolder": name, "license": "cc-by-sa-4.0"}
    return asked


@pytest.mark.slow
def test_the_card_says_all_data_that_it_was_trained_on(material, tmp_path):
    """Licences and leakage are read off the sources: those of continued pre-training are among them."""
    keys = VLM | {"cpt": {"data": other_captions("before", material), "max_steps": 3}}
    keys |= {"validation": other_captions("held", material)}
    out = trained(material, tmp_path, "two-stages", **keys)
    card = read_card(out / "README.md")
    filtered = card.card.data_filter
    assert [source.repo for source in filtered.sources] == ["colours", "before"]
    assert filtered.rules == ["every row of the sources", "cpt: every row of the sources"]
    assert filtered.counts.kept == 24
    assert [term.what for term in _of_data(card.card)] == ["colours", "before"]
    figures = card.card.training.hyper_parameters
    assert (figures["cpt.steps"], figures["cpt.examples"], figures["cpt.rows"]) == (3, 24, 24)
    (before,) = figures["cpt.sources"]
    assert before == f"before@{filtered.sources[1].revision}"
    assert figures["validation.sources"][0].startswith("held@")
    assert figures["validation.spec_digest"] != figures["cpt.spec_digest"]
    assert "Before that (cpt): 3 steps on 24 examples." in card.prose
    assert "imagefolder" not in (out / "README.md").read_text()


def test_rules_of_both_stages_are_kept_where_their_translators_differ():
    last, first = (
        DataFilter.model_validate(
            {
                "sources": [{"repo": name, "revision": "1", "license": "cc0-1.0"}],
                "rules": ["script"], "reward": "none", "translator": translator,
                "counts": "unknown", "spec_digest": "unknown",
            }
        )
        for name, translator in (("a", "org/one@1"), ("b", "org/two@1"))
    )  # fmt: skip

    def combined(*origins):
        return combined_origin([FinishedStage("cpt", origin, 1, 1) for origin in origins])

    found = combined(first, last)
    assert found.translator == "unknown"
    assert found.rules == ["script", "cpt: script"]
    silent = first.model_copy(update={"translator": "none"})
    assert combined(silent, last).translator == "org/one@1"
    assert combined(last, silent).translator == "org/one@1"
    unsaid = first.model_copy(update={"sources": "unknown"})
    assert combined(unsaid, last).sources == "unknown"


FOLLOWS = {
    "base": ({}, {"loss": "clip", "lora.modules": 26}),
    "siglip": ({}, {"loss": "siglip"}),
    "sd15": ({"family": "diffusion", "resolution": 16}, {"objective": "epsilon"}),
}


@pytest.mark.parametrize("base", FOLLOWS)
def test_what_follows_from_the_base_is_on_the_card(material, tmp_path, base):
    keys, wanted = FOLLOWS[base]
    out = trained(material, tmp_path, f"follows-{base}", **FAST, **keys, base=base)
    figures = read_card(out / "README.md").card.training.hyper_parameters
    assert figures.items() >= (wanted | {"device": "cpu", "processes": 1}).items()
    record = json.loads((out / "training.json").read_text())
    assert record["base"] == "org/base@" + "a" * 40
    done = CliRunner().invoke(cli, ["card", "validate", str(out)])
    assert done.exit_code == 0, done.output
