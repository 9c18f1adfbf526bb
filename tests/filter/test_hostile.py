"""Odd inputs: each costs its own row, with a reason that is counted, and never the filter."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import tarfile
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ggez_hub.data.pictures import BadPicture, hash_picture, with_pictures
from ggez_hub.data.rows import OUTPUT, Row, read_batches, write_rows
from ggez_hub.data.sources import BadSource

from .corpora import encoded, jsonl, picture

ANY = {"keep": "any", "rules": [{"evidence": "script", "scripts": ["Latn", "Thai"], "share": 0.01}]}
CAPTION = {"examples": [{"format": "caption", "answer": "text"}]}
CHOICE = {
    "examples": [{"format": "multiple_choice", "question": "q", "options": "o",
                  "choice": {"column": "c", "base": 0}}]
}  # fmt: skip


def source(columns=CAPTION, **place):
    return {"name": "s", "license": "x", "columns": columns} | place


@pytest.mark.parametrize(
    ("columns", "rows", "kept", "reasons"),
    [
        (
            CAPTION,
            ['{"text": "half \\ud800 of a pair"}', '{"text": "a whole one \\ud83d\\ude00"}'],
            ["a whole one 😀"],
            {"json: half of a surrogate pair": 1},
        ),
        (
            CAPTION,
            [{"text": None}, {"text": " "}, {"text": ["x"]}, {"text": "a" * 3_000_000}],
            ["a" * 3_000_000],
            {"text: empty": 2, "text: wrong type": 1},
        ),
        (
            CAPTION | {"scores": {"q": "q"}},
            ['{"text": "a", "q": 1%s}' % ("0" * 400), '{"text": "b", "q": NaN}', '{"text": "c", "q": true}'],
            ["b"],
            {"q: out of range": 1, "q: wrong type": 1},
        ),
        (
            {"examples": [{"format": "chat", "turns": "t"}]},
            [
                {"t": [{"from": "human"}]},
                {"t": ["x"]},
                {"t": [{"from": ["x"], "value": "a"}]},
                {"t": [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": " "}]},
                {"t": [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Me"}]},
            ],
            ["Who?\nMe"],
            {"t: wrong type": 3, "t: empty": 1},
        ),
        (
            CHOICE,
            [
                {"q": "What?", "o": ["a", "b"], "c": "--1"},
                {"q": "What?", "o": ["a", "b"], "c": "9" * 5000},
                {"q": "What?", "o": [], "c": 0},
                {"q": "What?", "o": ["x"] * 30, "c": 0},
                {"q": "What?", "o": "['a', 'b']", "c": " 1 "},
            ],
            ["What?\nA. a\nB. b\nB. b"],
            {"c: wrong type": 2, "c: out of range": 1, "o: more than there are letters": 1},
        ),
        (
            {"examples": [{"format": "caption", "answer": "cs", "each": True}]},
            [{"cs": [" one ", "", "two"]}, {"cs": ["three", None]}],
            ["one", "two"],
            {"cs: empty": 1, "cs: wrong type": 1},
        ),
    ],
    ids=["surrogates", "texts", "numbers", "turns", "choices", "each"],
)  # fmt: skip
def test_json_of_strangers(tmp_path, filtered, columns, rows, kept, reasons):
    jsonl(tmp_path / "a.jsonl", rows)
    report, found = filtered(
        [source(columns, jsonl="a.jsonl")],
        keep_region=ANY, pictures="ignored", duplicates="keep",
    )  # fmt: skip
    assert [row["text"] for row in found] == kept
    assert report.document["counts"]["dropped"] == {"row": reasons}


def test_a_number_that_is_none_is_no_language(tmp_path, filtered):
    jsonl(tmp_path / "a.jsonl", ['{"text": "a", "lang": NaN}', '{"text": "b", "lang": "nan"}'])
    columns = {"examples": [{"format": "caption", "answer": "text", "language": "lang"}]}
    _, rows = filtered(
        [source(columns, jsonl="a.jsonl")], keep_region=ANY, pictures="ignored", duplicates="keep"
    )
    assert [row["language"] for row in rows] == ["unknown", "nan"]


def test_columns_of_any_kind_of_text_and_pictures(tmp_path, filtered):
    """Categories, views, and pictures as plain bytes; a text that is not UTF-8 costs its row."""
    broken = pa.array([b"One", b"\xff\xfe", b"Two"], pa.binary()).view(pa.string())
    pq.write_table(
        pa.table({
            "text": broken,
            "country": pa.array(["Laos", "Laos", "Thailand"]).dictionary_encode(),
            "topic": pa.array(["food", "food", "people"], pa.string_view()),
            "image": pa.array([encoded(picture(n)) for n in range(3)], pa.binary()),
        }),
        tmp_path / "a.parquet",
    )  # fmt: skip
    columns = CAPTION | {"picture": "image", "country": "country", "category": "topic"}
    report, rows = filtered([source(columns, parquet="a.parquet")], keep_region=ANY)
    assert [(r["text"], r["country"], r["category"]) for r in rows] == [
        ("One", "la", "food"), ("Two", "th", "people"),
    ]  # fmt: skip
    assert rows[1]["image"]["bytes"] == encoded(picture(2))
    assert report.document["counts"]["dropped"] == {"row": {"parquet: not UTF-8": 1}}


def bomb(side):
    """A PNG that says that it is `side` pixels wide and high."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"".join([
        b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header),
        chunk(b"IDAT", zlib.compress(b"\0" * 1_000_000)), chunk(b"IEND", b""),
    ])  # fmt: skip


def grey(seed, kind):
    values = np.asarray(picture(seed).convert("L"))
    scaled = values.astype(np.uint16) * 257 if kind == "I;16" else values.astype(np.float32) / 255
    return Image.fromarray(scaled)


def turned(image):
    """Stored on its side, with the orientation that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)


ODD = {
    "cmyk": encoded(picture(1).convert("CMYK"), "JPEG"),
    "16 bits": encoded(grey(1, "I;16"), "PNG"),
    "the first of a gif": encoded(picture(1), "GIF", save_all=True, append_images=[picture(2)]),
    "palette": encoded(picture(1).convert("P"), "PNG"),
    "with transparency": encoded(picture(1).convert("RGBA"), "PNG"),
    "turned": turned(picture(1)),
}


@pytest.mark.parametrize("kind", list(ODD))
def test_an_odd_picture_is_the_same_picture(kind):
    """What is held out is found in these as well."""
    plain = hash_picture(encoded(picture(1))).phash
    assert (hash_picture(ODD[kind]).phash ^ plain).bit_count() <= 6
    assert (
        hash_picture(ODD[kind]).phash ^ hash_picture(encoded(picture(2))).phash
    ).bit_count() > 12


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bomb(60_000), "it is too large"),
        (bomb(12_000), "it is too large"),
        (bomb(9_000), "it is damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it is damaged"),
        (b"", "it is damaged"),
        (encoded(picture(1), "BMP"), "it is damaged"),
        (encoded(picture(1), "TIFF"), "it is damaged"),
    ],
)
def test_bombs_and_other_formats(content, reason):
    with pytest.raises(BadPicture) as refused:
        hash_picture(content)
    assert refused.value.reason == reason


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_no_damage_to_a_picture_ends_the_filter(kind):
    """What is damaged is looked at or refused, and both happen."""
    looked = 0
    random = np.random.default_rng(0)
    whole = encoded(picture(3, (60, 40)), kind)
    for _ in range(60):
        content = np.frombuffer(whole, np.uint8).copy()
        reach = 60 if random.random() < 0.5 else len(content)
        places = random.integers(0, min(reach, len(content)), int(random.integers(1, 9)))
        content[places] = random.integers(0, 256, len(places))
        with contextlib.suppress(BadPicture):
            hash_picture(content.tobytes())
            looked += 1
    assert 0 < looked < 60


def test_names_that_are_no_file(tmp_path, filtered):
    names = ["nul\0.png", "x" * 5000, "folder", "loop", "pipe"]
    (tmp_path / "p" / "folder").mkdir(parents=True)
    (tmp_path / "p" / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "p" / "pipe")
    jsonl(tmp_path / "a.jsonl", [{"text": "One", "image": name} for name in names])
    columns = CAPTION | {"picture": "image"}
    report, _ = filtered([source(columns, jsonl="a.jsonl", pictures="p")], keep_region=ANY)
    assert report.document["counts"]["dropped"] == {"picture": {"the file is missing": len(names)}}


def test_a_tar_with_odd_members(tmp_path, filtered):
    def member(name, kind=tarfile.REGTYPE, size=0):
        info = tarfile.TarInfo(name)
        info.type, info.size, info.linkname = kind, size, "/etc/passwd"
        return info

    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(member("folder", tarfile.DIRTYPE))
        tar.addfile(member("link.jpg", tarfile.SYMTYPE))
        for name in ("../up", "ตลาด/น้ำ", "no\udcfftext"):
            for field, content in (("jpg", encoded(picture(len(name)), "JPEG")), ("txt", b"Boats")):
                tar.addfile(member(f"{name}.{field}", size=len(content)), io.BytesIO(content))
        tar.addfile(member("nothing", size=2), io.BytesIO(b"xx"))
    columns = CAPTION | {"id": "__key__", "picture": "jpg"}
    columns["examples"] = [{"format": "caption", "answer": "txt"}]
    report, rows = filtered([source(columns, webdataset="a.tar")], keep_region=ANY)
    assert [row["id"] for row in rows] == [
        "s/../up/caption", "s/ตลาด/น้ำ/caption", "s/no\ufffdtext/caption",
    ]  # fmt: skip
    assert report.document["counts"]["dropped"] == {}
    assert not (tmp_path.parent / "up.jpg").exists()


def test_a_folder_with_odd_names(tmp_path, filtered):
    for name in ("ตลาด/น้ำ.png", "a b/c#d?.png"):
        place = tmp_path / "f" / name
        place.parent.mkdir(parents=True)
        place.write_bytes(encoded(picture(len(name))))
    odd = os.fsencode(tmp_path / "f") + b"/\xff.png"
    with open(odd, "wb") as file:  # noqa: PTH123 - a name that is no text
        file.write(encoded(picture(3)))
    (tmp_path / "f" / "out.png").symlink_to("/etc/passwd")
    columns = {"picture": "image", "examples": [{"format": "caption", "answer": "file_name"}]}
    report, rows = filtered([source(columns, imagefolder="f")], keep_region=ANY)
    assert [row["text"] for row in rows] == ["a b/c#d?.png", "ตลาด/น้ำ.png"]
    assert report.document["counts"]["dropped"] == {
        "picture": {"its path leaves the folder": 1}, "row": {"file: its name is not UTF-8": 1},
    }  # fmt: skip


def test_a_pattern_that_matches_no_file(tmp_path, filtered):
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(BadSource, match=r"there is no file in .*a\.jsonl"):
        filtered([source(jsonl="a.jsonl")], pictures="ignored")


def test_pictures_are_decoded_one_by_one(monkeypatch):
    from ggez_hub.data import pictures

    opened = []
    known = pictures.decode
    monkeypatch.setattr(pictures, "decode", lambda content: opened.append(1) or known(content))
    images = [{"bytes": encoded(picture(n)), "path": None} for n in range(5)]
    rows = [Row("r", "s", image) for image in [*images, None]]
    places, shown = with_pictures(rows)
    assert (places, opened) == ([0, 1, 2, 3, 4], [])
    next(shown)
    assert len(opened) == 1


def test_large_pictures_make_small_batches(tmp_path):
    blank, large = Row("r", "s"), Row("r", "s", {"bytes": bytes(9 << 20), "path": None})
    write_rows(tmp_path / "a.arrow", OUTPUT, [large, large, large, large, large, blank])
    assert [b.num_rows for b in read_batches(tmp_path / "a.arrow")] == [4, 2]
