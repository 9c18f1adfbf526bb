"""Tiny bases, pictures with captions, and recipes that train on them in a second."""

from __future__ import annotations

import json

import numpy as np
import torch
import transformers
from PIL import Image

from ggez_hub.registry.local_merge.inputs import ModelSource
from ggez_hub.training.job import Job, read_training
from tests.evaluation.seers import write_seer
from tests.evaluation.towers import tokenizer
from tests.models import write_open_clip

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
    path.write_text(json.dumps(recipe(**keys)))
    return path


def job(path, revision="a" * 40):
    """The job of a recipe beside its base."""
    asked = read_training(path)
    base = path.parent / asked.base
    return Job(asked, path.parent, ModelSource(base, asked.base, "org/base", revision))


TEMPLATE = (
    "{% for m in messages %}{{ 'USER: ' if m.role == 'user' else 'ASSISTANT: ' }}"
    "{% for c in m.content %}{{ MARK if c.type == 'image' else c.text }}{% endfor %}"
    "{{ '[EOS]' if m.role == 'assistant' else '' }}\n{% endfor %}"
    "{{ 'ASSISTANT: ' if add_generation_prompt else '' }}"
)
MARKS = {
    "llava": "<image>",
    "qwen2-vl": "<|vision_start|><|image_pad|><|vision_end|>",
    "gemma3": "<start_of_image>",
}


def write_chatter(folder, name="llava"):
    """A tiny vision-language model whose template tells who speaks."""
    write_seer(folder, name, scale=0.1)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    processor.chat_template = TEMPLATE.replace("MARK", f"'{MARKS[name]}'")
    processor.save_pretrained(folder)
    return folder


def write_open_base(folder):
    """A tiny open_clip model in float32 with a tokenizer of its own."""
    folder.mkdir()
    write_open_clip(folder, torch.float32, buffer=False)
    (folder / "open_clip_pytorch_model.bin").unlink()
    tokenizer().save_pretrained(folder)
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "org/base"
    path.write_text(json.dumps(config))
    return folder
