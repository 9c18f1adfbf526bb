"""The adapter's training set, as `ggez-hub train` reads it: pictures, questions and their answers.

It lies in the folder of a build and goes nowhere else: its pictures are partly share-alike.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ggez_hub.world.concepts import TRAINING_STYLES, concepts
from ggez_hub.world.vlm.features import AUGMENTATION
from ggez_hub.world.vlm.tokenizer import QUESTIONS


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
