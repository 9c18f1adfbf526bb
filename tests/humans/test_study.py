"""A study of a YAML file: what is pinned, what is generated, and what a hostile file cannot do."""

from __future__ import annotations

import io
import json
from contextlib import closing

import pytest
from click.testing import CliRunner
from PIL import Image, PngImagePlugin

from ggez_hub.cli.main import cli
from ggez_hub.humans import store as store_module
from ggez_hub.humans.assignment import queue
from ggez_hub.humans.ratings import ratings_of
from ggez_hub.humans.store import Store
from ggez_hub.humans.study import Study, read_output, read_study

from .study_files import item_rows, png, write_study


def run(*args, code=0):
    result = CliRunner().invoke(cli, ["humans", *map(str, args)])
    assert result.exit_code == code, result.output
    return result.output


def make(tmp_path, name="out", **changes):
    file = write_study(tmp_path / "study", **changes)
    run("new", file, "-o", tmp_path / name)
    return read_study(tmp_path / name)


def test_a_study_is_pinned_by_what_it_holds_and_made_again_is_the_same(tmp_path):
    study = make(tmp_path)
    assert (len([i for i in study.items if not i.gold]), study.rater_sides) == (
        12,
        ("global", "regional"),
    )
    assert study.languages == ("en", "th")
    assert [m.beta for m in study.models] == [None, 0.25, 1.0]
    assert len({m.digest for m in study.models}) == 3
    out = json.loads(
        run("new", tmp_path / "study" / "study.yaml", "-o", tmp_path / "again", "--json")
    )
    assert out["study"] == study.digest == read_study(tmp_path / "again").digest
    for item in study.items:
        for output in item.outputs.values():
            with Image.open(io.BytesIO(read_output(tmp_path / "out", output))) as picture:
                assert (picture.format, picture.size) == ("PNG", (32, 24))
    # Another seed is another study, of the same outputs.
    other = make(tmp_path, "other", seed=1)
    assert other.digest != study.digest
    assert [m.digest for m in other.models] == [m.digest for m in study.models]


def test_an_output_that_was_changed_is_not_shown(tmp_path):
    study = make(tmp_path)
    output = study.items[0].outputs["base"]
    (tmp_path / "out" / output.file).write_bytes(png(99))
    with pytest.raises(Exception, match="was changed"):
        read_output(tmp_path / "out", output)


def test_gold_is_made_of_outputs_for_other_items(tmp_path):
    study = make(tmp_path, mismatched=6)
    gold = [item for item in study.items if item.gold]
    assert len(gold) == 6
    for item in gold:
        (name,) = item.gold
        asked = study.by_item[item.id.removeprefix("gold/")]
        assert item.gold == {name: (1.0,)}
        assert item.prompt == asked.prompt
        assert item.outputs.keys() == {name}
        assert item.outputs[name] not in asked.outputs.values()
    # Half of its models' outputs are the item's own where they are compared.
    pairs = make(tmp_path, "pairs", design="pairs", mismatched=2)
    (first, _) = (item for item in pairs.items if item.gold)
    (name,) = first.gold
    own = pairs.by_item[first.id.removeprefix("gold/")].outputs
    assert [n for n in own if first.outputs[n] != own[n]] == [name]
    assert first.gold[name] == (0.0, 0.5)
    # By these scales, what is good of another text is good.
    text = make(tmp_path, "text", pictures=False, design="translation")
    assert not any(item.gold for item in text.items)


def test_declared_gold_is_taken_as_it_is(tmp_path):
    rows = item_rows(4)
    rows.append(
        {
            **rows[0],
            "id": "known",
            "outputs": {"base": rows[1]["outputs"]["base"]},
            "gold": {"base": [1]},
        }
    )
    study = make(tmp_path, rows=rows)
    (gold,) = (item for item in study.items if item.gold)
    assert (gold.id, gold.gold, [*gold.outputs]) == ("known", {"base": (1.0,)}, ["base"])


def test_a_design_of_ones_own_and_fewer_outputs_than_it_has_room_for(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        "kind: design\nname: mine\noutputs: 4\nranking: {ties: false}\n", encoding="utf-8"
    )
    study = make(tmp_path, design="mine.yaml")
    assert (study.design.name, study.design.outputs) == ("mine", 3)
    assert study.design.measures == {"rank": (3.0, 1.0)}


def test_a_sample_has_both_sides_and_all_categories(tmp_path):
    study = make(
        tmp_path, rows=item_rows(40), items={"file": "items.jsonl", "sample": 6}, mismatched=0
    )
    cells = [(item.item_side, item.category) for item in study.items]
    assert sorted(cells) == sorted(
        (side, category)
        for side in ("global", "regional")
        for category in ("Cuisine", "Landmark", "Tradition") * 2
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instructions": {"th": "ให้คะแนน"}}, "instructions: needs the text in English"),
        ({"title": {"en": "<script>alert(1)</script>"}}, "title.en: holds HTML"),
        ({"title": {"en": "a \u202egnp.exe"}}, "title.en: holds the invisible character"),
        ({"raters": {"local": ["en"]}}, "raters"),
        ({"raters": {}}, "raters"),
        ({"raters": {"regional": ["th", "th"]}}, "raters name a language twice"),
        ({"region": "atlantis"}, "atlantis"),
        ({"raters_per_item": 0}, "raters_per_item"),
        ({"design": "likrt"}, "there is no design 'likrt'"),
        ({"items": {"file": "../items.jsonl"}}, "no '..'"),
        ({"design": "/etc/design.yaml"}, "design: must be a relative path"),
        ({"items": {}}, "needs exactly one of file, suites and results"),
        ({"models": [{"name": "base", "role": "merged"}]}, "compared to one model, the base"),
        ({"models": [{"name": "nobody", "role": "base"}]}, "has no output of nobody"),
        (
            {"models": [{"name": "a", "role": "base", "adapter": "x"}]},
            "needs the folder of its base",
        ),
        ({"models": [{"name": "a", "role": "base", "folder": "x"}]}, "x"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_is_wrong_with_a_study_is_said_in_a_sentence(tmp_path, changes, message):
    file = write_study(tmp_path / "study", **changes)
    out = CliRunner().invoke(cli, ["humans", "new", str(file), "-o", str(tmp_path / "out")])
    assert out.exit_code in {1, 2}
    assert message in out.output
    assert "Traceback" not in out.output
    assert not (tmp_path / "out").exists()


def rows_with(**changes):
    rows = item_rows(3)
    rows[1] |= changes
    return rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (rows_with(picture="../../etc/passwd"), "no '..'"),
        (rows_with(picture="/etc/passwd"), "relative path"),
        (rows_with(picture="link.png"), "its path leaves the folder"),
        (rows_with(picture="pipe.png"), "the file is missing"),
        (rows_with(picture="drawing.svg"), "it is damaged"),
        (rows_with(picture="bomb.png"), "it is too large"),
        (rows_with(outputs={"base": {"text": "a"}}), "has no output of merged"),
        (rows_with(prompt="x" * 9000), "prompt"),
        (rows_with(id="item-0"), "two items one id"),
        (rows_with(gold={"base": [1]}, outputs={"other": {"text": "a"}}), "has no output of"),
        (rows_with(gold={"base": [1]}, outputs={"merged": {"text": "a"}}), "the gold item item-1 needs"),
    ],
)  # fmt: skip
def test_items_of_a_stranger(tmp_path, rows, message):
    import os
    import struct
    import zlib

    file = write_study(tmp_path / "study", rows)
    folder = file.parent
    (folder / "link.png").symlink_to("/etc/hostname")
    os.mkfifo(folder / "pipe.png")
    (folder / "drawing.svg").write_text("<svg onload='alert(1)'/>", encoding="utf-8")
    # A PNG of 60,000 x 60,000 pixels in a few bytes.
    head = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    (folder / "bomb.png").write_bytes(bomb + png(0)[33:])
    out = CliRunner().invoke(cli, ["humans", "new", str(file), "-o", str(tmp_path / "out")])
    assert out.exit_code in {1, 2}
    assert message in out.output
    assert not (tmp_path / "out").exists()


def test_outputs_reach_raters_without_metadata_transparency_and_control_characters(tmp_path):
    told = PngImagePlugin.PngInfo()
    told.add_text("parameters", "model: merged beta 0.25")
    taken = Image.Exif()
    taken[0x010E] = "secret"
    rows = item_rows(2)
    file = write_study(tmp_path / "study", rows, mismatched=0)
    (file.parent / "pictures" / "0.png").write_bytes(png(0, pnginfo=told, exif=taken.tobytes()))
    stream = io.BytesIO()
    Image.new("RGBA", (4000, 10), (0, 0, 0, 0)).save(stream, "WEBP")
    (file.parent / "pictures" / "1.png").write_bytes(stream.getvalue())
    run("new", file, "-o", tmp_path / "out")
    study = read_study(tmp_path / "out")
    first, second = (read_output(tmp_path / "out", item.outputs["base"]) for item in study.items)
    assert b"merged" not in first
    assert b"secret" not in first
    with Image.open(io.BytesIO(second)) as picture:
        assert picture.size == (2048, 5)
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    rows = item_rows(2, pictures=False)
    rows[0]["outputs"]["base"]["text"] = "red\x1b[31m \u202etxt\r\n" + "x" * 30_000
    file = write_study(tmp_path / "texts", rows, design="translation")
    run("new", file, "-o", tmp_path / "said")
    item = read_study(tmp_path / "said").items[0]
    text = read_output(tmp_path / "said", item.outputs["base"]).decode()
    assert text.startswith("red\ufffd[31m \ufffdtxt\nxxx")
    assert len(text) == 20_000


def test_a_file_that_is_not_a_study(tmp_path):
    assert "not a study" in run("raters", tmp_path, code=1)
    (tmp_path / "study.json").write_text("{}", encoding="utf-8")
    assert "Make the study again" in run("raters", tmp_path, code=1)
    (tmp_path / "study.json").write_bytes(b"[" * 200_000)
    run("raters", tmp_path, code=1)


def test_raters_are_invited_counted_revoked_and_forgotten(tmp_path):
    make(tmp_path)
    folder = tmp_path / "out"
    links = run("invite", folder, "--side", "regional", "--language", "th", "-n", 2).splitlines()
    assert all("/r/" in link for link in links[:2])
    assert "no raters of global in th" in run(
        "invite", folder, "--side", "global", "--language", "th", code=2
    )
    found = json.loads(run("raters", folder, "--json"))
    first, second = (rater["rater"] for rater in found["raters"])
    assert found["groups"][1] == {"side": "regional", "language": "th", "invited": 2, "needed": 2}
    run("revoke", folder, first)
    states = [rater["state"] for rater in json.loads(run("raters", folder, "--json"))["raters"]]
    assert states == ["revoked", "invited"]
    (folder / "ratings.parquet").write_bytes(b"")
    run("forget", folder, second)
    assert not (folder / "ratings.parquet").exists()
    assert [r["rater"] for r in json.loads(run("raters", folder, "--json"))["raters"]] == [first]
    # Cut off in between it is run again; nobody else is forgotten.
    (folder / ".ratings.parquet.1.partial").write_bytes(b"")
    run("forget", folder, second)
    assert not list(folder.glob(".ratings*"))
    assert "there is no rater" in run("forget", folder, "f" * 16, code=1)
    # Nothing of an invitation but its sha256 is kept.
    token = links[0].rpartition("/")[2].encode()
    assert not any(token in path.read_bytes() for path in folder.glob("raters.db*"))


def test_the_schema_of_a_pinned_study_is_closed(tmp_path):
    study = make(tmp_path)
    document = json.loads(study.canonical())
    with pytest.raises(ValueError, match="extra"):
        Study.model_validate_json(json.dumps({**document, "more": 1}))


def test_what_is_forgotten_is_said_to_be_on_the_disk_while_it_is(tmp_path, monkeypatch):
    make(tmp_path)
    folder = tmp_path / "out"
    run("invite", folder, "--side", "regional", "--language", "th", "-n", 2)
    first, second = Store(folder).raters()
    monkeypatch.setattr(store_module, "TIMEOUT", 0.1)
    with closing(Store(folder)._connect()) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM raters").fetchall()
        assert "still on the disk" in run("forget", folder, first.id, code=1)
    run("forget", folder, first.id)
    assert Store(folder).raters() == [second]
    assert not any(first.id.encode() in path.read_bytes() for path in folder.glob("raters.db*"))


def test_who_came_or_was_forgotten_while_ratings_are_collected_is_left_out(tmp_path):
    study = make(tmp_path)
    folder = tmp_path / "out"
    run("invite", folder, "--side", "regional", "--language", "th")
    store = Store(folder)
    (rater,) = store.raters()
    before = {}
    shown = queue(study, rater.side, rater.language, rater.number)[0]
    measures = dict.fromkeys(study.design.measures, 1.0)
    answers = dict.fromkeys(shown.models, measures)
    store.record(rater.id, shown, answers, 1.0)
    assert list(ratings_of(study, before, store.judgements())) == []
    assert list(ratings_of(study, {rater.id: rater}, store.judgements()))
