"""What is built of `explorer/`: it is what is committed, its own tests pass, and it chooses as Python does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ggez_hub.cards import read_card
from ggez_hub.cards.curve import SPLITS
from ggez_hub.charts import site_files
from ggez_hub.demo.hub import ASSETS
from ggez_hub.parity.beta_choice import choose, eligible
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.moments import GLOBAL, REGIONAL
from ggez_hub.parity.policy import Policy
from tests.parity.test_alpha_ranges import opened

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "explorer"
POLICIES = (Policy.parse("parity"), Policy.parse("keep"))
ALPHAS = [n / 100 for n in range(101)]
on_ci = os.environ.get("CI") == "true"
# On CI what is missing is an error: skipped there, these tests would never run.
needs_node = pytest.mark.skipif(
    shutil.which("node") is None and not on_ci, reason="there is no node here"
)
needs_packages = pytest.mark.skipif(
    not (SOURCES / "node_modules").is_dir() and not on_ci, reason="make explorer was not run here"
)


def node(*arguments, **options):
    done = subprocess.run(
        ["node", *map(str, arguments)],
        cwd=SOURCES, capture_output=True, text=True, timeout=600, check=False, **options,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@needs_packages
def test_what_is_committed_is_what_is_built(tmp_path):
    charts = ROOT / "ggez_hub" / "charts"
    built = {"explorer.js", "report.js", "style.css", "world.js", "NOTICE.txt"}
    node("build.mjs", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == built
    different = [n for n in built if (tmp_path / n).read_bytes() != (charts / n).read_bytes()]
    assert different == [], "run make explorer and commit ggez_hub/charts"


@needs_packages
def test_the_scripts_own_tests_pass():
    assert "# fail 0" in node("--test", "--test-reporter=tap")


@needs_packages
def test_types():
    node("node_modules/typescript/bin/tsc", "--project", ".")


def test_a_page_runs_no_script_of_its_own():
    page = site_files()["index.html"].decode()
    assert "script-src 'self'; style-src 'self'" in page
    assert page.count("<script") == 1
    assert " style=" not in page
    assert "<style" not in page


def shipped(curve):
    """A curve as a site's data have it, as far as the choice reads it."""
    found = {
        "betas": list(curve.betas),
        "q_global": curve.moments.means[GLOBAL].tolist(),
        "q_regional": curve.moments.means[REGIONAL].tolist(),
        "undetermined": {},
    }
    for policy in POLICIES:
        try:
            places = eligible(curve, policy)
            found[f"{policy}_allowed"] = [n in places for n in range(len(curve.betas))]
        except NoCurve as problem:
            found[f"{policy}_allowed"] = None
            found["undetermined"][str(policy)] = problem.message
    return found


def place(curve, policy, alpha):
    try:
        return choose(curve, alpha, policy).index
    except NoCurve:
        return None


SCRIPT = """
import { choose } from "./src/choice.js";
import { readFileSync } from "node:fs";
const { curves, alphas } = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(curves.map(c => ["parity", "keep"].map(p => alphas.map(a => choose(c, p, a))))));
"""


def assert_equal_choices(curves):
    chosen = [[[place(c, p, a) for a in ALPHAS] for p in POLICIES] for c in curves]
    # They differ: by alpha, and by policy.
    assert len({tuple(map(tuple, of)) for of in chosen}) > 4
    asked = json.dumps({"curves": [shipped(c) for c in curves], "alphas": ALPHAS})
    assert json.loads(node("--input-type=module", "-e", SCRIPT, input=asked)) == chosen


@needs_node
def test_the_script_chooses_as_python_does_for_every_card():
    documents = [*ROOT.glob("cards/*/*/*.md"), *ASSETS.glob("*/*/README.md")]
    cards = [read_card(path).card for path in documents if "ggez:" in path.read_text()]
    curves = []
    for card in cards:
        for split in SPLITS:
            try:
                curves.append(ParityCurve.of(card.measured, split, card.region))
            except NoCurve:
                continue
    assert len(curves) >= 8
    assert_equal_choices(curves)


@needs_node
def test_the_script_breaks_ties_as_python_does():
    """Scores on a coarse grid, some a rounding apart: many GRPs are equal or nearly so."""
    luck = np.random.default_rng(0)

    def score():
        return float(50 + luck.integers(0, 4) + luck.choice([0, 0, 4e-10, 3e-9]))

    curves = [
        opened({f"{n / 4:g}": (score(), score()) for n in range(5)}, se=0.5) for _ in range(40)
    ]
    assert_equal_choices(curves)
