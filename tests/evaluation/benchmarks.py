"""Small data sets in exactly the shapes of the real benchmarks, written by `datasets` itself."""

from __future__ import annotations

import io
import json

import datasets
from PIL import Image

from ggez_hub.evaluation.benchmarks.benchmark import find_benchmarks
from ggez_hub.evaluation.benchmarks.contents import Folders, read_contents
from ggez_hub.evaluation.benchmarks.loaders.base import address_name

TEXT, WHOLE, TEXTS = datasets.Value("string"), datasets.Value("int64"), datasets.List(datasets.Value("string"))  # fmt: skip

CVQA = {
    "image": datasets.Image(), "ID": TEXT, "Subset": TEXT, "Question": TEXT,
    "Translated Question": TEXT, "Options": TEXTS, "Translated Options": TEXTS, "Label": WHOLE,
    "Category": TEXT, "Image Type": TEXT, "Image Source": TEXT, "License": TEXT,
}  # fmt: skip
SEA_VQA = dict.fromkeys(
    ("question", "choice_a", "choice_b", "choice_c", "choice_d", "correct_answer", "image_path",
     "image_page", "copyright"), TEXT,
)  # fmt: skip
WORLDCUISINES = {
    **dict.fromkeys(("qa_id", "lang", "food_id", "prompt_id"), TEXT), "prompt_type": WHOLE,
    **dict.fromkeys(("multi_choice_prompt", "open_ended_prompt", "image_url", "answer"), TEXT),
    "multi_choice_answer": WHOLE, "task": TEXT, "lang_status": TEXT,
}  # fmt: skip
FOOD_KB = {
    "name": TEXT, "image1": datasets.Image(), "image1_url": TEXT, "image2": datasets.Image(),
    "image2_url": TEXT, "region1": TEXT,
}  # fmt: skip
V1_1 = {"question": TEXT, "options": TEXTS, "mcq_answer_index": WHOLE, "image_path": TEXT}
CAPTIONS = {"image_id": TEXT, "image": datasets.Image(), "captions": TEXTS}


def png(number):
    """A picture of its own for each number."""
    stream = io.BytesIO()
    Image.new("RGB", (32, 32), (number * 37 % 256, number * 91 % 256, number * 53 % 256)).save(
        stream, "PNG"
    )
    return stream.getvalue()


def image(number):
    return {"bytes": png(number), "path": f"{number}.png"}


def write(path, features, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = datasets.Dataset.from_list(rows, features=datasets.Features(features))
    data.to_json(path, force_ascii=False) if path.suffix == ".jsonl" else data.to_parquet(path)
    return path


def sea_vqa_rows(country, n=6, **changes):
    return [
        {
            "question": f"What is shown in picture {row} of {country}?",
            **{f"choice_{letter}": f"{letter} {row} {country}" for letter in "abcd"},
            "correct_answer": "abcd"[row % 4],
            # Several questions share a picture.
            "image_path": f"https://ich.unesco.org/{country}/{row // 2}.jpg",
            "image_page": "https://ich.unesco.org/",
            "copyright": "the photographer",
            **changes,
        }
        for row in range(n)
    ]


def write_sea_vqa(folder, n=6, fetched=None, **changes):
    """Every country a split; pictures go to `fetched`, but the last of each country is gone."""
    names = [
        "cambodia",
        "indonesia",
        "laos",
        "malaysia",
        "philippines",
        "singapore",
        "thailand",
        "vietnam",
    ]
    for number, country in enumerate(names):
        rows = sea_vqa_rows(country, n, **changes)
        write(folder / "data" / f"{country}-00000-of-00001.parquet", SEA_VQA, rows)
        if fetched:
            fetched.mkdir(exist_ok=True)
            for picture, url in enumerate(sorted({row["image_path"] for row in rows})[:-1]):
                (fetched / address_name(url)).write_bytes(png(100 * number + picture))
    return folder


SUBSETS = ("('Filipino', 'Philippines')", "('Sinhala', 'Sri_Lanka')", "('Korean', 'South Korea')")


def cvqa_rows(n=9, **changes):
    return [
        {
            "image": image(row // 2), "ID": f"59{row // 2}_{row % 2}",
            "Subset": SUBSETS[row // 2 % len(SUBSETS)],
            "Question": f"Ano ito, {row}?", "Translated Question": f"What is this, {row}?",
            "Options": [f"sagot {row} {o}" for o in range(4)],
            "Translated Options": [f"answer {row} {o}" for o in range(4)],
            "Label": row % 4, "Category": "Cooking and food", "Image Type": "Self",
            "Image Source": "Self-open", "License": "CC BY-SA",
            **changes,
        }
        for row in range(n)
    ]  # fmt: skip


def write_cvqa(folder, n=9, **changes):
    write(folder / "data" / "test-00000-of-00001.parquet", CVQA, cvqa_rows(n, **changes))
    return folder


def worldcuisines_rows(n=8, **changes):
    return [
        {
            "qa_id": f"qa{row}", "lang": ("en", "nan", "id_formal", "zh_cn")[row % 4],
            "food_id": f"f{row // 2}", "prompt_id": f"p{row}", "prompt_type": 1 + row // 4,
            "multi_choice_prompt": f"What is dish {row} called?\n"
            + "\n".join(f"{o}. dish {row} {o}" for o in range(1, 6)),
            "open_ended_prompt": f"What is dish {row} called?",
            "image_url": f"https://upload.wikimedia.org/{row}.jpg",
            "answer": f"dish {row} {1 + row % 5}", "multi_choice_answer": 1 + row % 5,
            "task": "task1", "lang_status": "main",
            **changes,
        }
        for row in range(n)
    ]  # fmt: skip


def write_worldcuisines(folder, n=8, **changes):
    """Both configurations in `vqa`, the pictures in `food-kb` but for the last question's."""
    for task in ("task1", "task2"):
        rows = worldcuisines_rows(n, **changes)
        write(folder / "vqa" / task / "test_large-00000-of-00001.parquet", WORLDCUISINES, rows)
    pictures = [
        {
            "name": f"dish {row}", "image1": image(row),
            "image1_url": f"https://upload.wikimedia.org/{row}.jpg",
            "image2": None, "image2_url": None, "region1": "South Eastern Asia",
        }
        for row in range(n - 1)
    ]  # fmt: skip
    write(folder / "food-kb" / "data" / "main-00000-of-00001.parquet", FOOD_KB, pictures)
    return folder


def write_xm3600(folder, n=8, languages=("en", "th", "vi", "id", "fil")):
    for language in languages:
        rows = [
            {
                "image_id": f"{row:04}", "image": image(row),
                "captions": [f"{language} caption {row} {c}" for c in range(1 + row % 2)],
            }
            for row in range(n)
        ]  # fmt: skip
        write(folder / "data" / f"{language}-00000-of-00001.parquet", CAPTIONS, rows)
    return folder


def write_sea_vl(folder, n=8):
    """mteb's two repositories with the same pairs, as their own script pushes them."""
    pairs = [(f"{row:05}", image(row), f"a dish of place {row}") for row in range(n)]
    for repo, pictures, texts in (("T2I", "corpus", "queries"), ("I2T", "queries", "corpus")):
        mark = {"corpus": "d", "queries": "q"}
        place = folder / f"SEA-VL-Crawling-{repo}"
        rows = {
            pictures: [
                {"id": f"{mark[pictures]}-{name}", "image": seen, "modality": "image"}
                for name, seen, _ in pairs
            ],
            texts: [
                {"id": f"{mark[texts]}-{name}", "text": text, "modality": "text"}
                for name, _, text in pairs
            ],
            "qrels": [
                {"query-id": f"q-{name}", "corpus-id": f"d-{name}", "score": 1}
                for name, _, _ in pairs
            ],
        }
        shapes = {
            pictures: {"id": TEXT, "image": datasets.Image(), "modality": TEXT},
            texts: dict.fromkeys(("id", "text", "modality"), TEXT),
            "qrels": {"query-id": TEXT, "corpus-id": TEXT, "score": WHOLE},
        }
        for name, shape in shapes.items():
            write(place / name / "test-00000-of-00001.parquet", shape, rows[name])
    return folder


def benchmark(name):
    """A benchmark of the package by its id."""
    suites = ("sea-vqa", "cvqa", "worldcuisines", "worldcuisines-1.1", "xm3600", "flickr30k",
              "sea-vl-crawling", "sea-vl-prompts")  # fmt: skip
    return next(b for suite in suites for b in find_benchmarks(suite) if b.id == name)


def items_of(name, folder, **places):
    return read_contents(benchmark(name), Folders(folder, **places)).items


def as_jsonl(path):
    """The same rows of a parquet file without pictures, as JSON Lines."""
    target = path.with_suffix(".jsonl")
    rows = datasets.Dataset.from_parquet(str(path)).to_list()
    target.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    path.unlink()
    return target
