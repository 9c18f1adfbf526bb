"""DPG-Bench in the shape of its repository, and a pipeline and judges to draw and judge with."""

from __future__ import annotations

import csv
import hashlib
import io

import numpy as np
from PIL import Image

COLUMNS = ("item_id", "text", "keywords", "proposition_id", "dependency", "category_broad",
           "category_detailed", "tuple", "question_natural_language")  # fmt: skip
ITEMS = {
    "COCOval2014000000012345": ("a market of fruit, with a red boat", ["0", "1", "1,2", "0"]),
    "midjourney7": ("a picture of a temple", ["0", "0"]),
    "diffusiondb99": ('a street, "at night"', ["0", "1", "2"]),
}
# Of the questions of an item, by their number.
CATEGORIES = ("entity", "attribute", "relation", "global")


def dpg_rows(**changes):
    return [
        {
            "item_id": item, "text": text if number == 0 else "", "keywords": "",
            "proposition_id": str(number + 1), "dependency": dependency,
            "category_broad": CATEGORIES[number], "category_detailed": "whole",
            "tuple": f"{CATEGORIES[number]} - whole ({number})",
            "question_natural_language": f"Is there thing {number} of {item}?",
            **changes,
        }
        for item, (text, dependencies) in ITEMS.items()
        for number, dependency in enumerate(dependencies)
    ]  # fmt: skip


def write_dpg(folder, rows=None, *, prompts=True):
    """`folder`/dpg_bench as it lies in the repository."""
    place = folder / "dpg_bench"
    (place / "prompts").mkdir(parents=True)
    with (place / "dpg_bench.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(dpg_rows() if rows is None else rows)
    if prompts:
        for item, (text, _) in ITEMS.items():
            (place / "prompts" / f"{item}.txt").write_text(f"{text}\n", encoding="utf-8")
    return folder


class Painter:
    """Draws one colour, by prompt and seed."""

    def __init__(self):
        self.drawn = []

    def draw(self, orders):
        self.drawn += orders
        return [self.one(order.prompt, order.seed) for order in orders]

    def one(self, prompt, seed):
        colour = tuple(hashlib.sha256(f"{prompt}{seed}".encode()).digest()[:3])
        stream = io.BytesIO()
        Image.new("RGB", (16, 16), colour).save(stream, "PNG")
        return stream.getvalue()


class Judge:
    """Says by `says(picture, question)` which option it is, or None."""

    def __init__(self, says):
        self.says = says

    def answer(self, asked, method):
        picks = [self.says(chat.item.picture, chat.text) for chat in asked.choices]
        return asked.questions.chosen(
            [None if pick is None else chat.item.options.index(pick)
             for pick, chat in zip(picks, asked.choices, strict=True)]
        )  # fmt: skip


def by_hash(picture, question):
    """Yes, no, or nothing that could be read: 5 to 2 to 1."""
    number = hashlib.sha256(picture + question.encode()).digest()[0] % 8
    return "yes" if number < 5 else "no" if number < 7 else None


def counted(painter, judge, seeds, item):
    """DPG-Bench's rule of dependency, for one prompt: each question by picture."""
    text, dependencies = ITEMS[item]
    found = []
    for seed in seeds:
        picture = painter.one(text, seed)
        answers = {
            n + 1: float(
                judge(picture, f"Is there thing {n} of {item}? Answer yes or no.") == "yes"
            )
            for n in range(len(dependencies))
        }
        for number, dependency in enumerate(dependencies):
            parents = [int(parent) for parent in dependency.split(",")]
            if any(parent != 0 and answers[parent] == 0 for parent in parents):
                answers[number + 1] = 0.0
        found.append(list(answers.values()))
    return found


def reference(painter, judge, seeds, item):
    """What a prompt is worth there."""
    return float(np.mean([np.mean(one) for one in counted(painter, judge, seeds, item)]))
