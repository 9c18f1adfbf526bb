"""`verify --rerun` of what `eval` measured: model, adapter, judge, tasks and data as the results say."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import pairwise

import pytest
import yaml
from click.testing import CliRunner

from ggez_hub import chat_endpoint
from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import AUTHOR, DATE, EMAIL
from ggez_hub.embedded import HubStore
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.benchmarks.benchmark import BUILT_IN, Benchmark
from ggez_hub.evaluation.benchmarks.task import parse, read_tasks
from ggez_hub.evaluation.results.evidence import open_evidence
from ggez_hub.evaluation.results.figures import write_results
from ggez_hub.evaluation.results.header import KINDS, definition
from tests.diffusion.pipelines import write_pipeline
from tests.evaluation import benchmarks as made
from tests.evaluation.conftest import make_task, write_lora
from tests.evaluation.drawings import write_dpg
from tests.evaluation.seers import write_seer
from tests.evaluation.test_served import model as answering
from tests.evaluation.towers import CLIP, write_towers
from tests.filter.endpoint import serving
from tests.worlds import serving as embedded

pytestmark = pytest.mark.slow

TEXT = r"transformer\.resblocks\..*\.(c_fc|c_proj)"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    made.write_sea_vqa(folder / "wit543" / "sea-vqa", 6, fetched=folder / "pictures")
    made.write_cvqa(folder / "afaji" / "cvqa", 18)
    return folder


BY = {"message": "m", "author": AUTHOR, "email": EMAIL, "date": DATE}


def run(*command):
    return CliRunner().invoke(cli, [*map(str, command), "--hub", "http://127.0.0.1:9"])


def measure(model, data, out, *more, suites=("cvqa", "sea-vqa")):
    done = run("eval", model, *(f"--suite={suite}" for suite in suites), "--region", "ph", "-o",
               out, "--data", data, "--pictures", data / "pictures", *more)  # fmt: skip
    assert done.exit_code == 0, done.output
    return out


def again(out, count=1000, *more):
    return run("verify", out, "--rerun", count, *more)


def same(out, *more):
    done = again(out, 1000, "--json", *more)
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert len(document["rerun"]) == sum(map(len, open_evidence(out).outcomes.values()))
    assert not any(row["problem"] for row in document["rerun"])
    return document


@pytest.fixture(scope="module")
def measured(base, data, tmp_path_factory):
    """The results of a base with an adapter, and copies of both."""
    root = tmp_path_factory.mktemp("measured")
    shutil.copytree(base, root / "base")
    write_lora(root / "lora", TEXT)
    measure(root / "base", data, root / "out", "--adapter", root / "lora", "--beta", "0.5")
    return root


def test_base_and_adapter_answer_again_what_they_answered(measured):
    same(measured / "out")
    few = again(measured / "out", 7)
    assert few.stdout.count(": the same") == 7
    assert "at beta 0.5" in few.stdout
    origin = open_evidence(measured / "out").header.origin
    assert (origin.model.folder, [on.folder for on in origin.adapters]) == ("../base", ["../lora"])
    # Nobody's home is told.
    assert str(measured) not in (measured / "out" / "results.json").read_text()


def test_an_answer_that_follows_from_nothing_is_named(measured, tmp_path):
    evidence = open_evidence(measured / "out")
    cell = Cell(0.5, "cvqa-english", "test")
    asked = evidence.outcomes[cell]
    rank, correct = asked.rank.copy(), asked.correct.copy()
    rank[3], correct[3] = (2, False) if correct[3] else (1, True)
    said = "another" if not correct[3] else asked.gold[3]
    predicted = tuple(said if n == 3 else p for n, p in enumerate(asked.predicted))
    changed = replace(asked, predicted=predicted, rank=rank, correct=correct)
    header = evidence.header.model_dump(exclude={"sha256"})
    place = measured / "forged"
    write_results(place, header, {**evidence.outcomes, cell: changed})
    assert run("verify", place).exit_code == 0
    done = again(place)
    assert done.exit_code == 1
    assert f"{cell}: {asked.items[3]}: the answer was {said!r}" in done.stderr


def test_moved_together_nothing_is_lost_and_apart_it_is_said(measured, data, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    for name in ("base", "lora"):
        shutil.copytree(measured / name, tmp_path / "here" / name)
    root = tmp_path / "here"
    measure(
        root / "base", tmp_path / "data", root / "out", "--adapter", root / "lora", "--beta", "1"
    )
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("here", "data"):
        (tmp_path / name).rename(moved / name)
    assert again(moved / "here" / "out", 3).exit_code == 0
    (moved / "here" / "lora").rename(moved / "lora")
    done = again(moved / "here" / "out", 3)
    assert done.exit_code == 2
    assert f"what was measured is no longer at {moved / 'here' / 'lora'}" in done.output
    (moved / "here" / "lora").symlink_to(moved / "lora")
    assert again(moved / "here" / "out", 3).exit_code == 0


def test_another_model_other_data_and_no_origin_are_refused(measured, data, tmp_path):
    shutil.copytree(measured / "out", tmp_path / "out")
    shutil.copytree(measured / "base", tmp_path / "base")
    write_lora(tmp_path / "lora", TEXT.replace("c_fc|", ""))
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    origin = content["header"]["origin"]

    def refused(problem):
        (tmp_path / "out" / "results.json").write_text(json.dumps(content))
        done = again(tmp_path / "out", 3)
        assert done.exit_code == 2, done.output
        assert problem in done.output

    for name in ("data", "pictures"):
        place = data / "pictures" if name == "pictures" else data
        origin[name] = {"folder": str(place)}
    refused("the model at beta 0.5 is not the one that was measured")
    origin["adapters"] = [{"folder": str(measured / "lora")}]
    assert (tmp_path / "out" / "results.json").write_text(json.dumps(content))
    assert again(tmp_path / "out", 3).exit_code == 0
    made.write_cvqa(tmp_path / "data" / "afaji" / "cvqa", 19)
    shutil.copytree(data / "wit543", tmp_path / "data" / "wit543")
    origin["data"] = {"folder": "../data"}
    refused("the task cvqa-english is not the one that was asked, or its data are others")
    content["header"]["origin"] = None
    refused("does not record where its answers came from")


def test_another_picture_is_noticed(measured, data, tmp_path):
    """Its data name it by an address, which says nothing of its content."""
    shutil.copytree(measured / "out", tmp_path / "out")
    shutil.copytree(data / "pictures", tmp_path / "pictures")
    pictures = sorted((tmp_path / "pictures").iterdir())
    for one, other in pairwise(pictures):
        one.write_bytes(other.read_bytes())
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    origin = content["header"]["origin"]
    origin["model"], origin["adapters"] = (
        {"folder": str(measured / "base")}, [{"folder": str(measured / "lora")}],
    )  # fmt: skip
    origin["data"], origin["pictures"] = {"folder": str(data)}, {"folder": "../pictures"}
    (tmp_path / "out" / "results.json").write_text(json.dumps(content))
    done = again(tmp_path / "out")
    assert done.exit_code == 1
    assert "the sha256 of its picture is recorded as" in done.stderr


def test_a_vlm_reads_and_writes_the_same(data, tmp_path):
    write_seer(tmp_path / "model", "llava")
    document = same(measure(tmp_path / "model", data, tmp_path / "out", suites=("sea-vqa",)))
    assert {row["cell"].partition("/")[0] for row in document["rerun"]} == {
        "sea-vqa", "sea-vqa-by-pmi", "sea-vqa-by-generation",
    }  # fmt: skip


def test_pictures_are_drawn_and_judged_again(tmp_path):
    write_dpg(tmp_path / "data" / "TencentQQGYLab" / "ELLA")
    (tmp_path / "data" / "pictures").mkdir()
    suite = yaml.safe_load((BUILT_IN / "dpg-bench.yaml").read_text())
    suite["drawing"] |= {"seeds": [0, 1], "steps": 1, "width": 16, "height": 16}
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "mine.yaml").write_text(yaml.safe_dump(suite))
    base = write_pipeline("sd15", tmp_path / "base")
    judge = write_towers(tmp_path / "judge", CLIP)
    out = measure(base, tmp_path / "data", tmp_path / "out", "--judge", judge,
                  suites=[tmp_path / "suites"])  # fmt: skip
    # The definition is in the results: nobody needs the suite.
    shutil.rmtree(tmp_path / "suites")
    before = sorted(path.name for path in (out / "pictures").iterdir())
    same(out)
    assert sorted(path.name for path in (out / "pictures").iterdir()) == before


def test_an_endpoint_is_asked_again_with_a_key_that_the_user_names(data, tmp_path, monkeypatch):
    monkeypatch.setenv("SERVER_KEY", "s3cret")
    monkeypatch.setattr(chat_endpoint, "FIRST_WAIT", 0.01)
    with serving(answering, whole=True) as (url, seen):
        out = measure(f"{url}#tiny", data, tmp_path / "out", "--key-variable", "SERVER_KEY")
        assert "SERVER_KEY" not in (out / "results.json").read_text()
        asked, named = len(seen), ("--endpoint", f"{url}#tiny")
        # The address is one that the results name: a stranger's may be anybody's.
        for more in ((), ("--key-variable", "SERVER_KEY"), ("--endpoint", f"{url}#other")):
            refused = again(out, 2, *more)
            assert refused.exit_code == 2
            assert f"--endpoint '{url}#tiny'" in refused.stderr
        assert len(seen) == asked
        same(out, *named)
        assert {h.get("Authorization") for h, _ in seen[asked:]} == {None}
        assert again(out, 2, *named, "--key-variable", "SERVER_KEY").exit_code == 0
        assert seen[-1][0]["Authorization"] == "Bearer s3cret"
    gone = again(out, 2, *named)
    assert gone.exit_code == 1
    assert "127.0.0.1" in gone.output
    assert "Traceback" not in gone.output

    def other(content, body):
        return answering(content, body) if isinstance(content, str) else "B"

    # Another model behind the same name: only its answers tell it.
    with serving(other, whole=True) as (url, _):
        content = json.loads((out / "results.json").read_text())
        content["header"]["origin"]["model"]["address"] = f"{url}#tiny"
        (out / "results.json").write_text(json.dumps(content))
        done = again(out, 1000, "--endpoint", f"{url}#tiny")
        assert done.exit_code == 1
        assert "the answer was" in done.stderr


def test_from_a_hub_all_is_had_again_at_the_same_commits(base, dataset, tmp_path):
    """Its `main` may be another by then; and where the hub has it no more, that is said."""
    adapter = write_lora(tmp_path / "lora", TEXT)
    (tmp_path / "tasks").mkdir()
    for language in ("en", "th"):
        task = make_task(language, "choice_4")
        (tmp_path / "tasks" / f"{language}.yaml").write_text(yaml.safe_dump(definition(task)))
    with HubStore.open(tmp_path / "store") as store, embedded(store) as endpoint:
        for kind, repo, folder in (
            ("model", "me/base", base), ("model", "me/lora", adapter),
            ("dataset", "ggez-world/colours", dataset),
        ):  # fmt: skip
            store.create_repo(kind, repo)
            files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
            store.commit(kind, repo, files, **BY)
        hub = ["--hub", endpoint]
        out = tmp_path / "out"
        done = CliRunner().invoke(
            cli,
            ["eval", "me/base", "--adapter", "me/lora", "--beta", "0.5", "--suite",
             str(tmp_path / "tasks"), "--region", "th", "-o", str(out), *hub],
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        origin = open_evidence(out).header.origin
        commits = {r: store.head("model", f"me/{r}") for r in ("base", "lora")}
        assert (origin.model.revision, origin.adapters[0].revision) == tuple(commits.values())
        assert origin.commits == {
            "ggez-world/colours@main": store.head("dataset", "ggez-world/colours")
        }
        shutil.rmtree(tmp_path / "tasks")
        for kind, repo in (("model", "me/base"), ("dataset", "ggez-world/colours")):
            files = {"open_clip_model.safetensors": b"x", "data/test.parquet": b"x"}
            store.commit(kind, repo, files, **BY)
        command = ["verify", str(out), "--rerun", "40", *hub]
        done = CliRunner().invoke(cli, command)
        assert done.exit_code == 0, done.output
        assert done.stdout.count(": the same") == 40
        store.delete_repo(store.repo("model", "me/lora"))
        gone = CliRunner().invoke(cli, command)
        assert gone.exit_code == 1
        assert "me/lora" in gone.stderr


def test_every_built_in_task_is_recorded_whole():
    for path in sorted(BUILT_IN.glob("*.yaml")):
        for task in read_tasks(path, Benchmark):
            recorded = json.loads(json.dumps(definition(task)))
            assert parse(KINDS[recorded["kind"]], "here", recorded) == task
