"""`ggez-hub filter` as people run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from ggez_hub.cards.provenance import DataFilter
from ggez_hub.cli.main import cli
from ggez_hub.embedded.store import HubStore

from ..worlds import serving
from .corpora import captions, rows_of, sea_vl_crowdsourcing, spec


@pytest.fixture
def asked(tmp_path):
    """The file of a spec over three captions."""
    rows = [("a", "Pho", "vn", 1), ("b", "Tower | <b>", "fr", 2), ("c", "Laap", "la", 3)]
    place = tmp_path / "spec.yaml"
    document = spec([captions(tmp_path, rows)]).model_dump(mode="json", exclude_none=True)
    place.write_text(yaml.safe_dump(document))
    return place


def invoke(*arguments):
    return CliRunner().invoke(cli, ["filter", *map(str, arguments)])


def test_people_see_what_was_kept_and_why_not(asked, tmp_path):
    done = invoke(asked, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert "2 of 3 examples kept" in done.stdout
    assert "region: metadata: another country" in done.stdout


def test_one_json_document(asked, tmp_path):
    done = invoke(asked, "-o", tmp_path / "out", "--json")
    document = json.loads(done.stdout)
    assert document["counts"] == {
        "seen": 3, "kept": 2, "translated": 0,
        "dropped": {"region": {"metadata: another country": 1}},
    }  # fmt: skip
    assert document["by"]["country"]["vn"] == {"seen": 1, "kept": 1, "translated": 0}


@pytest.mark.slow
def test_it_runs_in_processes_and_in_fewer_tasks(asked, tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    assert invoke(asked, "-o", alone).exit_code == 0
    done = invoke(asked, "-o", together, "--on", "local:2", "--shards", "1")
    assert done.exit_code == 0, done.stderr
    assert (alone / "report.json").read_bytes() == (together / "report.json").read_bytes()


def test_an_engine_that_is_not_known_is_refused(asked, tmp_path):
    done = invoke(asked, "-o", tmp_path / "out", "--on", "spark:gpu")
    assert done.exit_code == 2
    assert (
        "'spark:gpu' is not an engine: local:N, ray, ray://HOST:PORT, slurm, slurm:PARTITION or jobs:MACHINE"
        in done.stderr
    )


def test_a_plan_is_printed_and_nothing_is_written(asked, tmp_path):
    done = invoke(asked, "-o", tmp_path / "out", "--plan", "--json")
    assert done.exit_code == 0, done.stderr
    plan = json.loads(done.stdout)
    assert (plan["parts"], plan["stages"]["screening"]) == (1, 1)
    assert plan["local_bytes"] > 0
    assert not (tmp_path / "out").exists()
    estimate = plan["estimate"]
    assert (estimate["rows"], estimate["is_counted"]) == (3, True)
    assert list(estimate["hours"]) == ["screening", "duplicates", "keeping", "writing"]
    assert "usd" not in estimate
    shown = invoke(asked, "--plan", "--on", "local:4").stdout
    assert "screening 1" in shown
    assert "Estimate for about 3 rows" in shown
    assert "hours, 4 at once" in shown
    assert "By rates of docs/scale.md" in shown


def test_jobs_are_for_sources_that_they_see(asked, tmp_path):
    done = invoke(asked, "-o", tmp_path / "out", "--on", "jobs:t4", "--budget", "1")
    assert done.exit_code == 2
    assert "reads files of this machine, which jobs cannot see" in done.stderr


@pytest.mark.parametrize("block", ["reward", "translation"])
def test_jobs_ask_no_endpoint(asked, tmp_path, block):
    document = yaml.safe_load(asked.read_text())
    endpoint = {"kind": "endpoint", "url": "http://127.0.0.1:1/v1", "model": "m"}
    document |= {
        "reward": {"scorer": endpoint | {"languages": ["en"]}, "threshold": 3, "comparison": ">"},
        "translation": {"translator": endpoint, "license": "mit", "targets": ["th"]},
    }
    document["translation" if block == "reward" else "reward"] = "none"
    asked.write_text(yaml.safe_dump(document))
    done = invoke(asked, "-o", tmp_path / "out", "--on", "jobs:t4", "--budget", "1")
    assert done.exit_code == 2
    assert "jobs have neither its key nor a way to it" in done.stderr


def test_the_folder_that_is_written(asked, tmp_path):
    out = tmp_path / "out"
    digest = json.loads(invoke(asked, "-o", out, "--json").stdout)["report_digest"]
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "croissant.json", "data", "data_filter.json", "duplicates.parquet", "report.json",
        "report.png", "report.svg",
    ]  # fmt: skip
    block = json.loads((out / "data_filter.json").read_text())
    assert block["report_digest"] == digest
    card = DataFilter.model_validate(block["data_filter"])
    assert (card.counts.seen, card.counts.kept) == (3, 2)
    assert card.reward == "none"
    text = (out / "README.md").read_text()
    assert yaml.safe_load(text.split("---")[1])["license"] == "cc-by-4.0"
    # What strangers wrote is text there, not markup.
    assert r"Tower \| &lt;b\>" in text


def test_each_duplicate_stands_with_the_row_that_stays(tmp_path):
    """The second is like the first, the third like the second alone: that one stays."""
    first = "A long boat sells noodle soup to visitors at the floating market in the morning"
    second = first.replace("noodle soup", "coconut ice")
    third = second.replace("in the morning", "before sunset")
    rows = [(str(n), text, "th", None) for n, text in enumerate((first, second, third))]
    keys = {"pictures": "ignored", "duplicates": {"by": "text", "similarity": 0.6}}
    document = spec([captions(tmp_path, rows)], **keys).model_dump(mode="json", exclude_none=True)
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(document))
    out = tmp_path / "out"
    done = invoke(tmp_path / "spec.yaml", "-o", out)
    said = "uplicates not themselves like the row that stays: 0 of 1 (0.0 %)"
    assert f"d{said}" in done.stdout
    assert f"D{said}; `duplicates.parquet` has each." in (out / "README.md").read_text()
    assert [row["text"] for row in rows_of(out)] == [first, third]
    dropped = pq.read_table(out / "duplicates.parquet").to_pylist()
    ids = {"id": "captions/1/caption", "like": "captions/0/caption"}
    assert dropped == [ids | {"is_exact": False, "is_alike": True}]
    assert json.loads((out / "report.json").read_text())["duplicates"] == {
        "dropped": 1,
        "unlike": 0,
    }


def test_datasets_loads_it(asked, tmp_path):
    import datasets

    invoke(asked, "-o", tmp_path / "out")
    loaded = datasets.load_dataset(str(tmp_path / "out"), split="train")
    assert loaded[0]["image"].size == (160, 120)
    assert loaded[1]["messages"] == [{"role": "assistant", "content": "Laap"}]


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        ([], "where should it be written?", 2),
        (["-o", "."], "exists, and is not the result of this spec", 2),
        (["-o", "spec.yaml"], "exists, and is not the result of this spec", 2),
    ],
)
def test_wrong_usage(asked, tmp_path, monkeypatch, arguments, said, code):
    monkeypatch.chdir(tmp_path)
    done = invoke(asked, *arguments)
    assert (done.exit_code, said in done.stderr) == (code, True)
    assert "Traceback" not in done.stderr


def test_a_source_that_is_not_there(asked, tmp_path):
    (tmp_path / "captions.jsonl").unlink()
    done = invoke(asked, "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "source captions: there is no captions.jsonl" in done.stderr


@pytest.mark.slow
def test_a_dataset_of_the_hub_at_a_commit(tmp_path):
    sea_vl_crowdsourcing(tmp_path / "train.parquet")
    source = {"name": "sea-vl", "mapping": "sea-vl-crowdsourcing", "license": "cc-by-sa-4.0",
              "hub": {"repo": "seacrowd/sea-vl", "revision": "main"}}  # fmt: skip
    asked = tmp_path / "spec.yaml"
    asked.write_text(yaml.safe_dump(spec([source]).model_dump(mode="json", exclude_none=True)))
    with HubStore.open(tmp_path / "store") as store, serving(store) as endpoint:
        store.create_repo("dataset", "seacrowd/sea-vl")
        card = {"dataset_info": {"splits": [{"name": "train", "num_bytes": 1, "num_examples": 3}]}}
        (tmp_path / "README.md").write_text(f"---\n{yaml.safe_dump(card)}---\n")
        files = {"data/train-00000-of-00001.parquet": tmp_path / "train.parquet",
                 "README.md": tmp_path / "README.md"}  # fmt: skip
        who = {"message": "x", "author": "a", "email": "a@example.org", "date": 0}
        commit = store.commit("dataset", "seacrowd/sea-vl", files, **who)
        planned, done = (
            subprocess.run(
                [sys.executable, "-m", "ggez_hub", "filter", str(asked), *options, "--json"],
                capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
                env=os.environ | {"HF_ENDPOINT": endpoint},
            )
            for options in (["--plan"], ["-o", str(tmp_path / "out")])
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # As its card says.
    assert json.loads(planned.stdout)["estimate"]["rows"] == 3
    document = json.loads(done.stdout)
    (read,) = document["sources"]
    assert (read["repo"], read["revision"]) == ("seacrowd/sea-vl", str(commit))
    assert [row["country"] for row in rows_of(tmp_path / "out")] == ["th", "th", "vn", "vn"]
