"""The report: one page that fetches nothing, and what a browser makes of it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.evaluation.evidence import open_evidence
from ggez_hub.evaluation.gates import Limits
from ggez_hub.evaluation.outcomes import Cell
from ggez_hub.evaluation.report.contents import contents
from ggez_hub.evaluation.report.page import page
from ggez_hub.resources import recipes
from ggez_hub.world.seed import ASSETS
from tests.evaluation.conftest import outcomes
from tests.evaluation.results import TASKS, grid, write

THAI = ASSETS / "embedding" / "th"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no chromium here")


def run(*arguments):
    return CliRunner().invoke(cli, ["report", *map(str, arguments)])


@pytest.fixture(scope="module")
def thai(tmp_path_factory):
    """The page of the demo's Thai adapter, with pictures."""
    place = tmp_path_factory.mktemp("report") / "thai.html"
    data = ["--tasks", recipes() / "demo", "--data", ASSETS / "emoji-names"]
    result = run(THAI, *data, "-o", place)
    assert result.exit_code == 0, result.stderr
    return place


def document(place):
    text = place.read_text()
    return json.loads(re.search(r'id="contents">(.*?)</script>', text, re.DOTALL)[1])


def rendered(place, tmp_path, hash_=""):
    """The page as the browser has it after its script ran, and what the browser complained of."""
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
        "--virtual-time-budget=3000", f"--user-data-dir={tmp_path / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom", place.as_uri() + hash_,
    ]  # fmt: skip
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return found.stdout, [line for line in found.stderr.splitlines() if "CONSOLE" in line]


def test_the_page_fetches_nothing(thai):
    text = thai.read_text()
    outside = re.findall(r"(?:src|href)=|url\(|@import|https?://[^\s\"<]+", text)
    assert set(outside) <= {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in text
    assert thai.stat().st_size < 3_000_000


def test_its_figures_are_those_of_the_evidence(thai):
    found = document(thai)
    point = found["parity"]["points"]["0.6"]
    assert point["grp"]["value"] == pytest.approx(42.2448, abs=1e-4)
    assert (found["selection"]["beta"], found["gates"]["outcome"]) == (0.6, "fail")
    # At alpha 0.7 another beta becomes the best, and with it another error counts.
    betas = [0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.4, 0.3, 0.2, 0.1, 0]
    assert [r["beta"] for r in found["ranges"]] == betas
    line = next(x for x in found["lines"]["test"] if x["beta"] == 0.6)
    alpha = found["alpha"]["value"]
    assert alpha * line["at_one"] + (1 - alpha) * line["at_zero"] == pytest.approx(
        point["grp"]["value"]
    )
    own = {row["id"]: row for row in found["years"] if row["own"]}
    assert set(own) == {"th", "southeast-asia"}
    assert own["th"]["values"][-1] == alpha
    thai_names = next(t for t in found["tasks"] if t["task"] == "emoji-th-retrieval")
    assert (thai_names["language"], thai_names["merged"]["n"]) == ("th", 1368)


def test_examples_are_of_both_kinds_with_their_pictures(thai):
    found = document(thai)["examples"]
    assert [e["won"] for e in found] == [True] * 6 + [False] * 6
    for example in found:
        right, wrong = ("merged", "base") if example["won"] else ("base", "merged")
        assert example[right]["id"] == example["right"]["id"] != example[wrong]["id"]
        assert example["item"]["picture"].startswith("data:image/webp;base64,")
        assert example["item"]["text"]


def test_without_the_data_there_are_ids(tmp_path):
    found = contents(open_evidence(THAI), Limits())
    assert found["examples"][0]["item"]["picture"] is None
    assert found["contamination"]["emoji-th-choice"] == "contamination unknown"


def test_a_task_of_several_countries_has_a_row_for_each(tmp_path):
    cells = {
        Cell(beta, task, split): outcomes(
            [1] * right + [0] * (600 - right),
            items=[f"{task}-{row}" for row in range(600)],
            countries=["th"] * 400 + ["la"] * 200,
        )
        for split in ("validation", "test")
        for beta, shares in ((0.0, (480, 240)), (0.5, (470, 360)))
        for task, right in zip(("world", "thai"), shares, strict=True)
    }
    rows = contents(write(tmp_path, cells), Limits())["tasks"]
    assert [row["task"] for row in rows if row["side"] == "regional"] == [
        "thai", "thai: la", "thai: th",
    ]  # fmt: skip
    thai = next(row for row in rows if row["task"] == "thai: th")
    assert (thai["base"]["n"], thai["base"]["value"], thai["merged"]["value"]) == (400, 60, 90)
    assert thai["difference"][0] == pytest.approx(30)


def test_strange_text_stays_text(tmp_path):
    evil = "</script><script>document.title='owned'</script>"
    found = contents(write(tmp_path / "r"), Limits())
    found["region"]["name"] = evil
    place = tmp_path / "page.html"
    place.write_text(page(found))
    assert evil not in place.read_text()
    assert document(place)["region"]["name"] == evil
    if BROWSER:
        seen, _ = rendered(place, tmp_path)
        assert "<title>ggez-hub report</title>" in seen
        assert html.escape(evil, quote=False) in seen


@needs_browser
def test_a_browser_draws_it(thai, tmp_path):
    seen, complaints = rendered(thai, tmp_path)
    assert complaints == []
    assert seen.count("<svg") == 3
    # 13 lines of GRP, and a dot for every beta there and on the trade-off.
    assert seen.count("<circle") == 26
    assert seen.count('<img src="data:image/webp') >= 24
    assert "alpha 0.374: beta 0.6 is chosen, and for every alpha from 0.211 to 0.446." in seen
    rows = re.findall(r"<td>beta ([0-9.]+) (?:base|merged|regional)?</td>", seen)
    assert rows == sorted(rows, key=float)
    assert len(rows) == 13


@needs_browser
def test_the_slider_moves_the_choice(thai, tmp_path):
    seen, _ = rendered(thai, tmp_path, "#alpha=0.9")
    assert "alpha 0.900: beta 0 is chosen, and for every alpha from 0.798 to 1.000." in seen


@needs_browser
def test_a_suite_without_grp_shows_the_pareto_table(tmp_path):
    tasks = TASKS | {"thai": TASKS["thai"] | {"metric": "likert", "judge": "people"}}
    write(tmp_path / "r", grid(60), tasks=tasks)
    assert run(tmp_path / "r", "-o", tmp_path / "page.html").exit_code == 0
    seen, complaints = rendered(tmp_path / "page.html", tmp_path)
    assert complaints == []
    assert "Pareto table" in seen
    assert "regional: likert by people" in seen
    assert 'id="alpha"' not in re.sub(r"<script.*?</script>", "", seen, flags=re.DOTALL)


def test_data_of_something_else_is_refused(tmp_path):
    asked = ["--data", tmp_path, "-o", tmp_path / "page.html"]
    assert "--data needs --tasks" in run(THAI, *asked).stderr
    result = run(THAI, "--tasks", recipes() / "demo", *asked)
    assert result.exit_code == 2
    assert "holds the data of no regional task" in result.stderr
    assert not (tmp_path / "page.html").exists()
