"""`eval`: a model on real benchmarks for a region, and results that verify."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.evaluation.benchmarks.replies import read_choice
from ggez_hub.evaluation.models import embedding_model, vision_model
from tests.evaluation import benchmarks as made
from tests.evaluation.conftest import change
from tests.evaluation.seers import write_seer
from tests.evaluation.towers import SIGLIP, write_towers

pytestmark = pytest.mark.slow

NAMES = {"ph": "philippines"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The data sets as `--data` takes them, and fetched pictures."""
    folder = tmp_path_factory.mktemp("data")
    made.write_sea_vqa(folder / "wit543" / "sea-vqa", 24, fetched=folder / "pictures")
    made.write_cvqa(folder / "afaji" / "cvqa", 60)
    made.write_worldcuisines(folder / "made", 16)
    (folder / "worldcuisines").mkdir()
    for name in ("vqa", "food-kb"):
        (folder / "made" / name).rename(folder / "worldcuisines" / name)
    made.write_xm3600(folder / "mteb" / "xm3600", 24)
    return folder


def run(model, data, out, *more, suites=("cvqa", "sea-vqa"), region="sea"):
    asked = [f"--suite={suite}" for suite in suites]
    return CliRunner().invoke(
        cli,
        ["eval", str(model), *asked, "--region", region, "-o", str(out), "--data", str(data),
         "--pictures", str(data / "pictures"), "--hub", "http://127.0.0.1:9", *more],
    )  # fmt: skip


def verify(out):
    return CliRunner().invoke(cli, ["verify", str(out)])


def test_open_clip_on_cvqa_and_sea_vqa(base, data, tmp_path):
    out = tmp_path / "out"
    result = run(base, data, out)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert "sea-vqa/test" in result.stdout
    # One model: there is no beta to choose.
    assert "chosen" not in result.stdout
    content = json.loads((out / "results.json").read_text())
    tasks = content["header"]["tasks"]
    assert set(tasks) == {"sea-vqa", "cvqa-english", "cvqa-english-regional", "cvqa-local", "cvqa-local-regional"}  # fmt: skip
    assert tasks["cvqa-english"]["side"] == "global"
    assert tasks["sea-vqa"]["metric"] == "choice_by_similarity"
    rows = pq.read_table(out / "predictions.parquet").to_pylist()
    regional = {row["country"] for row in rows if row["task"] == "cvqa-english-regional"}
    assert regional == {"ph"}
    assert {r["country"] for r in rows if r["task"] == "cvqa-english"} == {"ph", "lk", "kr"}
    assert sum(row["rank"] == 0 for row in rows if row["task"] == "sea-vqa") == 16
    assert len({row["item"] for row in rows if row["task"] == "cvqa-english"}) == 60
    # A picture is on the same side in every task of the data set.
    sides = {}
    for row in rows:
        if row["task"].startswith("cvqa"):
            sides.setdefault(row["image_sha256"], set()).add(row["split"])
    assert {len(found) for found in sides.values()} == {1}
    point = content["parity"]["test"]["points"]["0"]
    assert point["regional_items_in_global"] > 0
    assert content["scores"]["0"]["sea-vqa/test"]["countries"]["macro"]
    done = verify(out)
    assert done.exit_code == 0, done.output
    change(out / "predictions.parquet", "predicted", 3, "something else")
    assert verify(out).exit_code == 1


def test_a_country_gets_its_items_and_is_told_what_has_none(base, data, tmp_path):
    result = run(base, data, tmp_path / "out", region="th")
    assert result.exit_code == 0, result.output
    assert "without items of th: cvqa-english-regional, cvqa-local-regional" in result.stderr
    rows = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    assert {row["country"] for row in rows if row["task"] == "sea-vqa" and row["rank"]} == {"th"}


def test_siglip_on_worldcuisines_and_xm3600(data, tmp_path):
    model = write_towers(tmp_path / "model", SIGLIP)
    result = run(model, data, tmp_path / "out", "--json", suites=("worldcuisines", "xm3600"))
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["ok"]
    assert document["scores"]["0"]["worldcuisines-dish/test"]["floor"] == pytest.approx(20)
    found = document["scores"]["0"]["xm3600-th-to-image/test"]
    assert found["n"] > 4
    rows = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    ranks = [r["rank"] for r in rows if r["task"] == "xm3600-th-to-image" and r["split"] == "test"]
    for depth in (5, 10):
        share = 100 * sum(rank <= depth for rank in ranks) / len(ranks)
        assert found[f"recall_at_{depth}"]["score"] == pytest.approx(share)
    assert found["score"] < found["recall_at_5"]["score"] < found["recall_at_10"]["score"]
    assert "recall_at_5" not in document["scores"]["0"]["worldcuisines-dish/test"]
    assert verify(tmp_path / "out").exit_code == 0


def test_a_vlm_chooses_by_likelihood_and_by_what_it_writes(data, tmp_path, monkeypatch):
    model = write_seer(tmp_path / "model", "llava")
    asked = {"log_likelihoods": [], "replies": [], "unconditional": []}
    for name, seen in asked.items():
        real = getattr(vision_model.VisionModel, name)

        def counting(self, questions, seen=seen, real=real):
            seen.extend(questions)
            return real(self, questions)

        monkeypatch.setattr(vision_model.VisionModel, name, counting)
    result = run(model, data, tmp_path / "out", region="ph")
    assert result.exit_code == 0, result.output
    # CVQA's 60 questions in two languages, those of the region no second time; and SEA-VQA's.
    for name in ("log_likelihoods", "replies"):
        assert len(asked[name]) == len(set(asked[name])) == 2 * 60 + 22
    # Each different option once, whatever questions it stands in.
    options = {option for posed in asked["log_likelihoods"] for option in posed.options}
    assert sorted(asked["unconditional"]) == sorted(options)
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    tasks = content["header"]["tasks"]
    assert {name: task["metric"] for name, task in tasks.items() if name.startswith("sea-vqa")} == {
        "sea-vqa": "choice_by_likelihood", "sea-vqa-by-pmi": "choice_by_pmi",
        "sea-vqa-by-generation": "choice_by_generation",
    }  # fmt: skip
    # The likelihood is what parity is computed of.
    assert content["parity"]["test"]["scale"] == "choice_by_likelihood"
    rows = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    written = [row for row in rows if row["task"].endswith("-by-generation") and row["rank"]]
    assert len(written) == sum(row["rank"] > 0 for row in rows) / 3
    assert all(row["raw"] is not None for row in written)
    for row in written:
        if row["task"].startswith("sea-vqa"):
            country, number = row["item"].split("-")
            options = [f"{letter} {int(number)} {NAMES[country]}" for letter in "abcd"]
            assert sorted(row["options"]) == options
            pick = read_choice(row["raw"], row["options"])
            assert row["predicted"] == ("" if pick is None else row["options"][pick])
    score = content["scores"]["0"]["cvqa-local-by-generation/test"]
    unread = [r for r in written if r["task"] == "cvqa-local-by-generation" and not r["predicted"]]
    lost = sum(r["split"] == "test" for r in unread)
    assert score["unparsed"] == lost > 0
    assert f"{lost} ({100 * lost / score['n']:.1f} %)" in result.stdout
    rows = [row for row in rows if row["rank"] and not row["task"].endswith("-by-generation")]
    assert all(len(row["log_likelihoods"]) == 4 for row in rows)
    heritage = [row for row in rows if row["task"] == "sea-vqa"]
    assert heritage
    for row in heritage:
        likely = row["log_likelihoods"]
        # The fixture's answers go a, b, c, d by the number of the row.
        own = likely[int(row["item"][-4:]) % 4]
        assert row["rank"] == sum(value >= own for value in likely)
    assert verify(tmp_path / "out").exit_code == 0
    # It has nothing to search by.
    found = run(model, data, tmp_path / "other", suites=("xm3600",))
    assert found.exit_code == 2
    assert "cannot search among pictures" in found.output
    assert not (tmp_path / "other").exists()


def test_where_every_picture_is_gone_nothing_is_scored(base, data, tmp_path):
    result = CliRunner().invoke(
        cli,
        ["eval", str(base), "--suite", "sea-vqa", "--suite", "cvqa", "--region", "sea", "-o",
         str(tmp_path / "out"), "--data", str(data), "--hub", "http://127.0.0.1:9"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "nothing to ask" in result.stdout
    scores = json.loads((tmp_path / "out" / "results.json").read_text())["scores"]["0"]
    gone = [scores[f"sea-vqa/{split}"] for split in ("validation", "test")]
    assert sum(score["missing"] for score in gone) == 8 * 24
    assert all(score["n"] == 0 and "score" not in score for score in gone)
    assert verify(tmp_path / "out").exit_code == 0


def test_a_stopped_run_goes_on_and_nothing_is_asked_twice(base, data, tmp_path, monkeypatch):
    assert run(base, data, tmp_path / "out").exit_code == 0
    whole = (tmp_path / "out" / "results.json").read_bytes()
    (tmp_path / "out" / "results.json").unlink()

    def never(*args):
        raise AssertionError("the model was opened")

    monkeypatch.setattr(embedding_model.OpenClipEmbedder, "__init__", never)
    assert run(base, data, tmp_path / "out").exit_code == 0
    assert (tmp_path / "out" / "results.json").read_bytes() == whole
    other = run(base, data, tmp_path / "out", region="ph")
    assert other.exit_code == 2
    assert "holds something else than this measurement" in other.output


def test_one_picture_is_enough_for_an_answer(base, tmp_path):
    made.write_sea_vqa(tmp_path / "wit543" / "sea-vqa", 4, fetched=tmp_path / "pictures")
    result = run(base, tmp_path, tmp_path / "out", suites=("sea-vqa",), region="sg")
    assert result.exit_code == 0, result.output
    assert verify(tmp_path / "out").exit_code == 0


@pytest.mark.parametrize(
    ("change", "code", "problem"),
    [
        ({"suites": ("nothing",)}, 2, "there is no suite 'nothing'"),
        ({"suites": ("cvqa", "cvqa")}, 2, "the same id"),
        ({"suites": ("flickr30k",)}, 1, "has no folder nlphuji/flickr30k"),
        ({"suites": ("sea-vqa",), "region": "jp"}, 2, "the suite has no items for jp"),
    ],
)
def test_what_cannot_be_asked_is_one_error(base, data, tmp_path, change, code, problem):
    result = run(base, data, tmp_path / "out", **change)
    assert result.exit_code == code, result.output
    assert problem in result.output
    assert not (tmp_path / "out").exists()


def test_answers_are_shared_by_runs_unless_they_are_not_wanted(data, tmp_path, monkeypatch):
    model = write_seer(tmp_path / "model", "llava")
    asked = []
    real = vision_model.VisionModel.replies

    def counting(self, questions):
        asked.extend(questions)
        return real(self, questions)

    monkeypatch.setattr(vision_model.VisionModel, "replies", counting)

    def answers(name, *more):
        asked.clear()
        result = run(model, data, tmp_path / name, *more, suites=("sea-vqa",), region="sg")
        assert result.exit_code == 0, result.output
        rows = pq.read_table(tmp_path / name / "predictions.parquet").to_pylist()
        return len(asked), [row for row in rows if row["task"].startswith("sea-vqa")]

    first = answers("first")
    assert first[0] == 22
    assert answers("second") == (0, first[1])
    assert answers("third", "--no-cache") == first
