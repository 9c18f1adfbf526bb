"""The committed diffusion family loads in its libraries, and its evidence says what its card says."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from safetensors import safe_open

from demo_world.cards import base_revision
from demo_world.control import shuffle_drawings
from demo_world.diffusion.autoencoder import PIXELS
from demo_world.diffusion.card_text import ENLARGED, PICTURE, PROMPTS, examples_of
from ggez_hub.cards import read_card
from ggez_hub.demo.hub import ASSETS
from ggez_hub.demo.questions import drawing_tasks
from ggez_hub.demo.world import DIFFUSION as PART
from ggez_hub.demo.world import EVIDENCE, FamilyFolders
from ggez_hub.digests import sha256_file
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.answers.predictions import read_predictions
from ggez_hub.evaluation.answers.scores import mean_difference, score_of
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.parity.beta_choice import select_beta

PLACE, CLIP = FamilyFolders(ASSETS, PART), FamilyFolders(ASSETS)
TH = PLACE.adapter("th")
DIFFUSION = get_family("diffusion")


@pytest.fixture(scope="module")
def card():
    return read_card(TH / "README.md").card


@pytest.fixture(scope="module")
def evidence():
    return read_predictions(TH / EVIDENCE)


def rows(path):
    return pq.read_table(PLACE.data / "data" / path).to_pylist()


def test_the_weights_are_fp16_and_small():
    files = sorted(PLACE.base.parent.rglob("*.safetensors"))
    assert [file.parent.name for file in files] == ["text_encoder", "unet", "vae", "th"]
    assert sum(file.stat().st_size for file in files) < 15_000_000
    for file in files:
        with safe_open(file, framework="pt") as stored:
            assert {stored.get_slice(name).get_dtype() for name in stored.keys()} == {"F16"}  # noqa: SIM118


def test_no_concept_is_on_both_sides_or_in_both_splits():
    parts = {
        (language, split): {row["id"] for row in rows(f"{language}/{split}.parquet")}
        for language in ("en", "th")
        for split in ("validation", "test")
    }
    assert {key: len(part) for key, part in parts.items()} == {
        ("en", "validation"): 32, ("en", "test"): 64, ("th", "validation"): 32, ("th", "test"): 64,
    }  # fmt: skip
    assert set.union(*parts.values()) == {row["id"] for row in rows("candidates.parquet")}
    assert len(set.union(*parts.values())) == 192


def test_prompts_are_read_as_clip_emoji_reads_them():
    from demo_world.embedding.model import load_model

    pipeline = DiffusionPipeline.from_pretrained(PLACE.base, dtype=torch.float32)
    prompts = [row["prompt"] for row in rows("th/test.parquet")[:8]]
    hidden, _ = pipeline.encode_prompt(prompts, "cpu", 1, do_classifier_free_guidance=False)
    tokens = pipeline.tokenizer(
        prompts, padding="max_length", max_length=hidden.shape[1], return_tensors="pt"
    ).input_ids
    clip, length = load_model(CLIP.base), hidden.shape[1]
    with torch.inference_mode():
        seen = clip.token_embedding(tokens) + clip.positional_embedding[:length]
        seen = clip.ln_final(clip.transformer(seen, attn_mask=clip.attn_mask[:length, :length]))
    torch.testing.assert_close(hidden, seen, atol=1e-5, rtol=0)


def test_the_merge_draws_as_diffusers_does_with_the_adapter(tmp_path):
    merge(PLACE.base, [Adapter(TH, 1.0)], tmp_path / "merged", DIFFUSION)
    merged = DiffusionPipeline.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    adapted = DiffusionPipeline.from_pretrained(PLACE.base, dtype=torch.float32)
    adapted.load_lora_weights(TH)
    drawn = []
    for pipeline in (merged, adapted):
        pipeline.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(0)
        (picture,) = pipeline("ยีราฟ", num_inference_steps=4, generator=generator).images
        assert picture.size == (32, 32)
        drawn.append(np.asarray(picture).astype(int))
    # The merge rounds to half precision.
    assert abs(drawn[0] - drawn[1]).mean() < 2
    assert drawn[0].std() > 20


def test_the_card_names_the_base_and_the_files(card):
    assert card.base.revision == base_revision(PLACE)
    assert card.base.weights == {
        path: sha256_file(PLACE.base / path) for path in DIFFUSION.layout(PLACE.base).weights
    }
    assert {path: record.sha256 for path, record in card.files.items()} == {
        path: sha256_file(TH / path) for path in card.files
    }
    assert (card.kind, card.level, card.adapts) == (
        "lora", "measured", ["content", "prompt_language"],
    )  # fmt: skip


def test_every_score_of_the_card_follows_from_its_evidence(card, evidence):
    counted = 0
    for beta, by_task in card.curve.items():
        for key, row in by_task.items():
            task, _, split = key.rpartition("/")
            found = score_of(evidence[Cell(float(beta), task, split)])
            assert (row.score, row.n, row.se, row.floor) == (
                found.score, found.n, found.se, found.floor,
            )  # fmt: skip
            assert row.n == 5 * {"validation": 32, "test": 64}[split]
            assert row.predictions == sha256_file(TH / EVIDENCE)
            counted += 1
    assert counted == len(evidence)


def test_the_base_beats_chance_and_shuffled_prompts_in_english(evidence):
    found = evidence[Cell(0.0, "emoji-en-drawing", "test")]
    assert score_of(found).normalised_interval[0] > 0
    assert mean_difference([found], [shuffle_drawings(found)]).low > 0


def test_merged_and_alone_the_adapter_beats_shuffled_prompts_in_both_languages(card, evidence):
    chosen = select_beta(card.measured, card.alpha.value, "th").beta
    for beta in {chosen, 1.0}:
        for task in drawing_tasks():
            found = evidence[Cell(beta, task.id, "test")]
            assert mean_difference([found], [shuffle_drawings(found)]).low > 0


def test_the_base_does_not_beat_shuffled_prompts_in_thai_and_the_card_says_so(evidence):
    found = evidence[Cell(0.0, "emoji-th-drawing", "test")]
    assert mean_difference([found], [shuffle_drawings(found)]).low <= 0
    assert "Not every interval excludes 0" in (TH / "README.md").read_text(encoding="utf-8")


def test_the_picture_has_a_row_for_each_beta_and_the_card_names_its_prompts(card):
    chosen = select_beta(card.measured, card.alpha.value, "th").beta
    shown = sorted({0.0, chosen, 1.0})
    said = (TH / "README.md").read_text(encoding="utf-8")
    section = said.partition("## Drawings")[2].partition("\n## ")[0]
    assert f"rows is\n{', '.join(f'{beta:g}' for beta in shown)}." in section
    for prompts in examples_of(PLACE.data).values():
        assert len(prompts) == PROMPTS
        assert ", ".join(prompts) in section
    with Image.open(TH / PICTURE) as picture:
        assert picture.height == len(shown) * PIXELS * ENLARGED
        assert picture.width == (2 * PROMPTS + 0.5) * PIXELS * ENLARGED
