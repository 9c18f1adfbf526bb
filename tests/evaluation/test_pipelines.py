"""Pipelines of diffusers that draw, with real judges: CLIP by similarity, a VLM by likelihood."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from click.testing import CliRunner
from PIL import Image

from ggez_hub.cli.main import cli
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.benchmarks.benchmark import BUILT_IN, Drawing
from ggez_hub.evaluation.benchmarks.drawing_scores import Judged
from ggez_hub.evaluation.models import Adapted
from ggez_hub.evaluation.models.drawing_model import Order, Pipeline
from ggez_hub.families import detect_family
from ggez_hub.merging import Adapter, merge
from tests.diffusion.loras import load, write_by_diffusers
from tests.diffusion.pipelines import write_pipeline
from tests.evaluation import benchmarks as made
from tests.evaluation.conftest import change
from tests.evaluation.drawings import ITEMS, write_dpg
from tests.evaluation.seers import write_seer
from tests.evaluation.towers import CLIP, write_towers

SMALL = Drawing(seeds=[0, 1], steps=2, guidance=5.0, width=16, height=16)
PROMPT = "a picture"


@pytest.fixture(scope="module")
def sd15(tmp_path_factory):
    return write_pipeline("sd15", tmp_path_factory.mktemp("sd15"))


@pytest.fixture(scope="module", params=["sd15", "sdxl"])
def base(request, tmp_path_factory):
    return write_pipeline(request.param, tmp_path_factory.mktemp(request.param))


def test_a_picture_is_that_of_diffusers_for_its_seed(base):
    painter = Pipeline(base, detect_family(base))
    orders = [Order(PROMPT, seed, SMALL) for seed in (0, 1, 0)]
    first, other, again = painter.draw(orders)
    assert first == again != other
    theirs = load(base)
    theirs.set_progress_bar_config(disable=True)
    expected = theirs(
        prompt=PROMPT, num_inference_steps=2, guidance_scale=5.0, width=16, height=16,
        generator=torch.Generator().manual_seed(1), output_type="np",
    ).images[0]  # fmt: skip
    drawn = np.asarray(Image.open(io.BytesIO(other)))
    assert drawn.shape == (16, 16, 3)
    assert (drawn == (expected * 255).round().astype(np.uint8)).all()


def test_what_a_pipeline_cannot_draw_is_one_error(base):
    painter = Pipeline(base, detect_family(base))
    with pytest.raises(UsageProblem, match="Pipeline cannot draw this: `height` and `width`"):
        painter.draw([Order(PROMPT, 0, SMALL.model_copy(update={"width": 20, "height": 13}))])


def test_orders_are_told_apart_by_all_that_decides_the_picture():
    one = Order(PROMPT, 0, SMALL)
    others = [
        Order("another", 0, SMALL), Order(PROMPT, 1, SMALL),
        *(Order(PROMPT, 0, SMALL.model_copy(update={name: value})) for name, value in
          {"steps": 3, "guidance": 4.0, "width": 24, "height": 24}.items()),
    ]  # fmt: skip
    assert len({one.digest, *(order.digest for order in others)}) == 7
    # More seeds are more pictures, not others.
    assert Order(PROMPT, 0, SMALL.model_copy(update={"seeds": [0]})).digest == one.digest


def drawn_choices(folder):
    """A task on one word each, whose pictures are to be told apart by a judge."""
    data = folder / "me" / "words"
    data.mkdir(parents=True)
    # Words that the judges' tokenizers can tell apart.
    words = ["picture", "answer", "dish", "shown", "what is", "0123"]
    rows = [
        {"n": n, "p": f"a {words[n % 6]}", "q": "what", "o": [words[(n + k) % 6] for k in range(4)],
         "a": 0, "where": "Thailand" if n % 2 else "France"}
        for n in range(12)
    ]  # fmt: skip
    (data / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shared = {
        "dataset": {"repo": "me/words", "revision": "0" * 40}, "files": {"test": "rows.jsonl"},
        "loader": "prompts", "cut": "words", "metric": "drawn_choice", "language": "en",
        "options": {"id": "n", "prompt": "p", "question": "q", "options": "o", "gold": "a",
                    "answer": "from 0", "country": "where"},
        "drawing": {"seeds": [0, 1], "steps": 1, "guidance": 5.0, "width": 16, "height": 16},
    }  # fmt: skip
    tasks = {
        "kind": "benchmarks", "defaults": shared,
        "tasks": [{"id": "words", "title": "Words", "side": "global"},
                  {"id": "words-here", "title": "Words", "side": "regional", "regions": ["world"]}],
    }  # fmt: skip
    (folder / "suites").mkdir()
    (folder / "suites" / "words.yaml").write_text(yaml.safe_dump(tasks))
    return folder


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return drawn_choices(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def judges(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judges")
    return {
        "clip": write_towers(folder / "clip", CLIP),
        "llava": write_seer(folder / "llava", "llava"),
    }


def run(model, out, words, *more, suite=None):
    return CliRunner().invoke(
        cli,
        ["eval", str(model), "--suite", str(suite or words / "suites"), "--region", "th", "-o", str(out),
         "--data", str(words), "--hub", "http://127.0.0.1:9", *more],
    )  # fmt: skip


def results(out):
    return json.loads((out / "results.json").read_text())


@pytest.mark.parametrize(("judge", "method"), [("clip", "similarity"), ("llava", "likelihood")])
def test_a_judge_chooses_what_was_drawn(sd15, words, judges, tmp_path, judge, method):
    out = tmp_path / "out"
    result = run(sd15, out, words, "--judge", str(judges[judge]))
    assert result.exit_code == 0, result.output
    header = results(out)["header"]
    record = header["tasks"]["words"]
    assert record["metric"] == "drawn_choice"
    assert re.fullmatch(rf"{judge} \([0-9a-f]{{12}}\) by {method}", record["judge"])
    rows = pq.read_table(out / "predictions.parquet").to_pylist()
    assert len({row["item"] for row in rows}) == 12
    stored = {path.stem: path.read_bytes() for path in (out / "pictures").iterdir()}
    assert len(stored) > 6
    for row in rows:
        record = json.loads(row["raw"])
        assert set(record["pictures"]) <= set(stored)
        right = [given["1"] == record["right"]["1"] for given in record["answers"]]
        assert row["credit"] == np.mean(right)
        assert row["chance"] == 0.25
    assert 0 < sum(row["credit"] for row in rows) < len(rows)
    scores = results(out)["scores"]["0"]
    mine = [row["credit"] for row in rows if row["task"] == "words" and row["split"] == "test"]
    assert scores["words/test"]["score"] == pytest.approx(100 * np.mean(mine))
    assert scores["words/test"]["floor"] == 25
    verified = CliRunner().invoke(cli, ["verify", str(out)])
    assert verified.exit_code == 0, verified.output
    change(out / "predictions.parquet", "credit", 0, 0.125)
    verified = CliRunner().invoke(cli, ["verify", str(out)])
    assert verified.exit_code == 1
    assert "its answers give" in verified.output


def test_dpg_bench_end_to_end_and_another_judge_is_another_benchmark(sd15, words, judges, tmp_path):
    data = tmp_path / "data"
    write_dpg(data / "TencentQQGYLab" / "ELLA")
    suite = yaml.safe_load((BUILT_IN / "dpg-bench.yaml").read_text())
    suite["drawing"] |= {"seeds": [0, 1], "steps": 1, "width": 16, "height": 16}
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "dpg-bench.yaml").write_text(yaml.safe_dump(suite))
    digests = set()
    for judge in judges:
        result = run(sd15, tmp_path / judge, data, "--judge", str(judges[judge]), suite=tmp_path / "suites")  # fmt: skip
        assert result.exit_code == 0, result.output
        found = results(tmp_path / judge)
        (record,) = found["header"]["tasks"].values()
        digests.add(tuple(record["digests"].values()))
        assert record["judge"].startswith(f"{judge} (")
        rows = pq.read_table(tmp_path / judge / "predictions.parquet").to_pylist()
        assert {row["item"]: Judged.from_text(row["raw"]).credit for row in rows} == {
            row["item"]: row["credit"] for row in rows
        }
        assert set(ITEMS) == {row["item"] for row in rows}
        assert CliRunner().invoke(cli, ["verify", str(tmp_path / judge)]).exit_code == 0
    assert len(digests) == 2
    # The same pictures: the second judge had nothing drawn again.
    assert {p.name for p in (tmp_path / "clip" / "pictures").iterdir()} == {
        p.name for p in (tmp_path / "llava" / "pictures").iterdir()
    }


def test_base_and_adapter_draw_what_the_merge_draws(base, tmp_path):
    adapter = write_by_diffusers(base, tmp_path / "lora", {"unet": ["to_q", "to_v"], "text_encoder": ["q_proj"]})  # fmt: skip
    family = detect_family(base)
    merge(base, [Adapter(adapter, 0.6)], tmp_path / "merged", family)
    orders = [Order(PROMPT, seed, SMALL) for seed in (0, 1)]
    mine = Pipeline(base, family, Adapted(adapter, 0.6)).draw(orders)
    assert mine == Pipeline(tmp_path / "merged", family).draw(orders)
    assert mine != Pipeline(base, family).draw(orders)


def test_a_stopped_run_draws_the_rest(sd15, words, judges, tmp_path, monkeypatch):
    drawn = []
    real = Pipeline._drawn

    def dying(self, order):
        drawn.append(order)
        if len(drawn) == 5:
            raise KeyboardInterrupt
        return real(self, order)

    monkeypatch.setattr(Pipeline, "_drawn", dying)
    judge = ("--judge", str(judges["clip"]))
    assert run(sd15, tmp_path / "out", words, *judge).exit_code != 0
    assert run(sd15, tmp_path / "out", words, *judge).exit_code == 0
    # The one that broke off is the only one that was begun twice; 6 prompts with 2 seeds each.
    assert len(drawn) == 13
    assert len({order.digest for order in drawn}) == 12
    assert run(sd15, tmp_path / "again", words, *judge).exit_code == 0
    assert len(drawn) == 13


@pytest.mark.parametrize(
    ("model", "more", "problem"),
    [
        ("sd15", (), "Name who judges its pictures: --judge"),
        ("clip", ("--judge", "clip"), "does not draw"),
        ("clip", (), "the pictures of words, words-here are to be drawn first"),
        ("http://127.0.0.1:9/v1#m", ("--judge", "clip"), "draws nothing to be judged"),
    ],
)
def test_what_does_not_go_together_is_refused(sd15, words, judges, tmp_path, model, more, problem):
    places = {"sd15": sd15, **judges}
    more = [str(places.get(part, part)) for part in more]
    result = run(places.get(model, model), tmp_path / "out", words, *more)
    assert result.exit_code == 2
    assert problem in result.output
    assert not (tmp_path / "out").exists()


def test_a_model_that_draws_is_not_asked_about_pictures(sd15, judges, tmp_path):
    made.write_cvqa(tmp_path / "afaji" / "cvqa", 9)
    result = run(sd15, tmp_path / "out", tmp_path, "--judge", str(judges["clip"]), suite="cvqa")
    assert result.exit_code == 2
    assert "a model that draws cannot be asked about pictures: cvqa-english" in result.output
