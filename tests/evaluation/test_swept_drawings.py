"""Sweeps of models that draw: with tasks that name their judge, and with a judge who is asked."""

from __future__ import annotations

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import ASSETS
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.models.drawing_model import Pipeline
from ggez_hub.evaluation.results.evidence import open_evidence
from ggez_hub.families import detect_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.recipe_file import recipes_folder
from tests.diffusion.loras import write_by_diffusers
from tests.diffusion.pipelines import write_pipeline
from tests.evaluation.test_pipelines import drawn_choices
from tests.evaluation.towers import CLIP, write_towers

pytestmark = pytest.mark.slow

IDS = ("1f353", "1f992", "1f6b2", "2602", "1f3b8", "1f511")
HUB = ("--hub", "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A tiny pipeline, a LoRA for it, and the data of both kinds of tasks."""
    root = tmp_path_factory.mktemp("drawings")
    base = write_pipeline("sd15", root / "base")
    write_by_diffusers(base, root / "lora", {"unet": ["to_q", "to_v"], "text_encoder": ["q_proj"]})
    merge(base, [Adapter(root / "lora", 0.5)], root / "merged", detect_family(base))
    text = (recipes_folder() / "demo" / "diffusion" / "emoji-drawing.yaml").read_text(
        encoding="utf-8"
    )
    tasks = yaml.safe_load(text)
    tasks["defaults"]["drawing"] = {"seeds": 2, "steps": 1, "guidance": 2.0}
    (root / "named").mkdir()
    (root / "named" / "drawing.yaml").write_text(yaml.safe_dump(tasks))
    data = root / "data" / "ggez-world"
    for language in ("en", "th"):
        for split in ("validation", "test"):
            path = data / "emoji-prompts" / "data" / language / f"{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [{"id": name, "prompt": f"a {name} {language}"} for name in IDS[:3]]
            pq.write_table(pa.Table.from_pylist(rows), path)
    ids = pa.table({"id": list(IDS)})
    pq.write_table(ids, data / "emoji-prompts" / "data" / "candidates.parquet")
    (data / "emoji-names").symlink_to(ASSETS / "emoji-names")
    (data / "clip-emoji").symlink_to(ASSETS / "embedding" / "base")
    drawn_choices(root / "asked")
    write_towers(root / "judge", CLIP)
    return root


KINDS = {
    "recognised": {"tasks": "named", "data": "data"},
    "asked": {"tasks": "asked/suites", "data": "asked", "judge": "judge"},
}


def sweep(root, kind, out, **changes):
    recipe = {"kind": "sweep", "region": "th", "family": "diffusion", "base": "base",
              "adapter": "lora", "betas": [0.5]} | KINDS[kind] | changes  # fmt: skip
    place = root / f"{kind}.yaml"
    place.write_text(json.dumps({k: v for k, v in recipe.items() if v is not None}))
    return CliRunner().invoke(cli, ["sweep", str(place), "-o", str(out), *HUB])


def measure(root, kind, model, out, *more):
    own = KINDS[kind]
    judge = ["--judge", str(root / own["judge"])] if "judge" in own else []
    return CliRunner().invoke(
        cli, ["eval", str(root / model), "--suite", str(root / own["tasks"]), "--data",
              str(root / own["data"]), "--region", "th", "-o", str(out), *judge, *more, *HUB],
    )  # fmt: skip


def drawn(outcomes):
    """The pictures behind the answers."""
    return [
        json.loads(raw)["pictures"] if raw.startswith("{") else [raw]
        for raw in outcomes.details.raw
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_swept_pipeline_draws_what_the_merged_one_draws(world, tmp_path, kind):
    done = sweep(world, kind, tmp_path / "out")
    assert done.exit_code == 0, done.output
    alone = measure(world, kind, "merged", tmp_path / "alone", "--no-cache")
    assert alone.exit_code == 0, alone.output
    found, merged = (open_evidence(tmp_path / name) for name in ("out", "alone"))
    assert {cell.beta for cell in found.outcomes} == {0, 0.5}
    moved = 0
    for cell, outcomes in merged.outcomes.items():
        at_half, base = (found.outcomes[Cell(b, cell.task, cell.split)] for b in (0.5, 0.0))
        assert drawn(at_half) == drawn(outcomes)
        assert at_half.predicted == outcomes.predicted
        assert at_half.details == outcomes.details
        moved += drawn(base) != drawn(outcomes)
    assert moved == len(merged.outcomes)
    assert (
        "0.5"
        in json.loads((tmp_path / "out" / "results.json").read_text())["parity"]["test"]["points"]
    )
    stored = {path.stem for path in (tmp_path / "out" / "pictures").iterdir()}
    shown = {name for o in found.outcomes.values() for names in drawn(o) for name in names}
    assert stored == shown
    again = CliRunner().invoke(cli, ["verify", str(tmp_path / "out"), "--rerun", "6", *HUB])
    assert again.exit_code == 0, again.output
    assert again.stdout.count(": the same") == 6


def test_what_the_judge_recognises_is_recorded(world, tmp_path):
    done = measure(world, "recognised", "base", tmp_path / "out", "--adapter", str(world / "lora"),
                   "--beta", "0.5")  # fmt: skip
    assert done.exit_code == 0, done.output
    evidence = open_evidence(tmp_path / "out")
    outcomes = evidence.outcomes[Cell(0.5, "emoji-th-drawing", "test")]
    assert outcomes.items == tuple(f"{name}/{seed}" for name in IDS[:3] for seed in (0, 1))
    assert outcomes.gold == tuple(name for name in IDS[:3] for _ in (0, 1))
    assert {*outcomes.predicted} <= {*IDS}
    assert len(outcomes.details.log_likelihoods[0]) == len(IDS)
    record = evidence.header.tasks["emoji-th-drawing"]
    assert (record.metric, record.side) == ("drawing_top1", "regional")


def test_a_stopped_sweep_draws_the_rest(world, tmp_path, monkeypatch):
    asked = []
    real = Pipeline.draw_together

    def dying(self, orders):
        asked.append(orders)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return real(self, orders)

    monkeypatch.setattr(Pipeline, "draw_together", dying)
    assert sweep(world, "recognised", tmp_path / "out").exit_code != 0
    assert sweep(world, "recognised", tmp_path / "out").exit_code == 0
    # Both splits have the same prompts here: a task of each side at each of two betas.
    assert len(asked) == 4 + 1


@pytest.mark.parametrize(
    ("kind", "changes", "problem"),
    [
        ("asked", {"judge": None}, "Name who judges its pictures: --judge MODEL, or `judge:`"),
        ("recognised", {"judge": "judge"}, "the tasks name their own judge: emoji-en-drawing"),
        ("recognised", {"family": "embedding", "base": "judge"}, "are to be drawn first"),
        (
            "asked",
            {"tasks": "cvqa", "judge": None, "region": "ph"},
            "cannot be asked about pictures: cvqa",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(world, tmp_path, kind, changes, problem):
    if "cvqa" in changes.values():
        from tests.evaluation import benchmarks

        benchmarks.write_cvqa(tmp_path / "afaji" / "cvqa", 9)
        changes = changes | {"data": str(tmp_path)}
    done = sweep(world, kind, tmp_path / "out", **changes)
    assert done.exit_code == 2, done.output
    assert problem in done.output
    assert not (tmp_path / "out").exists()


def test_a_prompt_of_no_candidate_is_refused_before_anything_is_drawn(world, tmp_path):
    data = tmp_path / "data" / "ggez-world"
    shutil.copytree(world / "data" / "ggez-world" / "emoji-prompts", data / "emoji-prompts")
    for name in ("emoji-names", "clip-emoji"):
        (data / name).symlink_to((world / "data" / "ggez-world" / name).resolve())
    pq.write_table(pa.table({"id": ["1f353"]}), data / "emoji-prompts/data/candidates.parquet")
    done = sweep(world, "recognised", tmp_path / "out", data=str(tmp_path / "data"))
    assert done.exit_code == 1
    assert "'1f992' is not one of the judge's candidates" in done.output
