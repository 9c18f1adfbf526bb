"""Free answers: one of the references and nothing else, from models that write."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.evaluation.benchmarks.benchmark import find_benchmarks
from ggez_hub.evaluation.benchmarks.contents import Folders, read_contents
from ggez_hub.evaluation.benchmarks.loaders.base import address_name
from ggez_hub.evaluation.models.generative_model import matches
from tests.evaluation import benchmarks as made
from tests.evaluation.conftest import change
from tests.filter.endpoint import serving


@pytest.mark.parametrize(
    ("reply", "references", "right"),
    [
        ("Satay", ("satay",), True), (" **SATAY.** ", ("Satay",), True), ("ข้าวซอย", ("ข้าวซอย",), True),
        ("<think>laksa?</think>\nsatay", ("Satay",), True), ("khao soi", ("ข้าวซอย", "Khao Soi"), True),
        ("Ｓatay", ("Satay",), True), ("nasi  lemak", ("Nasi Lemak",), True),
        ("It is satay", ("Satay",), False), ("satay ayam", ("Satay",), False), ("", ("Satay",), False),
        ("...", ("Satay",), False), ("<think>satay", ("Satay",), False), ("sate", ("Satay",), False),
    ],
)  # fmt: skip
def test_a_reply_is_a_reference_or_not(reply, references, right):
    assert matches(reply, references) is right


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    made.write_worldcuisines(folder / "made", 16)
    (folder / "worldcuisines").mkdir()
    for name in ("vqa", "food-kb"):
        (folder / "made" / name).rename(folder / "worldcuisines" / name)
    return folder


def run(model, data, out, suite="worldcuisines-open"):
    return CliRunner().invoke(
        cli,
        ["eval", str(model), "--suite", str(suite), "--region", "th", "-o", str(out), "--data",
         str(data), "--hub", "http://127.0.0.1:9"],
    )  # fmt: skip


def knowing(content):
    """Who knows every other dish, by its name, and says nothing to every fifth."""
    if isinstance(content, str):
        return "A"
    number = int(content[1]["text"].split()[3])
    assert content[1]["text"].endswith("?\nAnswer with the name alone.")
    if number % 5 == 0:
        return " "
    return f"Dish {number} {1 + number % 5}." if number % 2 else "soup"


def test_worldcuisines_without_options(data, tmp_path):
    out = tmp_path / "out"
    with serving(knowing) as (url, _):
        result = run(f"{url}#m", data, out)
    assert result.exit_code == 0, result.output
    rows = pq.read_table(out / "predictions.parquet").to_pylist()
    asked = [row for row in rows if row["rank"] and row["task"] == "worldcuisines-open-origin"]
    assert len(asked) == 15
    for row in asked:
        number = int(row["item"].removeprefix("qa").partition("/")[0])
        right = number % 2 == 1 and number % 5 != 0
        assert row["correct"] is right
        assert row["gold"] == f"dish {number} {1 + number % 5}"
        assert row["predicted"] == ("" if number % 5 == 0 else row["gold"] if right else "soup")
        assert row["raw"] == knowing([None, {"text": f"What is dish {number} called?\nAnswer with the name alone."}])  # fmt: skip
        assert row["chance"] == 0
    content = json.loads((out / "results.json").read_text())
    assert content["header"]["tasks"]["worldcuisines-open-origin"]["metric"] == "free_answer"
    score = content["scores"]["0"]["worldcuisines-open-origin/test"]
    here = [row for row in asked if row["split"] == "test"]
    assert score["score"] == pytest.approx(100 * sum(r["correct"] for r in here) / len(here))
    assert (score["floor"], score["unparsed"]) == (0, sum(not r["predicted"] for r in here))
    assert CliRunner().invoke(cli, ["verify", str(out)]).exit_code == 0
    place = next(number for number, row in enumerate(rows) if row["predicted"] == "soup")
    change(out / "predictions.parquet", "predicted", place, rows[place]["gold"])
    verified = CliRunner().invoke(cli, ["verify", str(out)])
    assert verified.exit_code == 1
    assert "is the right one and counts as wrong" in verified.output


def test_a_model_of_embeddings_writes_nothing(base, data, tmp_path):
    result = run(base, data, tmp_path / "out")
    assert result.exit_code == 2
    assert "free answers are asked of models that write alone: worldcuisines-open-dish" in result.output  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_any_data_set_and_several_references(tmp_path):
    folder = tmp_path / "me" / "mine"
    folder.mkdir(parents=True)
    rows = [{"n": n, "image": {"bytes": None, "path": f"https://x.org/{n}.png"}, "q": "What is it?",
             "a": ["ข้าวซอย", "Khao Soi"], "where": "Thailand"} for n in range(3)]  # fmt: skip
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for n in range(2):
        (pictures / address_name(f"https://x.org/{n}.png")).write_bytes(made.png(n))
    content = {
        "kind": "benchmark", "id": "mine", "title": "Mine", "cut": "mine", "language": "th",
        "dataset": {"repo": "me/mine", "revision": "0" * 40}, "files": {"test": "rows.jsonl"},
        "loader": "answers", "metric": "free_answer", "side": "regional", "regions": ["th"],
        "options": {"id": "n", "question": "q", "answers": "a", "country": "where"},
    }  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    (task,) = find_benchmarks("mine", [tmp_path])
    items = read_contents(task, Folders(folder, fetched=pictures)).items
    assert [item.picture is None for item in items] == [False, False, True]
    assert items[0].references == ("ข้าวซอย", "Khao Soi")
    assert items[0].country == "th"
