"""`humans demo`, from three models to scores on their card: people at a phone and at a desk."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from ggez_hub.cards import read_card
from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import ASSETS
from ggez_hub.humans.server.words import speech
from ggez_hub.humans.store import Store
from ggez_hub.humans.study import read_study

from .served import Client
from .test_browser import PHONE, Visitor, browser, pytestmark

__all__ = ["browser", "pytestmark"]
DEMO = [sys.executable, "-c", "from ggez_hub.cli.main import main; main()", "humans", "demo"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder of the demo's study and the links to it, served by the command."""
    folder = tmp_path_factory.mktemp("demo") / "study"
    command = [*DEMO, "-o", str(folder), "--language", "th", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    printed = ""
    while not printed.endswith("}\n") or printed.count("{") > printed.count("}"):
        line = process.stdout.readline()
        assert line, process.stderr.read()
        printed += line
    yield folder, json.loads(printed)["links"]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_a_study_from_its_models_to_a_score_on_a_card(demo, browser, tmp_path):
    folder, links = demo
    study = read_study(folder)
    assert [model.role for model in study.models] == ["base", "merged", "unmerged"]
    assert all("en" in item.translations and "lo" in item.translations for item in study.items)
    url, token = links["regional"].split("/r/")
    phone = Visitor(browser, url, token, **PHONE).begin()
    while not phone.is_finished:
        phone.judge(len(phone.title) % 3)
    assert phone.title == speech("th").words.done
    for number in range(6):
        side = ("global", "regional")[number % 2]
        rater = Client(url, Store(folder).invite(side, "en")).begin()
        while not rater.finished:
            rater.judge((number + len(rater.text)) % 3)
    adapter = shutil.copytree(ASSETS / "diffusion" / "th", tmp_path / "adapter")
    for command in (["humans", "score", folder, "--card", adapter], ["verify", folder]):
        result = CliRunner().invoke(cli, list(map(str, command)))
        assert result.exit_code == 0, result.output
    rows = read_card(adapter / "README.md").card.people
    assert {(row.beta, row.measure) for row in rows} == {
        (beta, measure) for beta in ("0", "0.5", "1") for measure in ("correctness", "naturalness")
    }
    assert {row.raters for row in rows} == {7}
