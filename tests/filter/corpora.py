"""Small corpora in exactly the schemas of the real ones, with pictures that can be told apart."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def picture(seed, size=(160, 120)):
    """A smooth random picture with some shapes: perceptual hashes of two seeds are far apart."""
    random = np.random.default_rng(seed)
    small = (random.random((6, 8, 3)) * 255).astype(np.uint8)
    image = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        x, y = (int(v) for v in random.integers(0, 100, 2))
        side = int(random.integers(15, 50))
        colour = tuple(int(v) for v in random.integers(0, 255, 3))
        draw.ellipse([x, y, x + side, y + side], fill=colour)
    return image


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def cell(seed):
    return {"bytes": encoded(picture(seed)), "path": f"{seed}.png"}


def table(path, columns, row_group_size=None):
    """A parquet file of {name: (type, values)}."""
    arrays = {name: pa.array(values, kind) for name, (kind, values) in columns.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(arrays), path, row_group_size=row_group_size)
    return path


def sea_vl_crowdsourcing(path):
    text, number = pa.string(), pa.float64()
    return table(
        path,
        {
            "id": (text, ["a", "b", "c"]),
            "image": (IMAGE, [cell(1), cell(2), cell(3)]),
            "caption": (text, ["A bowl of boat noodles", "A wet rice field", "A castle in Spain"]),
            "caption_native_lang": (
                text,
                ["ก๋วยเตี๋ยวเรือหนึ่งชาม", "Cánh đồng lúa nước", "Un castillo en España"],
            ),
            "native_lang": (text, ["Thai (tha)", "Vietnamese (vie)", "Spanish (spa)"]),
            "culture_relevant_loc": (text, ["Thailand", "Hoi An, Vietnam", "Spain"]),
            "avg_cultural_relevance": (number, [4.5, 3.0, 5.0]),
            "avg_caption_fit": (number, [4.0, 2.0, 5.0]),
            "avg_img_quality": (number, [4.0, 4.0, None]),
            "n_annotator": (pa.int64(), [3, 3, 3]),
        },
    )


def sea_vl_crawling(path):
    return table(
        path,
        {
            "image": (IMAGE, [cell(11), cell(12), cell(13)]),
            "caption": (
                pa.list_(pa.string()),
                [["A street in Bangkok, Thailand"], ["A river in Laos", "A long boat"], []],
            ),
            "category": (pa.string(), ["street", "landscape", "food"]),
        },
    )


def cultural_ground(folder):
    """JSON lines, and pictures unpacked into a folder for each country."""
    rows = []
    for number, (country, language, question, answer) in enumerate(
        [
            ("Vietnam", "vi", "Đây là món gì?", "Đây là phở bò."),
            ("France", "vi", "Đây là tháp gì?", "Đây là tháp Eiffel."),
            ("Thailand", "en", "What is this dish?", "It is pad thai."),
        ]
    ):
        name = f"CultureGroundImages/{country}/{number}.jpg"
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encoded(picture(20 + number), "JPEG"))
        rows.append(
            {
                "id": f"cg-{number}",
                "conversations": [
                    {"from": "human", "value": f"<image>\n{question}"},
                    {"from": "gpt", "value": answer},
                ],
                "image": name,
                "language": language,
            }
        )
    return jsonl(folder / "CulturalGround.jsonl", rows)


def cvqa(path, labels=(2, 0, -1)):
    text, texts = pa.string(), pa.list_(pa.string())
    return table(
        path,
        {
            "image": (IMAGE, [cell(31), cell(32), cell(33)]),
            "ID": (text, ["q1", "q2", "q3"]),
            "Subset": (
                text,
                [
                    "('Filipino', 'Philippines')",
                    "('Javanese', 'Indonesia')",
                    "('Irish', 'Ireland')",
                ],
            ),
            "Question": (text, ["Ano ang nasa larawan?", "Iki gambar apa?", "Cad é seo?"]),
            "Translated Question": (
                text,
                ["What is in the picture?", "What is this?", "What is it?"],
            ),
            "Options": (
                texts,
                [["aso", "pusa", "jeepney", "bahay"], ["a", "b", "c", "d"], list("efgh")],
            ),
            "Translated Options": (
                texts,
                [["dog", "cat", "jeepney", "house"], ["a", "b", "c", "d"], list("efgh")],
            ),
            "Label": (pa.int64(), list(labels)),
            "Category": (text, ["Vehicles", "Food", "People"]),
            "Image Type": (text, ["Self"] * 3),
            "Image Source": (text, [""] * 3),
            "License": (text, ["CC-BY"] * 3),
        },
    )


def world_cuisines(path, answers=(5, 1, 2)):
    text, number = pa.string(), pa.int64()
    prompt = "Apa nama makanan ini? 1. Rendang 2. Sate 3. Gudeg 4. Soto 5. Bakso"
    return table(
        path,
        {
            "qa_id": (text, ["w1", "w2", "w3"]),
            "lang": (text, ["id_formal", "nan", "zh_cn"]),
            "food_id": (number, [1, 2, 3]),
            "prompt_id": (number, [1, 1, 1]),
            "prompt_type": (number, [1, 2, 4]),
            "multi_choice_prompt": (text, [prompt] * 3),
            "open_ended_prompt": (text, ["Apa nama makanan ini?"] * 3),
            "image_url": (text, [f"https://example.org/{n}.jpg" for n in range(3)]),
            "answer": (text, ["Bakso", "Rendang", "Sate"]),
            "multi_choice_answer": (number, list(answers)),
            "task": (text, ["task1"] * 3),
            "lang_status": (text, ["ok"] * 3),
        },
    )


def world_cuisines_11(path):
    text = pa.string()
    return table(
        path,
        {
            "question": (text, ["What is this dish?"]),
            "options": (pa.list_(text), [["pho", "laksa", "amok", "mohinga", "adobo"]]),
            "mcq_answer_index": (pa.int64(), [0]),
            "image_path": (text, ["pho.jpg"]),
        },
    )


def jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


CAPTIONS = {"id": "id", "picture": "image", "country": "country", "category": "topic",
            "examples": [{"format": "caption", "answer": "text"}]}  # fmt: skip


def captions(folder, rows, name="captions"):
    """A source of captions with pictures in a folder, as a spec writes it.

    A row is (id, text, country, seed of its picture, or None, or bytes).
    """
    written = []
    for identity, text, country, drawn in rows:
        image = None
        if drawn is not None:
            image = f"{identity}.png"
            content = drawn if isinstance(drawn, bytes) else encoded(picture(drawn))
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / image).write_bytes(content)
        written.append(
            {"id": identity, "text": text, "country": country, "image": image, "topic": "food"}
        )
    jsonl(folder / f"{name}.jsonl", written)
    return {
        "name": name, "jsonl": f"{name}.jsonl", "pictures": name, "columns": CAPTIONS,
        "license": "cc-by-4.0",
    }  # fmt: skip


BY_COUNTRY = {"keep": "any", "rules": [{"evidence": "metadata"}]}


def spec(sources, **keys):
    """A spec of Southeast Asia that keeps what the metadata says, changed by `keys`."""
    from ggez_hub.data.spec import FilterSpec

    return FilterSpec.model_validate(
        {"kind": "filter", "region": "southeast-asia", "sources": sources,
         "keep_region": BY_COUNTRY} | keys
    )  # fmt: skip


def rows_of(out):
    """The rows of an output, pictures as they are stored."""
    found = []
    for path in sorted((out / "data").glob("*.parquet")):
        found += pq.read_table(path).to_pylist()
    return found


BASE = {"name": "s", "license": "x", "mapping": "sea-vl-crowdsourcing", "parquet": "a.parquet"}


def reward(threshold=3, comparison=">", agreement=None, **keys):
    """A reward filter, as a spec writes it; `keys` are the scorer's."""
    return {"scorer": {"languages": ["en"]} | keys, "threshold": threshold, "comparison": comparison,
            "agreement": agreement}  # fmt: skip
