"""The world's judge: which concept a picture shows, by styles that the generator never saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ggez_hub.evaluation.recognition.judge import Judge
from ggez_hub.evaluation.recognition.task import DrawingTask, load_drawing_tasks
from ggez_hub.resources import recipes
from ggez_hub.world.concepts import TRAINING_STYLES, Concept
from ggez_hub.world.diffusion.autoencoder import PIXELS, pixels, small
from ggez_hub.world.diffusion.sets import SIDES, Subject
from ggez_hub.world.place import Place


def tasks() -> tuple[DrawingTask, ...]:
    """The drawing tasks of the demo."""
    return load_drawing_tasks(recipes() / "demo" / "diffusion")


def judge(clip: Place, ids: Sequence[str]) -> Judge:
    """The judge of the demo's tasks, for these candidates: clip-emoji with the pictures beside it."""
    return Judge(clip.base, ids, clip.data, tasks()[0].judge.references, PIXELS)


def recognised(clip: Place, concepts: Sequence[Concept]) -> frozenset[str]:
    """The concepts whose pictures in every training style the judge names right, among them all."""
    seen = judge(clip, [concept.id for concept in concepts])
    right = np.ones(len(concepts), np.bool_)
    for style in TRAINING_STYLES:
        similarity = seen.similarity(small(concept, style) for concept in concepts)
        right &= similarity.argmax(axis=1) == np.arange(len(concepts))
    return frozenset(c.id for c, named in zip(concepts, right, strict=True) if named)


def reconstructed(clip: Place, pipeline: Path, subjects: Sequence[Subject]) -> dict[str, float]:
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
