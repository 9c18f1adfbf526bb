"""Everything of a card that leaves in a file of the site is text."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from shutil import which

import pytest

from ggez_hub.hub import Hub
from ggez_hub.site.data_files import as_json, https, slug_of, write_data, write_table

from .built import built, data, pages, write_accepted

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<svg onload=alert(1)>",
    "\u2028\u2029alert(1)//",
    "');alert(1);('",
    "\u202egnp.exe",
    "javascript:alert(1)",
    "{{constructor.constructor('alert(1)')()}}",
    "\x00\x1b[2J",
]


def test_hostile_texts_are_one_call_of_data_and_come_back_as_they_were(tmp_path):
    write_data(tmp_path, "a/b", {"texts": HOSTILE, "nan": float("nan")})
    text = (tmp_path / "data" / "a" / "b.js").read_text(encoding="ascii")
    assert re.search(r"<|[^\x20-\x7e\n]", text) is None
    assert data(tmp_path, "a/b") == {"texts": HOSTILE, "nan": None}


@pytest.mark.skipif(which("node") is None, reason="node is not installed")
def test_a_script_engine_reads_the_same(tmp_path):
    write_data(tmp_path, "x", HOSTILE)
    program = "let seen; globalThis.ggezData = (k, v) => { seen = v; }; require(process.argv[1]); console.log(JSON.stringify(seen))"
    found = subprocess.run(
        ["node", "-e", program, str(tmp_path / "data" / "x.js")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(found.stdout) == HOSTILE


@pytest.mark.parametrize(
    ("path", "slug"),
    [
        ("cards/th/vlm/vlm-emoji-th.md", "th.vlm.vlm-emoji-th"),
        ("cards/southeast-asia/vlm/qwen3.5-4b.md", "southeast-asia.vlm.qwen3.5-4b"),
    ],
)
def test_the_name_of_a_card_is_its_address(path, slug):
    assert slug_of(path) == slug


def test_any_other_name_becomes_a_safe_one_of_its_own():
    names = [
        "A.md",
        "a b.md",
        "..md",
        "a..b.md",
        "ชื่อ.md",
        "x'onload=.md",
        "a" * 300 + ".md",
        "A\n.md",
    ]
    slugs = [slug_of(f"cards/th/vlm/{name}") for name in names]
    assert len({slug.lower() for slug in slugs}) == len(names)
    assert all(re.fullmatch(r"th\.vlm\.[a-z0-9_-]+", slug) for slug in slugs)


def test_links_are_https_alone():
    assert https("https://huggingface.co/x/y") == "https://huggingface.co/x/y"
    for other in (
        "http://x.org",
        "javascript:alert(1)",
        "https://x.org/\"onclick='a'",
        " https://x",
        "//x",
    ):
        assert https(other) is None


def test_no_cell_of_a_table_is_a_formula(tmp_path):
    rows = [
        {"name": name, "gain": -1.5} for name in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", 'a,"b"\n')
    ]
    write_table(tmp_path, "t", rows)
    with (tmp_path / "tables" / "t.csv").open(encoding="utf-8", newline="") as file:
        _, *found = csv.reader(file)
    assert [row[0] for row in found] == ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\t=1", 'a,"b"\n']
    # A number is a number.
    assert {row[1] for row in found} == {"-1.5"}
    assert json.loads((tmp_path / "tables" / "t.json").read_text()) == rows


def test_a_card_of_a_stranger_stays_text_and_inside_its_folder(world, tmp_path):
    cards = tmp_path / "cards"
    strange = {"en": "a < b \u2028 'quoted' \"double\" &lt;b&gt; =1+1", "ar": "مرحبا"}
    write_accepted(cards, "th", world, "x/y", name="Ünsafe 'name'.md", summary=strange)
    write_accepted(cards, "vn", world, "x/z", front={"library_name": "=cmd|' /C calc'!A0"})
    site = built(Hub("http://127.0.0.1:9", offline=True), tmp_path / "site", cards).folder
    found = pages(site)
    assert len(found) == 2
    (page,) = [page for page in found.values() if page["repo"] == "x/y"]
    assert page["summary"] == strange
    assert page["page"] is None
    for path in site.rglob("*.js"):
        assert re.fullmatch(r"[a-z0-9._/-]+", path.relative_to(site).as_posix())
        assert "<" not in path.read_text(encoding="ascii")
    assert as_json("\ud800") == '"\\ud800"'
