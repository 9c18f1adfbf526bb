"""STUDY.yaml with items whose outputs are there: pictures of one colour, or texts."""

from __future__ import annotations

import io
import json

import yaml
from PIL import Image

MODELS = ("base", "merged", "unmerged")


def png(number, **how):
    stream = io.BytesIO()
    colour = (number * 37 % 256, number * 91 % 256, number * 53 % 256)
    Image.new("RGB", (32, 24), colour).save(stream, "PNG", **how)
    return stream.getvalue()


def item_rows(count=12, *, pictures=True):
    def output(number, model):
        own = MODELS.index(model) * 100 + number
        return {"picture": f"pictures/{own}.png"} if pictures else {"text": f"answer {own}"}

    return [
        {
            "id": f"item-{number}",
            "side": "regional" if number % 2 else "global",
            "category": ("Cuisine", "Landmark", "Tradition")[number % 3],
            "language": "en",
            "prompt": f"A market, {number}",
            "outputs": {model: output(number, model) for model in MODELS},
        }
        for number in range(count)
    ]


def write_study(folder, rows=None, *, pictures=True, **changes):
    """`folder`/study.yaml, items.jsonl and pictures; returns the path of the first."""
    folder.mkdir(exist_ok=True)
    rows = item_rows(pictures=pictures) if rows is None else rows
    (folder / "pictures").mkdir(exist_ok=True)
    for row in rows:
        for given in row.get("outputs", {}).values():
            if name := given.get("picture"):
                place = folder / name
                if not place.exists() and ".." not in name:
                    place.write_bytes(png(int(place.stem)))
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / "items.jsonl").write_text(text + "\n", encoding="utf-8")
    study = {
        "kind": "study",
        "name": "th-market",
        "title": {"en": "Markets", "th": "ตลาด"},
        "region": "th",
        "design": "likert",
        "raters": {"global": ["en"], "regional": ["th", "en"]},
        "raters_per_item": 2,
        "instructions": {"en": "Judge what you see.", "th": "ให้คะแนนภาพ"},
        "consent": {"version": "1", "text": {"en": "I take part freely."}},
        "models": [
            {"name": "base", "role": "base"},
            {"name": "merged", "role": "merged", "beta": 0.25},
            {"name": "unmerged", "role": "unmerged", "beta": 1.0},
        ],
        "items": {"file": "items.jsonl"},
        **changes,
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, allow_unicode=True), encoding="utf-8")
    return path
