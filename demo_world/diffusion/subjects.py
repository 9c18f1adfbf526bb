"""Which concepts are drawn: global ones by English names, regional ones by Thai names.

The base learns the global concepts; the regional ones it has never seen, neither their pictures nor
their names. This is a *regional subset*, not culture: both sets are emoji drawn by lot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image

from demo_world.concepts import TRAINING_STYLES, Concept, concepts
from demo_world.diffusion.autoencoder import PIXELS, pixels, small
from ggez_hub.demo.questions import drawing_tasks
from ggez_hub.demo.world import FamilyFolders
from ggez_hub.evaluation.benchmarks.recognition import RecognitionJudge

Side: TypeAlias = Literal["global", "regional"]
Split: TypeAlias = Literal["validation", "test"]

SIDES: tuple[Side, ...] = ("global", "regional")

SIZES: Mapping[Split, int] = {"validation": 32, "test": 64}
"""Concepts of each side; a concept is of one side and one split."""

LANGUAGE: Mapping[Side, str] = {"global": "en", "regional": "th"}

# Things that can be told apart at 32 pixels: no faces, no gestures, no signs.
GROUPS = frozenset({"Activities", "Animals & Nature", "Food & Drink", "Objects", "Travel & Places"})
# Twenty-four clock faces differ by their hands alone.
_CLOCKS = range(0x1F550, 0x1F568)


@dataclass(frozen=True)
class Subject:
    """A concept with its place: which side asks for it, and in which split."""

    concept: Concept
    side: Side
    split: Split

    @property
    def prompt(self) -> str:
        """Its name in the language of its side."""
        name = self.concept.names[LANGUAGE[self.side]]
        assert name is not None  # noqa: S101  # `candidates` takes none without
        return name


def choose(recognised: Collection[str]) -> tuple[Subject, ...]:
    """192 of the recognised concepts by lot: the order of a hash of their ids, on every machine."""
    drawn = sorted(
        (concept for concept in candidates() if concept.id in recognised),
        key=lambda concept: hashlib.sha256(f"diffusion/{concept.id}".encode()).digest(),
    )
    places = [(side, split) for side in SIDES for split, size in SIZES.items() for _ in range(size)]
    return tuple(
        Subject(concept, side, split)
        for concept, (side, split) in zip(drawn[: len(places)], places, strict=True)
    )


def candidates() -> tuple[Concept, ...]:
    """The concepts of the groups above that have a Thai name."""
    return tuple(concept for concept in concepts() if _fits(concept))


def _fits(concept: Concept) -> bool:
    return (
        concept.group in GROUPS
        and concept.names["th"] is not None
        and not ("-" not in concept.id and int(concept.id, 16) in _CLOCKS)
    )


def judge(clip: FamilyFolders, ids: Sequence[str]) -> RecognitionJudge:
    """The judge of the demo's tasks, for these candidates: clip-emoji with the pictures beside it."""
    return RecognitionJudge(clip.base, ids, clip.data, drawing_tasks()[0].judge.references, PIXELS)


def recognised(clip: FamilyFolders, concepts: Sequence[Concept]) -> frozenset[str]:
    """The concepts whose pictures in every training style the judge names right, among them all."""
    seen = judge(clip, [concept.id for concept in concepts])
    right = np.ones(len(concepts), np.bool_)
    for style in TRAINING_STYLES:
        similarity = seen.similarity(small(concept, style) for concept in concepts)
        right &= similarity.argmax(axis=1) == np.arange(len(concepts))
    return frozenset(c.id for c, named in zip(concepts, right, strict=True) if named)


def reconstructed(
    clip: FamilyFolders, pipeline: Path, subjects: Sequence[Subject]
) -> dict[str, float]:
    """Side -> share of the training styles' pictures that the judge names after the autoencoder."""
    import torch
    from diffusers import AutoencoderKL

    autoencoder = AutoencoderKL.from_pretrained(
        pipeline / "vae", dtype=torch.float32, local_files_only=True
    )
    seen = judge(clip, [subject.concept.id for subject in subjects])
    found: dict[str, float] = {}
    for side in SIDES:
        own = [n for n, subject in enumerate(subjects) if subject.side == side]
        real = pixels([subjects[n].concept for n in own])
        with torch.inference_mode():
            made = autoencoder.decode(autoencoder.encode(real).latent_dist.mean).sample
        values = ((made + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
        answers = seen.similarity(map(Image.fromarray, values.numpy())).argmax(axis=1)
        found[side] = float((answers == np.repeat(own, len(TRAINING_STYLES))).mean())
    return found
