"""What the models learn from and are asked: training pictures in the build, prompts in the hub.

The data set `emoji-prompts` holds names and no pictures: the judge's come from `emoji-names`. The
training pictures are share-alike or need attribution beside every copy, and never leave the build.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from demo_world.concepts import TRAINING_STYLES
from demo_world.diffusion.autoencoder import PIXELS, small
from demo_world.diffusion.subjects import LANGUAGE, SIDES, SIZES, Subject
from demo_world.packages import CLDR_NAMES

CANDIDATES = "data/candidates.parquet"

_README = """\
---
pretty_name: Emoji prompts
license: unicode-3.0
language: [en, th]
task_categories: [text-to-image]
size_categories: [n<1K]
configs:
  - config_name: en
    data_files:
      - {{split: validation, path: data/en/validation.parquet}}
      - {{split: test, path: data/en/test.parquet}}
  - config_name: th
    data_files:
      - {{split: validation, path: data/th/validation.parquet}}
      - {{split: test, path: data/th/test.parquet}}
---

# Emoji prompts

Names of {count} emoji as prompts for text-to-image models: {validation} for validation and {test} for test in English (the *global* side) and as many
others in Thai (the *regional* side). No concept is on both sides or in both splits. `data/candidates.parquet` lists all of them: a judge has to tell
which one was drawn.

The concepts were chosen by lot among things (no faces, gestures, signs or clock faces) whose pictures in the training styles (Twemoji, OpenMoji, at {pixels}
pixels) the judge recognises, so that a miss is the model's and not the judge's.

## Columns
- `id`: the code points, as in `emoji-names`; `prompt`: CLDR's short name

## Attribution
Names: {credit} (CLDR {version}, Unicode-3.0).
"""


def write_training_pictures(path: Path, subjects: Sequence[Subject]) -> None:
    """Every subject in every training style with its prompt, as a parquet file for `train`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = [
        {
            "id": f"{subject.concept.id}-{style}",
            "image": {"bytes": _png(small(subject.concept, style)), "path": None},
            "text": subject.prompt,
            "language": LANGUAGE[subject.side],
        }
        for subject in subjects
        for style in TRAINING_STYLES
    ]
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    text = pa.string()
    schema = pa.schema([("id", text), ("image", image), ("text", text), ("language", text)])
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)


def write_prompts(folder: Path, subjects: Sequence[Subject]) -> None:
    """Write the data set `emoji-prompts`."""
    _write(folder / CANDIDATES, [{"id": subject.concept.id} for subject in subjects])
    for side in SIDES:
        for split in SIZES:
            _write(
                folder / "data" / LANGUAGE[side] / f"{split}.parquet",
                [
                    {"id": subject.concept.id, "prompt": subject.prompt}
                    for subject in subjects
                    if (subject.side, subject.split) == (side, split)
                ],
            )
    readme = _README.format(
        count=len(subjects),
        pixels=PIXELS,
        credit=CLDR_NAMES.credit,
        version=CLDR_NAMES.version,
        validation=SIZES["validation"],
        test=SIZES["test"],
    )
    (folder / "README.md").write_text(readme, encoding="utf-8")


def _write(path: Path, rows: Sequence[dict[str, str]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path, compression="zstd")


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
