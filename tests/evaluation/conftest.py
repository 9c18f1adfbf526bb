"""A tiny open_clip model, adapters on it, and a data set of coloured squares."""

from __future__ import annotations

import io
import json
import shutil
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from ggez_hub.evaluation.answers.outcomes import Details, Outcomes
from ggez_hub.evaluation.benchmarks.task import Task

CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 48, "patch_size": 16, "head_width": 16},
    # No tokenizer is named: open_clip takes its own BPE, which is a part of the package.
    "text_cfg": {
        "context_length": 16,
        "vocab_size": 49408,
        "width": 48,
        "heads": 3,
        "layers": 2,
    },
}

COLOURS = {
    "red": "แดง",
    "green": "เขียว",
    "blue": "น้ำเงิน",
    "yellow": "เหลือง",
    "orange": "ส้ม",
    "purple": "ม่วง",
    "black": "ดำ",
    "white": "ขาว",
    "brown": None,
    "pink": "ชมพู",
    "gray": "เทา",
    "cyan": "ฟ้า",
}


def open_clip_model():
    import open_clip

    torch.manual_seed(0)
    model = open_clip.CLIP(**CONFIG)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.1)
    return model.eval()


def write_lora(folder, targets):
    """A LoRA of the model, which seeds what is drawn here too."""
    import peft

    config = peft.LoraConfig(target_modules=targets, r=4, lora_alpha=6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(open_clip_model(), config)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(0, 0.2)
    # "auto" would ask the Hub whether the base's vocabulary was changed.
    wrapped.save_pretrained(folder, save_embedding_layers=False)
    return folder


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """An open_clip folder in float16."""
    folder = tmp_path_factory.mktemp("base")
    state = {name: t.half().contiguous() for name, t in open_clip_model().state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    config = {"model_cfg": CONFIG, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def change_config(base, folder, **model_cfg):
    """A copy of an open_clip folder with other settings."""
    shutil.copytree(base, folder)
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"].update(model_cfg)
    path.write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def text_lora(tmp_path_factory):
    """A LoRA on the text tower."""
    targets = r"transformer\.resblocks\..*\.(c_fc|c_proj)|token_embedding"
    return write_lora(tmp_path_factory.mktemp("text-lora"), targets)


@pytest.fixture(scope="session")
def both_lora(tmp_path_factory):
    """A LoRA on both towers."""
    targets = r"(visual\.)?transformer\.resblocks\..*\.(c_fc|c_proj)|visual\.conv1"
    return write_lora(tmp_path_factory.mktemp("both-lora"), targets)


def square(colour):
    stream = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(stream, "PNG")
    return stream.getvalue()


def colour_rows():
    return [
        {
            "id": f"c{number:02}",
            "image": {"bytes": square(colour), "path": f"{colour}.png"},
            "style": "flat",
            "group": "warm" if number % 2 else "cold",
            "en": colour,
            "th": thai,
        }
        for number, (colour, thai) in enumerate(COLOURS.items())
    ]


SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        *((name, pa.string()) for name in ("style", "group", "en", "th")),
    ]
)


def write_rows(path, rows, schema=SCHEMA):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """The data set's folder with both splits; brown has no Thai name."""
    folder = tmp_path_factory.mktemp("colours")
    write_rows(folder / "data" / "validation.parquet", colour_rows())
    write_rows(folder / "data" / "test.parquet", colour_rows()[::-1])
    return folder


def make_task(language="th", metric="text_to_image_r1", **changes):
    content = {
        "kind": "task",
        "id": f"colours-{language}-{metric.replace('_', '-')}",
        "title": "Names of colours",
        "dataset": {"repo": "ggez-world/colours", "revision": "main"},
        "splits": {"validation": "data/validation.parquet", "test": "data/test.parquet"},
        "columns": {"id": "id", "image": "image", "text": language, "group": "group"},
        "metric": metric,
        "side": "global" if language == "en" else "regional",
        "regions": [] if language == "en" else [language],
        "language": language,
        "seed": 0,
    }
    return Task.model_validate({**content, **changes})


def change(path, column, row, value):
    """Set one value of a predictions file."""
    table = pq.read_table(path)
    values = table.column(column).to_pylist()
    values[row] = value
    field = table.schema.field(column)
    table = table.set_column(
        table.schema.get_field_index(column), field, pa.array(values, field.type)
    )
    pq.write_table(table, path)


def outcomes(correct, chance=0.25, items=None, **details):
    """Answers of which `correct` (n) are right; `details` are fields of Details."""
    correct = np.asarray(correct, dtype=bool)
    n = len(correct)
    ids = tuple(items or (f"i{row}" for row in range(n)))
    return Outcomes(
        items=ids,
        gold=ids,
        predicted=tuple(i if right else "wrong" for i, right in zip(ids, correct, strict=True)),
        rank=np.where(correct, 1, 2).astype(np.int32),
        correct=correct,
        chance=np.full(n, float(chance)),
        details=Details.of(n, **details) if details else None,
    )
