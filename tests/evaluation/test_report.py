"""The report: one page that fetches nothing, and what a browser makes of it."""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ggez_hub.cards import alpha_record
from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import ASSETS
from ggez_hub.evaluation.answers.outcomes import Cell, Details
from ggez_hub.evaluation.benchmarks.drawing_scores import Judged
from ggez_hub.evaluation.gates.outcome import Limits
from ggez_hub.evaluation.report.contents import contents
from ggez_hub.evaluation.report.examples import examples
from ggez_hub.evaluation.report.page import page
from ggez_hub.evaluation.results.evidence import open_evidence
from ggez_hub.evaluation.results.header import AtAddress
from ggez_hub.hub import Hub
from ggez_hub.recipe_file import recipes_folder
from ggez_hub.regions import alpha, find_region
from ggez_hub.registry.task_data import TaskData, find_tasks
from tests.evaluation.benchmarks import png, write_cvqa
from tests.evaluation.conftest import outcomes
from tests.evaluation.results import TASKS, grid, write

pytestmark = pytest.mark.slow

THAI = ASSETS / "embedding" / "th"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
# On CI a missing browser is an error: skipped there, these tests would never run.
needs_browser = pytest.mark.skipif(
    BROWSER is None and os.environ.get("CI") != "true", reason="there is no chromium here"
)


def run(*arguments):
    return CliRunner().invoke(cli, ["report", *map(str, arguments)])


@pytest.fixture(scope="module")
def thai(tmp_path_factory):
    """The page of the demo's Thai adapter, with pictures."""
    place = tmp_path_factory.mktemp("report") / "thai.html"
    data = ["--tasks", recipes_folder() / "demo", "--data", ASSETS / "emoji-names"]
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
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
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
    assert (found["selection"]["beta"], found["gates"]["outcome"]) == (0.8, "pass")
    betas = [0.9, 0.8, 0.6, 0.5, 0.4, 0.2, 0]
    assert [r["beta"] for r in found["ranges"]] == betas
    line = next(x for x in found["lines"]["test"] if x["beta"] == 0.6)
    alpha = found["alpha"]["value"]
    assert alpha * line["at_one"] + (1 - alpha) * line["at_zero"] == pytest.approx(
        point["grp"]["value"]
    )
    own = {row["id"]: row for row in found["years"] if row["own"]}
    assert set(own) == {"th", "southeast-asia"}
    assert own["th"]["values"][-1] == alpha
    # Two countries enter the group's mean; the panel is of those that were always in it.
    assert own["th"]["panel"] is None
    fixed = own["southeast-asia"]["panel"]
    assert [(b["year"], b["entered"]) for b in fixed["breaks"]] == [(1984, ["bn"]), (2002, ["tl"])]
    assert len(fixed["values"]) == len(own["southeast-asia"]["values"])
    assert fixed["values"][0] == own["southeast-asia"]["values"][0]
    assert fixed["values"][-1] < own["southeast-asia"]["values"][-1]
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


def test_a_benchmarks_questions_stand_with_their_pictures(tmp_path):
    """CVQA as a vision-language model is asked it, from where the results say that it came."""
    write_cvqa(tmp_path / "data" / "afaji" / "cvqa", 300)
    hub = Hub("http://127.0.0.1:9")
    source = TaskData(hub, tmp_path / "data", None, ["likelihood"])
    suite = find_tasks(["cvqa"])
    tasks, _ = source.prepare(suite, find_region("ph"))
    nowhere = AtAddress(address="http://127.0.0.1:9/v1#m")
    origin = source.origin(suite, tmp_path / "out", nowhere, [], None)
    luck = np.random.default_rng(0)
    cells = {}
    for task in tasks:
        for split, question in task.asked.items():
            right = question.questions.right
            noise = luck.random(right.shape)
            for beta in (0.0, 0.5):
                # Larger beta, better answers.
                scores = noise + right * (0.4 + 0.4 * beta)
                cells[Cell(beta, task.id, split)] = question.questions.scored(scores)
    records = {task.id: task.record for task in tasks}
    write(tmp_path / "out", cells, tasks=records, region="ph", alpha=alpha_record(alpha("ph")),
          origin=origin)  # fmt: skip
    done = run(tmp_path / "out", "--questions", "-o", tmp_path / "page.html",
               "--hub", "http://127.0.0.1:9")  # fmt: skip
    assert done.exit_code == 0, done.output
    found = document(tmp_path / "page.html")
    local = [r for r in found["tasks"] if r["task"].startswith("cvqa-local: ")]
    assert len({row["language"] for row in local} - {"mul"}) == 3
    assert any(row["task"].endswith(": ph") for row in found["tasks"])
    examples = [e for e in found["examples"] if e["won"]]
    assert examples
    for example in examples:
        assert example["item"]["picture"].startswith("data:image/")
        assert example["item"]["text"]
        assert example["right"]["id"] == example["merged"]["id"] != example["base"]["id"]


def test_pictures_that_were_drawn_are_those_of_the_answers(tmp_path):
    names = {}
    for beta in (0.0, 1.0):
        data = png(int(beta) * 100)
        names[beta] = hashlib.sha256(data).hexdigest()
        (tmp_path / "pictures").mkdir(exist_ok=True)
        (tmp_path / "pictures" / f"{names[beta]}.png").write_bytes(data)

    def drawn(right, beta):
        raw = [
            Judged((names[beta],), ({1: "yes" if r else "no"},), {1: "yes"}, {1: ()}).as_text()
            for r in right
        ]
        plain = outcomes(right, items=[f"prompt {n}" for n in range(len(right))])
        return replace(plain, details=Details.of(len(right), raw=raw))

    rows = np.arange(100)
    cells = {
        Cell(beta, task, split): drawn(rows % 10 < share, beta)
        for split in ("validation", "test")
        for task in TASKS
        for beta, share in ((0.0, 5), (1.0, 8))
    }
    evidence = write(tmp_path, cells)
    found = examples(evidence, 0.0, 1.0, "choice_4")
    assert len(found) == 6
    assert found[0]["base"]["picture"] != found[0]["merged"]["picture"]
    assert found[0]["merged"]["picture"].startswith("data:image/png;base64,")
    # A large one is made smaller, what is none is left out.
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "pictures" / f"{names[1.0]}.png")
    (tmp_path / "pictures" / f"{names[0.0]}.png").write_bytes(b"\x89PNG" + bytes(300_000))
    again = examples(evidence, 0.0, 1.0, "choice_4")[0]
    assert again["merged"]["picture"].startswith("data:image/jpeg;base64,")
    assert again["base"]["picture"] is None


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
        "thai", "thai: la", "thai: th", "thai: mean over countries",
    ]  # fmt: skip
    mean = next(row for row in rows if row["task"] == "thai: mean over countries")
    # Two thirds of the questions are Thai, half of the countries are.
    assert (mean["base"]["value"], mean["merged"]["value"]) == (pytest.approx(30), 45)
    thai = next(row for row in rows if row["task"] == "thai: th")
    assert (thai["base"]["n"], thai["base"]["value"], thai["merged"]["value"]) == (400, 60, 90)
    assert thai["difference"][0] == pytest.approx(30)


def alone(tmp_path, beta=0.5, shares=(0.8, 0.6)):
    """The results of one model."""
    cells = {c: o for c, o in grid(60, {beta: shares}).items() if c.beta == beta}
    return write(tmp_path, cells)


def test_one_model_is_shown_by_itself(tmp_path):
    found = contents(alone(tmp_path), Limits())
    assert found["compared"] == {"base": None, "beta": 0.5}
    assert found["gates"] is None
    assert [(t["task"], t["base"], t["merged"]["n"]) for t in found["tasks"]] == [
        ("world", None, 60), ("thai", None, 60),
    ]  # fmt: skip
    assert [e["won"] for e in found["examples"]] == [True] * 6 + [False] * 6
    for example in found["examples"]:
        assert example["base"] is None
        assert (example["merged"]["id"] == example["right"]["id"]) == example["won"]


def test_where_no_beta_is_chosen_the_regional_model_is_compared(tmp_path):
    found = contents(
        write(tmp_path, grid(60, {0.0: (0.2, 0.2), 0.5: (0.2, 0.2), 1.0: (0.2, 0.2)})), Limits()
    )
    assert found["selection"]["beta"] is None
    assert found["compared"] == {"base": 0.0, "beta": 1.0}
    assert all(t["base"] and t["merged"] for t in found["tasks"])


@needs_browser
def test_a_browser_shows_one_model(tmp_path):
    alone(tmp_path / "r")
    assert run(tmp_path / "r", "-o", tmp_path / "page.html").exit_code == 0
    seen, complaints = rendered(tmp_path / "page.html", tmp_path)
    shown = re.sub(r"<(script|style).*?</\1>", "", seen, flags=re.DOTALL)
    assert complaints == []
    assert "One model, at beta 0.5: there is no beta to choose." in shown
    assert "What it got right" in shown
    for word in ("Gates", "<th>base</th>", "difference", "base said", "The region against"):
        assert word not in shown
    assert "Contamination unknown" not in shown


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
    assert "alpha 0.374: beta 0.8 is chosen, and for every alpha from 0.243 to 0.500." in seen
    rows = re.findall(r"<td>beta ([0-9.]+) (?:base|merged|regional)?</td>", seen)
    assert rows == sorted(rows, key=float)
    assert len(rows) == 13


@needs_browser
def test_on_a_phone_text_is_as_large_as_elsewhere(thai, tmp_path):
    """A chart has as many units as it is pixels wide: nothing is scaled down."""
    frame = tmp_path / "phone.html"
    script = (
        "const box = document.querySelector('iframe'); box.onload = () => { const page = "
        "box.contentDocument; document.title = [...page.querySelectorAll('svg')].map(s => "
        "s.viewBox.baseVal.width / s.getBoundingClientRect().width).join(' ') + ' of ' + "
        "page.documentElement.scrollWidth; };"
    )
    page = json.dumps(thai.read_text()).replace("</", "<\\/")
    frame.write_text(
        "<iframe style='width: 360px; height: 20000px; border: 0'></iframe>"
        f"<script>{script} box.srcdoc = {page};</script>"
    )
    seen, _ = rendered(frame, tmp_path)
    scales, width = re.search(r"<title>([0-9. ]+) of ([0-9]+)</title>", seen).groups()
    assert [float(scale) for scale in scales.split()] == pytest.approx([1, 1, 1], abs=0.01)
    assert int(width) == 360


@needs_browser
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_it_is_accessible(thai, colours):
    """WCAG 2.2 AA as far as axe sees it."""
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(color_scheme=colours)
        page.goto(thai.as_uri())
        page.wait_for_selector("svg")
        options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
        found = Axe().run(page, options=options).response["violations"]
        browser.close()
    assert [(v["id"], v["nodes"][0]["html"]) for v in found] == []


@needs_browser
def test_the_slider_moves_the_choice(thai, tmp_path):
    seen, _ = rendered(thai, tmp_path, "#alpha=0.9")
    assert "alpha 0.900: beta 0.5 is chosen, and for every alpha from 0.700 to 0.912." in seen


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
    result = run(THAI, "--tasks", recipes_folder() / "demo", *asked)
    assert result.exit_code == 2
    assert "data that were given are of no regional task" in result.stderr
    assert not (tmp_path / "page.html").exists()
