"""What the frozen tower gives the projector: (16, 1280) numbers for each picture, cached as fp16.

Every training picture is seen plain and under a few augmentations; the held-out ones only as the
published data set stores them.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from demo_world.concepts import STYLES, TRAINING_STYLES, concepts
from demo_world.image_tower import TOWER, cached
from demo_world.pictures import Augmentation
from demo_world.vlm.model import (
    ASSISTANT,
    FEATURES,
    IMAGE,
    LANGUAGES,
    PLACES,
    QUESTIONS,
    USER,
    new_model,
    new_processor,
)

AUGMENTATION = Augmentation(copies=3)
# Small, so that a convolution's activations stay in a processor's cache.
_BATCH = 16


def training_features() -> Tensor:
    """(concepts, styles x (1 + copies), 16, 1280) fp16 for the training styles."""
    return torch.cat([_style_features(style) for style in TRAINING_STYLES], dim=1)


def held_out_pictures(parquet: Path) -> list[Image.Image]:
    """The pictures of one split of the published data set."""
    import pyarrow.parquet as pq

    stored = pq.read_table(parquet, columns=["image"]).column("image").to_pylist()
    return [Image.open(io.BytesIO(image["bytes"])) for image in stored]


@torch.inference_mode()
def see(model: Any, processor: Any, pictures: Iterable[Image.Image]) -> Tensor:
    """Pictures -> (n, 16, 1280): what the tower of `model` gives the projector."""
    tower = model.model.vision_tower.to(memory_format=torch.channels_last)
    found, waiting = [], iter(pictures)
    while batch := list(islice(waiting, _BATCH)):
        pixels = processor.image_processor(batch, return_tensors="pt")["pixel_values"]
        found.append(tower(pixels).last_hidden_state.flatten(2).permute(0, 2, 1))
    return torch.cat(found)


def _style_features(style: str) -> Tensor:
    processor = new_processor()
    libraries = ("resvg_py", "timm", "torch", "torchvision", "transformers")
    key = {
        "style": STYLES[style].record(),
        "tower": TOWER,
        "pictures": processor.image_processor.to_dict(),
        "augmentation": asdict(AUGMENTATION),
        "versions": {library: version(library) for library in libraries},
    }
    found = cached(
        f"vlm-{style}",
        key,
        lambda: (
            see(new_model(0, processor), processor, AUGMENTATION.pictures(style)).half().numpy()
        ),
    )
    return torch.from_numpy(found).view(len(concepts()), 1 + AUGMENTATION.copies, PLACES, FEATURES)


IGNORED = -100


class Batch(NamedTuple):
    """`features` (n, 16, 1280) float32, token ids (n, t), labels (n, t): IGNORED but for replies."""

    features: Tensor
    ids: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Material:
    """Features of the training pictures (concepts, views, 16, 1280), and tokens.

    `prompts[language]` are the tokens of a question, `replies[language][concept]` those of a name.
    """

    features: Tensor
    prompts: Mapping[str, Sequence[int]]
    replies: Mapping[str, Sequence[Sequence[int]]]
    pad: int

    @classmethod
    def of(cls, features: Tensor, processor: Any) -> Material:
        """The names of all concepts in the tokens of `processor`, asked as its template asks."""
        words = processor.tokenizer

        def tokens(text: str) -> list[int]:
            found: list[int] = words(text, add_special_tokens=False).input_ids
            return found

        seen = f"{words.bos_token}{USER}{IMAGE * PLACES}"
        return cls(
            features,
            {language: tokens(f"{seen}{QUESTIONS[language]}{ASSISTANT}") for language in LANGUAGES},
            {
                language: [
                    tokens(f" {concept.names[language]}{words.eos_token}") for concept in concepts()
                ]
                for language in LANGUAGES
            },
            words.pad_token_id,
        )

    def draw(
        self, rows: Sequence[int], shares: Mapping[str, float], rng: np.random.Generator
    ) -> Batch:
        """A picture of each concept, and its name asked for in a language drawn by its share."""
        languages = rng.choice(list(shares), size=len(rows), p=list(shares.values()))
        views = torch.from_numpy(rng.integers(self.features.shape[1], size=len(rows)))
        prompts = [self.prompts[language] for language in languages]
        replies = [self.replies[lang][row] for lang, row in zip(languages, rows, strict=True)]
        longest = max(len(p) + len(r) for p, r in zip(prompts, replies, strict=True))
        # Padding is on the right, where causal attention never looks.
        ids = torch.full((len(rows), longest), self.pad)
        labels = torch.full((len(rows), longest), IGNORED)
        for place, (prompt, reply) in enumerate(zip(prompts, replies, strict=True)):
            end = len(prompt) + len(reply)
            ids[place, :end] = torch.tensor([*prompt, *reply])
            labels[place, len(prompt) : end] = torch.tensor(reply)
        return Batch(self.features[torch.tensor(rows), views].float(), ids, labels)


def write_chats(path: Path, language: str) -> int:
    """Every training picture with its name in one language; returns how many."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features, Image, Value

    text = Value("string")
    columns = dict.fromkeys(("id", "question", "answer", "language"), text)
    rows = []
    copies = 1 + AUGMENTATION.copies
    for style in TRAINING_STYLES:
        for number, picture in enumerate(AUGMENTATION.pictures(style)):
            concept, view = concepts()[number // copies], number % copies
            rows.append(
                {
                    "id": f"{concept.id}/{style}/{view}",
                    "image": {"bytes": _png(picture), "path": None},
                    "question": QUESTIONS[language],
                    "answer": concept.names[language],
                    "language": language,
                }
            )
    schema = Features({**columns, "image": Image()}).arrow_schema
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return len(rows)


def _png(picture: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
