"""`ci pin` against a hub: commits take the place of `main`, and nothing else moves."""

from __future__ import annotations

import difflib
import json

import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi

from ggez_hub.cards import read_card
from ggez_hub.cli.ci import ci_command

ADAPTER = "ggez-world/clip-emoji-th"
BASE = "ggez-world/clip-emoji"
RECIPE = """\
# For Thailand; the beta is a guess.
kind: merge
base: ggez-world/clip-emoji@main   # the demo's base
adapters:
  - {adapter: ggez-world/clip-emoji-th@main, beta: 0.1}  # and its adapter
  - {adapter: ./mine, beta: 0.2}
"""
FILTER = """\
kind: filter
sources:
  - name: a  # a data set
    hub: {repo: ggez-hub/index, revision: main, split: test}
"""


def loosened(good_card):
    """The card of somebody who named a model: nothing of it is pinned."""
    head, _, rest = good_card.partition("ggez:\n")
    block = "".join(rest.partition("---\n")[0])
    document = {}
    for line in block.splitlines():
        if not line.startswith("   "):
            key = line.strip().partition(":")[0]
        document.setdefault(key, []).append(line)
    document["level"] = ["  level: declared  # nobody measured it"]
    document["curve"] = ["  curve: unknown"]
    document["files"] = ["  files: unknown  # of main"]
    document["adapter"] = [f"  adapter: {{repo: {ADAPTER}, revision: main}}"]
    document["base"] = ["  # the base", "  base:", f"    repo: {BASE}", "    revision: main  # now",
                        "    weights: unknown", "    expected:", f"      revision: {'a' * 40}",
                        "      source: a lock file"]  # fmt: skip
    lines = "\n".join(line for lines in document.values() for line in lines)
    return f"{head}ggez:\n{lines}\n---\n\nmain is mentioned here: revision: main\n"


@pytest.fixture
def clone(tmp_path, good_card):
    for path, text in (
        ("cards/th/embedding/x.md", loosened(good_card)),
        ("recipes/th/x.yaml", RECIPE),
        ("recipes/filter/x.filter.yaml", FILTER),
        ("recipes/demo/x.yaml", RECIPE),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def run(clone, hub, *arguments):
    command = ["pin", "--repository", str(clone), "--hub", hub, "--json", *arguments]
    return CliRunner().invoke(ci_command, command)


def changed(before, after):
    return [
        line[2:]
        for line in difflib.ndiff(before.splitlines(), after.splitlines())
        if line.startswith("+ ")
    ]


def test_only_commits_and_the_bytes_they_need_are_written(clone, hub, good_card):
    commit = {r: HfApi(hub).model_info(r).sha for r in (ADAPTER, BASE)}
    index = HfApi(hub).dataset_info("ggez-hub/index").sha
    result = run(clone, hub)
    assert result.exit_code == 0, result.output
    assert changed(RECIPE, (clone / "recipes/th/x.yaml").read_text()) == [
        f"base: {BASE}@{commit[BASE]}   # the demo's base",
        f"  - {{adapter: {ADAPTER}@{commit[ADAPTER]}, beta: 0.1}}  # and its adapter",
    ]
    assert changed(FILTER, (clone / "recipes/filter/x.filter.yaml").read_text()) == [
        f"    hub: {{repo: ggez-hub/index, revision: {index}, split: test}}"
    ]
    assert (clone / "recipes/demo/x.yaml").read_text() == RECIPE
    # What the world's own card records is what the hub lists.
    path = clone / "cards/th/embedding/x.md"
    assert path.read_text().endswith("main is mentioned here: revision: main\n")
    assert "revision: " + commit[BASE] + "  # now" in path.read_text()
    recorded = clone / "good.md"
    recorded.write_text(good_card)
    card, known = read_card(path).card, read_card(recorded).card
    assert (card.files, card.base.weights) == (known.files, known.base.weights)
    assert card.adapter.revision == commit[ADAPTER]


def test_what_differs_from_what_others_record_is_printed_and_the_truth_is_written(clone, hub):
    result = run(clone, hub, str(clone / "cards/th/embedding/x.md"))
    commit = HfApi(hub).model_info(BASE).sha
    assert json.loads(result.output)["differ"] == [
        f"{BASE} is at the commit {commit[:12]}, aaaaaaaaaaaa was expected (a lock file)"
    ]
    card = read_card(clone / "cards/th/embedding/x.md").card
    assert card.base.revision == commit
    assert card.base.expected.revision == "a" * 40


def test_pinned_files_are_left_alone_and_check_finds_what_is_loose(clone, hub):
    before = run(clone, hub, "--check")
    assert before.exit_code == 1
    assert "5 repositories are not pinned in 3 files" in str(before.exception)
    listed = json.loads(before.output)["unpinned"]
    assert {(item["repo"], item["line"]) for item in listed} >= {(BASE, 3), ("ggez-hub/index", 4)}
    assert run(clone, hub).exit_code == 0
    text = (clone / "recipes/th/x.yaml").read_text()
    assert run(clone, hub, "--check").exit_code == 0
    assert json.loads(run(clone, hub).output) == {
        "pinned": [], "differ": [], "image": None, "refused": [],
    }  # fmt: skip
    assert (clone / "recipes/th/x.yaml").read_text() == text


def test_a_file_with_a_repository_that_is_not_there_stays_as_it_was(clone, hub):
    path = clone / "recipes/th/x.yaml"
    text = RECIPE.replace("ggez-world/clip-emoji-th@main", "ggez-world/nobody@main")
    path.write_text(text)
    result = run(clone, hub)
    assert result.exit_code == 1
    assert f"{path} line 5: ggez-world/nobody is not on {hub}" in str(result.exception)
    assert path.read_text() == text
    assert "revision: main" not in (clone / "recipes/filter/x.filter.yaml").read_text()


def test_an_adapter_of_another_kind_is_not_pinned(clone, hub):
    path = clone / "cards/th/embedding/x.md"
    text = path.read_text().replace("kind: lora", "kind: task_vector")
    path.write_text(text)
    result = run(clone, hub, str(path))
    assert result.exit_code == 1
    assert "its adapter cannot be pinned: it has no task_vector.json" in str(result.exception)
    assert path.read_text() == text
