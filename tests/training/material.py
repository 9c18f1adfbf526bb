"""Tiny bases, pictures with captions, and recipes that train on them in a second."""

from __future__ import annotations

import json

import numpy as np
import yaml
from PIL import Image

from ggez_hub.registry.local.inputs import Source
from ggez_hub.training.job import Job, read_training

COLOURS = {
    "red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "white": (240, 240, 240),
    "black": (10, 10, 10), "pink": (240, 130, 180), "grey": (128, 128, 128), "brown": (120, 70, 20),
}  # fmt: skip
REPO = "org/base@" + "a" * 40


def write_captions(folder, copies=3):
    """Noisy squares of eight colours with their names, as an imagefolder with metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    rows = []
    for name, colour in COLOURS.items():
        for number in range(copies):
            noise = random.normal(0, 12, (28, 28, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            path = folder / f"{name}-{number}.png"
            Image.fromarray(pixels).save(path)
            rows.append({"file_name": path.name, "caption": f"what is {name} in picture {number}"})
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metadata.jsonl").write_text(text)
    return folder


CAPTIONS = {
    "sources": [
        {
            "name": "colours",
            "imagefolder": "captions",
            "license": "cc0-1.0",
            "columns": {
                "picture": "image",
                "examples": [{"format": "caption", "answer": "caption"}],
            },
        }
    ]
}


def recipe(**keys):
    return {
        "kind": "train", "family": "embedding", "region": "th", "base": "base", "base_repo": REPO,
        "method": "lora", "data": CAPTIONS, "batch_size": 8, "micro_batch": 4, "max_steps": 6,
        "precision": "fp32", "checkpoint_every": 2, **keys,
    }  # fmt: skip


def write_recipe(path, **keys):
    path.write_text(yaml.safe_dump(recipe(**keys)))
    return path


def job(path, revision="a" * 40):
    """The job of a recipe beside its base."""
    asked = read_training(path)
    base = path.parent / asked.base
    return Job(asked, path.parent, Source(base, asked.base, "org/base", revision))
