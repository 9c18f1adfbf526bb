"""A whole filter: duplicates, what is held out, what cannot be read, workers, and kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageOps

from ggez_hub.data import deduplication, sources
from ggez_hub.data.held_out.matcher import ExampleText, HeldOutMatcher
from ggez_hub.data.pictures import hash_picture
from ggez_hub.data.pipeline import run_filter
from ggez_hub.data.rows import Row
from ggez_hub.data.work_folder import container
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.execution import Engine

from .corpora import BY_COUNTRY, captions, encoded, jsonl, picture, rows_of, spec, table


def ids(rows):
    return [row["id"].split("/")[1] for row in rows]


def dropped(report):
    counts = report.document["counts"]["dropped"]
    return {
        f"{stage}: {reason}": n for stage, found in counts.items() for reason, n in found.items()
    }


def copy_of(seed, scale=0.5, kind="JPEG", **options):
    """The picture again: resized and re-encoded."""
    drawn = picture(seed)
    size = (int(drawn.width * scale), int(drawn.height * scale))
    return encoded(drawn.resize(size, Image.Resampling.LANCZOS), kind, **options)


def test_what_is_kept_and_what_is_dropped_adds_up(tmp_path, filtered):
    rows = [("a", "Pho", "vn", 1), ("b", "Tower", "fr", 2), ("c", "Laap", "la", 3)]
    report, kept = filtered([captions(tmp_path, rows)])
    assert ids(kept) == ["a", "c"]
    counts = report.document["counts"]
    assert (counts["seen"], counts["kept"]) == (3, 2)
    assert dropped(report) == {"region: metadata: another country": 1}
    assert kept[0]["image"]["bytes"] == (tmp_path / "captions" / "a.png").read_bytes()


@pytest.mark.parametrize(
    ("by", "kept"),
    [("both", ["a", "c", "d", "e"]), ("picture", ["a", "d"]), ("text", ["a", "c"])],
)
def test_duplicates(tmp_path, filtered, by, kept):
    rows = [
        ("a", "A bowl of beef noodle soup with herbs", "vn", 1),
        ("b", "a bowl of  BEEF noodle soup with herbs", "vn", 1),
        ("c", "Two people at a market in the morning", "vn", copy_of(1, quality=70)),
        ("d", "A bowl of beef noodle soup with herbs", "vn", 4),
        ("e", "A bowl of beef noodle soup with herbs!", "vn", copy_of(4, 2, "WEBP", quality=60)),
        ("f", "A bowl of beef noodle soup with herbs", "vn", copy_of(4, 0.4, "PNG")),
    ]
    report, found = filtered(
        [captions(tmp_path, rows)],
        duplicates={"by": by, "similarity": 0.99 if by == "both" else 0.8},
    )
    assert ids(found) == kept
    reasons = dropped(report)
    assert sum(reasons.values()) == len(rows) - len(kept)
    assert set(reasons) <= {"duplicate: exact", "duplicate: near"}


def test_flat_pictures_are_no_copies_of_each_other(tmp_path, filtered):
    flat = [encoded(Image.new("RGB", (64, 64), colour)) for colour in ("red", "blue")]
    rows = [("a", "Red", "th", flat[0]), ("b", "Blue", "th", flat[1]), ("c", "Red", "th", flat[0])]
    _, kept = filtered([captions(tmp_path, rows)], duplicates={"by": "picture"})
    assert ids(kept) == ["a", "b"]


def clip_crop(image):
    """CLIP's preprocessing: the shorter side to 224, then the square in the middle."""
    scale = 224 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)))
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    return image.crop((left, top, left + 224, top + 224))


def with_bar(image):
    """A bar below the picture, with a line of text."""
    whole = Image.new("RGB", (image.width, int(image.height * 1.15)), "white")
    whole.paste(image)
    ImageDraw.Draw(whole).text((8, image.height + 3), "When the food is ready", "black")
    return whole


def sideways(image):
    """A JPEG that is stored turned, and whose EXIF orientation turns it back."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif.tobytes())


def middle(image, share):
    """The middle of a picture, without a share of it at each side."""
    across, down = round(image.width * share), round(image.height * share)
    return image.crop((across, down, image.width - across, image.height - down))


@pytest.mark.parametrize(
    ("copy", "kind"),
    [
        (copy_of(1, 1, "PNG"), "exact picture"),
        (copy_of(1, 0.5, "JPEG", quality=40), "near picture"),
        (copy_of(1, 3, "WEBP", quality=50), "near picture"),
        (encoded(picture(1).resize((224, 224)), "JPEG", quality=85), "near picture"),
        (encoded(picture(1).convert("L"), "JPEG"), "near picture"),
        (sideways(picture(1)), "near picture"),
        (encoded(clip_crop(picture(1)), "JPEG"), "crop"),
        (encoded(middle(picture(1), 0.1), "JPEG"), "crop"),
        (encoded(ImageOps.expand(picture(1), 12, "black"), "JPEG"), "crop"),
        (encoded(with_bar(picture(1)), "JPEG"), "crop"),
        (encoded(ImageOps.mirror(picture(1)), "JPEG"), "mirror"),
        (encoded(clip_crop(ImageOps.mirror(picture(1))), "JPEG"), "mirror"),
        (encoded(picture(1).transpose(Image.Transpose.ROTATE_90), "JPEG"), "rotation"),
    ],
    ids=["again", "half, jpeg", "threefold, webp", "another shape", "grey", "exif", "clip",
         "a tenth less", "border", "bar", "mirror", "mirror, clip", "turned"],
)  # fmt: skip
def test_nothing_that_is_held_out_enters(tmp_path, filtered, copy, kind):
    held = captions(tmp_path, [("x", "What is this?", "vn", 1)], name="benchmark")
    rows = [("a", "Something else entirely", "vn", copy), ("b", "What is this?", "vn", 2)]
    report, kept = filtered([captions(tmp_path, rows)], held_out={"sources": [held]})
    assert ids(kept) == ["b"]
    assert dropped(report) == {f"held out: benchmark, {kind}": 1}
    (sample,) = report.document["samples"][f"held out: benchmark, {kind}"]
    assert sample["note"] == "like benchmark/x/caption"


def test_pictures_can_be_held_out_without_texts_and_are_no_part_of_the_data(tmp_path, filtered):
    """As of mteb's retrieval sets, which keep pictures and texts apart."""
    held = captions(tmp_path, [("x", "Ao dai", "vn", 1)], name="benchmark")
    bare = held | {"columns": held["columns"] | {"examples": []}}
    rows = [("a", "Something else", "vn", encoded(picture(1), "JPEG")), ("b", "Ao dai", "vn", 2)]
    report, kept = filtered([captions(tmp_path, rows)], held_out={"sources": [bare]})
    # The text is not held out with it.
    assert ids(kept) == ["b"]
    assert dropped(report) == {"held out: benchmark, near picture": 1}
    block = report.card_block()
    assert [source.repo for source in block.sources] == ["captions"]
    assert [source.repo for source in block.held_out] == ["benchmark"]
    with pytest.raises(ValueError, match="only what is held out may have none"):
        filtered([bare])


def test_a_plain_sign_without_a_text_is_not_found_turned(tmp_path):
    path = tmp_path / "held.sqlite"
    looked, turned = (hash_picture(sign(left=left), portrait=True) for left in (True, False))
    nothing = ExampleText("", "")
    with HeldOutMatcher(path, 0.7) as held:
        row = Row("signs/x/caption", "signs", sha256=looked.sha256)
        row.portrait = looked.portrait.packed()
        held.add(row, 0)
        assert held.match(looked.sha256, looked.portrait, nothing) == (
            "signs/x/caption", "exact picture",
        )  # fmt: skip
        assert held.match(turned.sha256, turned.portrait, nothing) is None


def test_the_smaller_part_may_be_the_held_out_one(tmp_path, filtered):
    held = captions(tmp_path, [("x", "What is this?", "vn", encoded(clip_crop(picture(1))))], "cut")
    rows = [("a", "A market", "vn", 1), ("b", "A river", "vn", 2)]
    report, kept = filtered([captions(tmp_path, rows)], held_out={"sources": [held]})
    assert ids(kept) == ["b"]
    assert dropped(report) == {"held out: cut, crop": 1}


def sign(*, left, half=55):
    """A triangle that points to one side; its mirror image is another sign."""
    image = Image.new("RGB", (160, 160), "white")
    ImageDraw.Draw(image).polygon([(20, 80), (140, 80 - half), (140, 80 + half)], fill="navy")
    return encoded(image if left else ImageOps.mirror(image), "JPEG", quality=60)


def test_a_plain_sign_that_is_turned_is_found_with_its_question_only(tmp_path, filtered):
    held = captions(tmp_path, [("x", "Where do I turn?", "vn", sign(left=True))], "signs")
    rows = [
        ("other", "An arrow to the right", "vn", sign(left=False)),
        ("same", "Please answer. Where do I turn?", "vn", sign(left=False)),
        ("near", "A sign", "vn", sign(left=True, half=35)),
    ]
    report, kept = filtered([captions(tmp_path, rows)], held_out={"sources": [held]})
    assert ids(kept) == ["other", "near"]
    assert dropped(report) == {"held out: signs, mirror": 1}


QUESTION = "Which temple is on the other bank of the river in this town?"


def questions(folder, rows, name):
    """A source of (id, question, answer, picture's seed)."""
    source = captions(
        folder, [(key, question, "mm", seed) for key, question, _, seed in rows], name
    )
    place = folder / f"{name}.jsonl"
    written = [json.loads(line) for line in place.read_text().splitlines()]
    jsonl(place, [row | {"answer": a} for row, (_, _, a, _) in zip(written, rows, strict=True)])
    view = {"format": "open_ended", "question": "text", "answer": "answer"}
    return source | {"columns": source["columns"] | {"examples": [view]}}


@pytest.mark.parametrize(
    ("question", "answer", "kept"),
    [
        (QUESTION, "Ananda", False),
        (f"Look at the picture and answer in a word. {QUESTION}", "Ananda", False),
        (QUESTION.replace("other", "western"), "Ananda", False),
        (f"{QUESTION}\nA. Shwezigon\nB. Ananda\nC. Sulamani", "B. Ananda", False),
        (QUESTION, "Shwezigon", True),
        ("What is the name of the market in the old part of this city?", "Ananda", True),
    ],
    ids=["same", "prefix", "a word", "options", "another answer", "another question"],
)
def test_a_near_text_is_found_though_the_picture_is_another(
    tmp_path, filtered, question, answer, kept
):
    held = questions(tmp_path, [("x", QUESTION, "Ananda", 1)], "vqa")
    rows = [("a", question, answer, 2), ("b", "What is this?", "A river", 3)]
    report, found = filtered([questions(tmp_path, rows, "corpus")], held_out={"sources": [held]})
    assert ids(found) == (["a", "b"] if kept else ["b"])
    kind = "exact" if question == QUESTION else "near"
    assert dropped(report) == ({} if kept else {f"held out: vqa, {kind} text": 1})


def test_a_question_that_is_asked_of_many_pictures_drops_nothing_alone(tmp_path, filtered):
    often = "What is the main ingredient of the dish that is shown in this picture?"
    held = questions(
        tmp_path,
        [("x", often, "Rice", 1), ("y", often, "Rice", 2), ("z", "What?", "Pho", 3)],
        "vqa",
    )
    rows = [
        ("a", often, "Rice", 4),
        ("b", "What?", "Pho", 5),
        ("c", often, "Rice", encoded(ImageOps.mirror(picture(2)), "JPEG")),
    ]
    report, kept = filtered([questions(tmp_path, rows, "corpus")], held_out={"sources": [held]})
    assert ids(kept) == ["a", "b"]
    assert dropped(report) == {"held out: vqa, mirror": 1}


def test_the_text_is_protected_where_the_picture_is_only_an_address(tmp_path, filtered):
    jsonl(
        tmp_path / "vqa.jsonl",
        [{"q": "Which temple is this one in Bagan?", "a": "Ananda", "url": "https://e.org/1.jpg"}],
    )
    held = {
        "name": "vqa", "jsonl": "vqa.jsonl", "license": "x",
        "columns": {"picture": "url",
                    "examples": [{"format": "open_ended", "question": "q", "answer": "a"}]},
    }  # fmt: skip
    rows = [("a", "Which temple is this one in Bagan?\nAnanda", "mm", 1), ("b", "Bagan", "mm", 2)]
    report, kept = filtered([captions(tmp_path, rows)], held_out={"sources": [held]})
    assert ids(kept) == ["b"]
    assert any("only their text is protected" in w for w in report.document["warnings"])


def test_a_benchmark_with_withheld_answers_is_protected(tmp_path, filtered):
    from .corpora import cell, cvqa

    cvqa(tmp_path / "cvqa.parquet", labels=(-1, -1, -1))
    held = {"name": "cvqa", "parquet": "cvqa.parquet", "mapping": "cvqa", "license": "x"}
    rows = [("a", "A jeepney", "ph", cell(31)["bytes"]), ("b", "A jeepney", "ph", 5)]
    report, kept = filtered([captions(tmp_path, rows)], held_out={"sources": [held]})
    assert ids(kept) == ["b"]
    assert report.document["held_out"]["examples"] == 6


def broken(tmp_path):
    """A source in which much cannot be read."""
    whole = encoded(picture(1), "JPEG")
    rows = [
        ("good", "Pho", "vn", 7),
        ("cut", "Pho", "vn", whole[: len(whole) // 2]),
        ("text", "Pho", "vn", b"no picture at all"),
        ("none", "Pho", "vn", None),
        ("empty", " ", "vn", 8),
    ]
    source = captions(tmp_path, rows)
    place = tmp_path / "captions.jsonl"
    more = [
        '{"id": "broken", "text": ',
        "[1, 2]",
        json.dumps({"id": "number", "text": 5, "country": "vn", "image": "good.png"}),
        json.dumps({"id": "list", "text": "x", "country": ["vn"], "image": "good.png"}),
        json.dumps({"id": "gone", "text": "Pho", "country": "vn", "image": "gone.png"}),
        json.dumps({"id": "out", "text": "Pho", "country": "vn", "image": "../captions.jsonl"}),
        json.dumps({"id": "url", "text": "Pho", "country": "vn", "image": "https://e.org/a.jpg"}),
    ]
    place.write_text(place.read_text() + "\n".join(more) + "\n")
    return source


def test_what_cannot_be_read_is_counted(tmp_path, filtered):
    report, kept = filtered([broken(tmp_path)])
    assert ids(kept) == ["good"]
    assert dropped(report) == {
        "picture: it is an address, not a file": 1,
        "picture: it is damaged": 2,
        "picture: its path leaves the folder": 1,
        "picture: the file is missing": 1,
        "picture: there is none": 1,
        "row: country: wrong type": 1,
        "row: json: broken line": 1,
        "row: json: not an object": 1,
        "row: text: empty": 1,
        "row: text: wrong type": 1,
    }
    assert report.document["counts"]["seen"] == 12


def test_strict_stops_there(tmp_path, filtered):
    with pytest.raises(GgezError, match="cannot be read"):
        filtered([broken(tmp_path)], strict=True)
    assert not list(tmp_path.glob("out-*"))


def test_pictures_may_be_optional(tmp_path, filtered):
    _, kept = filtered([broken(tmp_path)], pictures="optional")
    assert ids(kept) == ["good", "none"]
    assert kept[1]["image"] is None


def test_another_result_is_not_overwritten(tmp_path):
    source = captions(tmp_path, [("a", "Pho", "vn", 1)])
    first = run_filter(spec([source]), tmp_path, tmp_path / "out")
    assert run_filter(spec([source]), tmp_path, tmp_path / "out").document == first.document
    with pytest.raises(UsageProblem, match="not the result of this spec"):
        run_filter(spec([source], pictures="ignored"), tmp_path, tmp_path / "out")
    jsonl(tmp_path / "captions.jsonl", [{"id": "b", "text": "x", "country": "vn", "image": "", "topic": ""}])  # fmt: skip
    with pytest.raises(UsageProblem, match="not the result of this spec"):
        run_filter(spec([source]), tmp_path, tmp_path / "out")


@pytest.mark.parametrize("report", ["{", "[]", "{}", None])
def test_what_is_no_output_is_not_overwritten(tmp_path, report):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    if report is not None:
        (out / "report.json").write_text(report)
    with pytest.raises(UsageProblem, match="not the result of this spec"):
        run_filter(spec([captions(tmp_path, [("a", "Pho", "vn", 1)])]), tmp_path, out)
    assert (out / "notes.txt").read_text() == "mine"


def test_a_held_out_text_is_found_without_its_picture(tmp_path, filtered):
    """A question of a benchmark with pictures, in a corpus whose pictures are optional."""
    question = "Which temple is on the other bank of this river?"
    held = captions(tmp_path, [("x", question, "vn", 1)], name="benchmark")
    rows = [("bare", question, "vn", None), ("another", question, "vn", 2), ("c", "Pho", "vn", 3)]
    report, kept = filtered(
        [captions(tmp_path, rows)], held_out={"sources": [held]}, pictures="optional"
    )
    assert ids(kept) == ["c"]
    assert dropped(report) == {"held out: benchmark, exact text": 2}


def test_texts_of_one_template_are_compared_in_part_and_the_report_says_so(
    tmp_path, filtered, monkeypatch
):
    template = "A bowl of soup with noodles, herbs and a slice of lime, number {} of the menu"
    rows = [(f"r{n}", template.format(n), "vn", None) for n in range(100, 140)]
    source = captions(tmp_path, rows)
    keys = {"pictures": "ignored", "duplicates": {"by": "text", "similarity": 0.9}}
    report, kept = filtered([source], **keys)
    assert not any("share a key" in warning for warning in report.document["warnings"])
    monkeypatch.setattr(deduplication, "COMPARED", 2)
    (tmp_path / "captions.jsonl").rename(tmp_path / "again.jsonl")
    report, more = filtered([source | {"jsonl": "again.jsonl"}], **keys)
    # Some of the duplicates are found through the keys that are compared, and some no more.
    assert len(kept) < len(more) < len(rows)
    assert any("share a key with more earlier ones" in w for w in report.document["warnings"])


def test_a_rule_that_cannot_be_applied_is_refused_before_a_model_is_opened(tmp_path, filtered):
    rule = {"evidence": "language", "languages": ["shn"]}
    picture_rule = {"evidence": "picture", "library": "transformers", "model": "m"}
    (tmp_path / "m").mkdir()
    with pytest.raises(UsageProblem, match="does not identify 'shn'"):
        filtered(
            [captions(tmp_path, [("a", "Pho", "vn", 1)])],
            keep_region={"keep": "any", "rules": [picture_rule, rule]},
        )


MANY = 4000


def many(tmp_path):
    """A text corpus in many small row groups, with duplicates across them."""
    texts = [f"A bowl of soup number {n % 3000} in Laos" for n in range(MANY)]
    table(
        tmp_path / "many.parquet",
        {"text": (pa.string(), texts), "country": (pa.string(), ["la", "vn", "fr", "th"] * (MANY // 4))},
        row_group_size=200,
    )  # fmt: skip
    return {
        "name": "many", "parquet": "many.parquet", "license": "mit",
        "columns": {"country": "country", "examples": [{"format": "caption", "answer": "text"}]},
    }  # fmt: skip


TEXT = {"pictures": "ignored", "duplicates": {"by": "text", "similarity": 1.0}}


def contents(out):
    return {
        p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()
    }


def test_the_output_does_not_depend_on_the_tasks(tmp_path):
    asked = spec([many(tmp_path)], rows_per_shard=900, **TEXT)
    reports = [
        run_filter(asked, tmp_path, tmp_path / f"out-{shards}", shards=shards)
        for shards in (1, 2, 16)
    ]
    assert len({report.digest for report in reports}) == 1
    first = contents(tmp_path / "out-1")
    assert first == contents(tmp_path / "out-2") == contents(tmp_path / "out-16")
    assert len([name for name in first if name.startswith("data/")]) == 3
    assert not container(tmp_path / "out-1").exists()


def test_pictures_do_not_depend_on_the_workers_either(tmp_path):
    """Copies of pictures and held-out ones, whichever process looks at them."""
    rows = [(f"r{n}", f"Soup {n}", "vn", n // 2) for n in range(24)]
    changed = [copy_of(3), encoded(ImageOps.mirror(picture(5))), encoded(middle(picture(7), 0.1))]
    held = captions(
        tmp_path, [(f"x{n}", "What?", "vn", copy) for n, copy in enumerate(changed)], "benchmark"
    )
    source = captions(tmp_path, rows)
    asked = spec([source], duplicates={"by": "picture"}, held_out={"sources": [held]})
    for workers in (1, 2):
        run_filter(asked, tmp_path, tmp_path / f"out-{workers}", engine=Engine("local", workers))
    first = contents(tmp_path / "out-1")
    assert first == contents(tmp_path / "out-2")
    assert ids(rows_of(tmp_path / "out-1")) == [
        f"r{n}" for n in range(0, 24, 2) if n not in (6, 10, 14)
    ]


# Each task that is done is a line; with so many it waits to be killed.
KILLED = """
import sys, time
from pathlib import Path
from ggez_hub.data.pipeline import run_filter
from ggez_hub.data.spec import FilterSpec
from ggez_hub.execution import Engine, tasks
folder, workers, wanted = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
run = tasks.Marked.__call__
def noted(self, number):
    run(self, number)
    with (folder / "log").open("a") as log:
        log.write(f"{self.markers.name} {number}\\n")
    while len((folder / "log").read_text().splitlines()) >= wanted:
        time.sleep(1)
tasks.Marked.__call__ = noted
if __name__ == "__main__":
    spec = FilterSpec.model_validate_json((folder / "spec.json").read_text())
    run_filter(spec, folder, folder / "killed", engine=Engine("local", workers))
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_kill_loses_and_repeats_nothing(tmp_path, workers):
    held = captions(tmp_path, [("x", "A bowl of soup number 7 in Laos", "la", None)], "benchmark")
    asked = spec([many(tmp_path)], held_out={"sources": [held]}, **TEXT)
    (tmp_path / "spec.json").write_text(asked.model_dump_json())
    (tmp_path / "killed.py").write_text(KILLED)
    log = tmp_path / "log"
    log.touch()
    # While it screens, writes keys, keeps, and at the end of that.
    for wanted in (3, 15, 29, 50, 62):
        process = subprocess.Popen(
            [sys.executable, *map(str, (tmp_path / "killed.py", tmp_path, workers, wanted))],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        while len(log.read_text().splitlines()) < wanted:
            time.sleep(0.01)
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "killed").exists()
    # Killed between a task and its line, there is a marker and no line.
    done = log.read_text().splitlines()
    assert len(done) == len(set(done)) >= 62
    run_filter(asked, tmp_path, tmp_path / "killed")
    run_filter(asked, tmp_path, tmp_path / "whole")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    texts = {row["text"] for row in rows_of(tmp_path / "whole")}
    assert "A bowl of soup number 8 in Laos" in texts
    assert "A bowl of soup number 7 in Laos" not in texts


def test_nothing_imports_torch_or_datasets(tmp_path):
    captions(tmp_path, [("a", "Pho", "vn", 1)])
    (tmp_path / "spec.json").write_text(
        spec(
            [captions(tmp_path, [("a", "Pho", "vn", 1)])], keep_region=BY_COUNTRY
        ).model_dump_json()
    )
    code = (
        "import sys; from pathlib import Path; from ggez_hub.data.pipeline import run_filter;"
        "from ggez_hub.data.spec import FilterSpec; folder = Path(sys.argv[1]);"
        "run_filter(FilterSpec.model_validate_json((folder / 'spec.json').read_text()), folder,"
        " folder / 'out'); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert not {"torch", "datasets", "transformers", "open_clip"} & set(done.stdout.split())
    assert len(rows_of(tmp_path / "out")) == 1


def test_readers_are_one_for_each_place():
    from ggez_hub.data.spec import PLACES

    assert tuple(sources.READERS) == PLACES
