"""The data set `emoji-names`: one parquet file per held-out style, read by `datasets.load_dataset`.

Only styles that may be passed on under a permissive licence are written (MIT, Apache-2.0). The
training styles are share-alike or need attribution beside every copy; they are fetched where a
model is trained and never leave the cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from demo_world.concepts import LANGUAGES, TEST_STYLE, VALIDATION_STYLE, concepts
from demo_world.packages import CLDR_NAMES, EMOJI_GROUPS, FLUENT, NOTO, read_text
from demo_world.pictures import SIZE, draw, webp

# `id` is the concept, so Indonesian goes by its three-letter code.
COLUMNS: Mapping[str, str] = {
    language: "ind" if language == "id" else language for language in LANGUAGES
}

SPLITS: Mapping[str, str] = {"validation": VALIDATION_STYLE, "test": TEST_STYLE}

_README = """\
---
pretty_name: Emoji names
license: other
license_name: mit-apache-2.0-unicode-3.0
license_link: https://spdx.org/licenses/
language: [{languages}]
task_categories: [zero-shot-image-classification]
size_categories: [1K<n<10K]
configs:
  - config_name: default
    data_files:
      - {{split: validation, path: data/validation.parquet}}
      - {{split: test, path: data/test.parquet}}
---

# Emoji names

{count:,} emoji in two drawing styles, with their names in {language_count} languages. There is no training split: models are trained on other
styles (Twemoji, OpenMoji) of the same concepts, so a score on this data measures a style that a model has *not* seen and names that it *has* seen.
It measures language, not culture: the pictures are the same for every language.

| split | style | pictures from | licence |
|---|---|---|---|
| validation | `{validation}` | {fluent_credit} | {fluent_licence} |
| test | `{test}` | {noto_credit} | {noto_licence} |

## Columns
- `id`: the code points, hyphenated, lower case, without U+FE0F: `1f600`
- `image`: {size} x {size} pixels on white, lossless WebP.
- `style`: the style's name; `group`: the Unicode group, from which the wrong answers of a 4-way choice are drawn
- one column for each language ({columns}; Indonesian is `ind`, because `id` is taken): CLDR's short name, null where CLDR has none or where it
  equals the English one. Names: {named}.

## Attribution
- Names: {names_credit} (CLDR {names_version}, Unicode-3.0; the notice is in `LICENSE-unicode`).
- Groups: {groups_credit} ({groups_licence}).
- Noto Emoji: copyright Google LLC, licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0). Changed: drawn as
  pixels.
- Fluent Emoji: copyright (c) Microsoft Corporation, MIT:

{mit}
"""

_MIT = """\
> Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "Software"),
> to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense,
> and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:
>
> The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.
>
> THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
> FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
> LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS
> IN THE SOFTWARE."""


def build_pictures(folder: Path) -> None:
    """Write the data set into `folder`: two splits, README.md and the Unicode notice."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for split, style in SPLITS.items():
        _write_split(folder / "data" / f"{split}.parquet", style)
    (folder / "README.md").write_text(_readme(), encoding="utf-8")
    (folder / "LICENSE-unicode").write_text(read_text(CLDR_NAMES, "LICENSE"), encoding="utf-8")


def _write_split(path: Path, style: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features, Image, Value

    text = Value("string")
    features = Features(
        {
            "id": text,
            "image": Image(),
            "style": text,
            "group": text,
            **dict.fromkeys(COLUMNS.values(), text),
        }
    )
    rows = [
        {
            "id": concept.id,
            "image": {
                "bytes": webp(draw(concept, style)),
                "path": f"{concept.id}.webp",
            },
            "style": style,
            "group": concept.group,
            **{COLUMNS[language]: name for language, name in concept.names.items()},
        }
        for concept in concepts()
    ]
    pq.write_table(
        # The schema carries the `huggingface` metadata, which says that a struct is a picture.
        pa.Table.from_pylist(rows, schema=features.arrow_schema),
        path,
        compression="zstd",
        compression_level=19,
        # A dictionary of values that are all different would only add to the file.
        use_dictionary=["style", "group"],
    )


def _readme() -> str:
    found = concepts()
    counts = {
        language: sum(concept.names[language] is not None for concept in found)
        for language in LANGUAGES
    }
    return _README.format(
        count=len(found),
        language_count=len(LANGUAGES),
        languages=", ".join(LANGUAGES),
        columns=", ".join(f"`{column}`" for column in COLUMNS.values()),
        named=", ".join(f"{language} {count:,}" for language, count in counts.items()),
        size=SIZE,
        validation=VALIDATION_STYLE,
        test=TEST_STYLE,
        fluent_credit=FLUENT.credit,
        fluent_licence=FLUENT.licence,
        noto_credit=NOTO.credit,
        noto_licence=NOTO.licence,
        names_credit=CLDR_NAMES.credit,
        names_version=CLDR_NAMES.version,
        groups_credit=EMOJI_GROUPS.credit,
        groups_licence=EMOJI_GROUPS.licence,
        mit=_MIT,
    )
