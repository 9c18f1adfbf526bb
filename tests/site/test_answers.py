"""What the answers behind the scores add to a page, and what a licence lets be shown."""

from __future__ import annotations

import numpy as np
import pytest

from ggez_hub.cards import alpha_record
from ggez_hub.embedded.store import HubStore
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.report.examples import prepared_tasks
from ggez_hub.evaluation.results.evidence import open_evidence
from ggez_hub.hub import Hub
from ggez_hub.regions import alpha, find_region
from ggez_hub.registry.task_data import TaskData, find_tasks
from ggez_hub.site.answers import from_answers, licence_of, may_be_shown
from ggez_hub.site.build import build_site
from ggez_hub.site.source import read_source

from ..evaluation.benchmarks import write_cvqa
from ..evaluation.results import write
from ..worlds import serving
from .built import SHELL, data, pages

pytestmark = pytest.mark.slow


def test_answers_give_all_gates_and_languages(demo, tmp_path):
    hub, without = demo
    source = read_source(hub, "embedded")
    site = build_site(source, tmp_path / "site", SHELL, answers=True).folder
    before, after = pages(without)["th.vlm.vlm-emoji-th"], pages(site)["th.vlm.vlm-emoji-th"]
    assert [gate["name"] for gate in before["gates"]] == ["gain"]
    assert [gate["name"] for gate in after["gates"]][:3] == ["gain", "parse failures", "leakage"]
    # Read from the card or recomputed from the answers, the gate is the same.
    assert after["gates"][0] == before["gates"][0]
    (country,) = before["countries"]
    (thai,) = [row for row in after["languages_measured"] if row["id"] == "th"]
    assert thai["score"] == pytest.approx(country["score"])
    assert thai["base"] == pytest.approx(country["base"])
    assert thai["gain"] == pytest.approx(thai["score"] - thai["base"])
    assert thai["low"] < thai["gain"] < thai["high"]
    (shown,) = [a for a in data(site, "countries/th")["adapters"] if a["family"] == "vlm"]
    assert shown["gates"] == after["gates"]
    # The card does not say where its questions are.
    assert after["samples"] == []


@pytest.fixture(scope="module")
def philippine(tmp_path_factory):
    """Made-up answers to CVQA, and its questions."""
    folder = tmp_path_factory.mktemp("cvqa")
    write_cvqa(folder / "data" / "afaji" / "cvqa", 150)
    source = TaskData(Hub("http://127.0.0.1:9"), folder / "data", None, ["likelihood"])
    tasks, _ = source.prepare(find_tasks(["cvqa"]), find_region("ph"))
    luck, cells = np.random.default_rng(0), {}
    for task in tasks:
        for split, question in task.asked.items():
            right = question.questions.right
            noise = luck.random(right.shape)
            for beta in (0.0, 0.5):
                scores = noise + right * (0.4 + 0.4 * beta)
                cells[Cell(beta, task.id, split)] = question.questions.scored(scores)
    records = {task.id: task.record for task in tasks}
    write(folder / "out", cells, tasks=records, region="ph", alpha=alpha_record(alpha("ph")))
    return open_evidence(folder / "out"), prepared_tasks(tasks)


def test_questions_are_shown_with_pictures_of_the_site(philippine, tmp_path):
    evidence, material = philippine
    found = from_answers(evidence, 0.5, tmp_path, lambda repo: "cc-by-4.0", material)["samples"]
    assert found
    for sample in found:
        assert (tmp_path / sample["picture"]).stat().st_size > 0
        assert sample["prompt"]
        assert sample["base_answer"] != sample["merged_answer"]
        assert (sample["license"], "afaji/cvqa" in sample["text"]) == ("cc-by-4.0", True)


@pytest.mark.parametrize("licence", ["unknown", "cc-by-nc-4.0", "cc-by-nd-4.0", "my-own"])
def test_what_a_licence_does_not_allow_is_neither_shown_nor_written(philippine, tmp_path, licence):
    evidence, material = philippine
    found = from_answers(evidence, 0.5, tmp_path, lambda repo: licence, material)
    assert found["samples"] == []
    assert list(tmp_path.iterdir()) == []
    assert not may_be_shown(licence)


def test_what_not_everybody_may_read_is_not_shown_whatever_its_licence(tmp_path):
    card = {"README.md": b"---\nlicense: cc-by-4.0\n---\n"}
    with HubStore.open(tmp_path) as store, serving(store) as endpoint:
        store.add_account("curator", orgs=["x"])
        for name in ("open", "private", "gated"):
            store.create_repo("dataset", f"x/{name}", private=name == "private")
            who = {"message": "x", "author": "x", "email": "x@example.org", "date": 1_700_000_000}
            store.commit("dataset", f"x/{name}", card, **who)
        store.catalog.set_access(store.repo("dataset", "x/gated"), private=False, gated="auto")
        hub = Hub(endpoint, store.new_token("curator", "read"))
        found = [licence_of(hub, f"x/{name}") for name in ("open", "private", "gated")]
    assert found == ["cc-by-4.0", "unknown", "unknown"]
