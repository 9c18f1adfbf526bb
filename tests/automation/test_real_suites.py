"""The suites of real bases, from the plan to the measured card: tiny models and files of the real shapes,
under the real ids, on a hub."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.torch import load_file, save_file

from ggez_hub.automation.budget import read_budget
from ggez_hub.automation.contribution_rules import ProposedCard
from ggez_hub.automation.cost import cost
from ggez_hub.automation.evaluation import evaluate
from ggez_hub.cards import read_card
from ggez_hub.cli.models import find_model
from ggez_hub.embedded.store import HubStore
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.evaluation.benchmarks.benchmark import BUILT_IN
from ggez_hub.evaluation.results.verification import verify_evidence
from ggez_hub.hub import Hub
from tests.evaluation import benchmarks as made

from ..diffusion.pipelines import write_pipeline
from ..evaluation.drawings import write_dpg
from ..evaluation.seers import write_seer
from ..evaluation.towers import SIGLIP, write_towers
from ..registry.declared import commit, declare, upload
from ..worlds import serving
from .runner import PROJECT

pytestmark = pytest.mark.slow

SIGLIP2, SDXL = "google/siglip2-so400m-patch14-384", "stabilityai/stable-diffusion-xl-base-1.0"
JUDGE, MINE = "Qwen/Qwen3-VL-4B-Instruct", "somebody/southeast-asia"
QWEN = PROJECT / "cards/southeast-asia/vlm/qwen-sea-lion-v4-4b-vl.md"
RIGHT = 0.9


@pytest.fixture
def suites(tmp_path, monkeypatch):
    """The package's benchmarks as they are, but for pinned commits, which no other hub has, and large drawings."""
    folder = tmp_path / "suites"
    folder.mkdir()
    for path in BUILT_IN.glob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for entry in (content, content.get("defaults", {}), *content.get("tasks", ())):
            if "dataset" in entry:
                entry["dataset"]["revision"] = "main"
            if "drawing" in entry:
                entry["drawing"] = {"seeds": [0, 1], "steps": 1, "width": 16, "height": 16}
        (folder / path.name).write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setattr("ggez_hub.evaluation.benchmarks.benchmark.BUILT_IN", folder)
    # The prompts of safety, six hundred of them, have tests of their own.
    monkeypatch.setattr("ggez_hub.automation.suite.find_benchmarks", lambda suite: ())


@pytest.fixture
def world(tmp_path, suites):
    with HubStore.open(tmp_path / "store") as store, serving(store) as endpoint:
        yield World(tmp_path, store, Hub(endpoint))


@dataclass
class World:
    folder: Path
    store: HubStore
    hub: Hub

    def dataset(self, repo, folder):
        files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
        commit(self.store, "dataset", repo, files)

    def questions(self, right=lambda task, item: None):
        """SEA-VQA with most of its pictures, CVQA, and WorldCuisines 1.1; `right` names the right option."""
        place = self.folder / f"data-{len(list(self.folder.iterdir()))}"
        made.write_sea_vqa(place / "sea-vqa", 6, fetched=place / "fetched")
        made.write_cvqa(place / "cvqa", 30)
        rows = [
            {"question": f"What is dish {n}?", "options": [f"dish {n} {o}" for o in range(5)],
             "mcq_answer_index": n % 5, "image_path": f"https://upload.wikimedia.org/{n}.jpg"}
            for n in range(10)
        ]  # fmt: skip
        made.write(place / "wc" / "data" / "test-0.parquet", made.V1_1, rows)
        made.write_worldcuisines(place / "other", 10)
        relabel(place, right)
        self.dataset("wit543/sea-vqa", place / "sea-vqa")
        self.dataset("afaji/cvqa", place / "cvqa")
        self.dataset("worldcuisines/vqa-v1.1", place / "wc")
        self.dataset("worldcuisines/food-kb", place / "other" / "food-kb")
        self.dataset("ggez-hub/evaluation-pictures", place / "fetched")

    def evaluate(self, document, out):
        card = document.card
        proposed = ProposedCard(f"cards/southeast-asia/{card.family}/x.md", document, None)
        return evaluate(proposed, self.hub, self.folder / out, evaluator="0" * 40)


def relabel(place, right):
    for path in (place / "sea-vqa" / "data").glob("*.parquet"):
        rows = pq.read_table(path).to_pylist()
        code = {"cambodia": "kh", "indonesia": "id", "laos": "la", "malaysia": "my",
                "philippines": "ph", "singapore": "sg", "thailand": "th", "vietnam": "vn"}  # fmt: skip
        country = code[path.name.partition("-")[0]]
        for number, row in enumerate(rows):
            options = [row[f"choice_{letter}"] for letter in "abcd"]
            if (said := right("sea-vqa", f"{country}-{number:04}")) in options:
                row["correct_answer"] = "abcd"[options.index(said)]
        made.write(path, made.SEA_VQA, rows)
    path = place / "cvqa" / "data" / "test-00000-of-00001.parquet"
    rows = datasets.Dataset.from_parquet(str(path)).cast_column(
        "image", datasets.Image(decode=False)
    )
    rows = rows.to_list()
    for row in rows:
        if (said := right("cvqa-english", row["ID"])) in row["Translated Options"]:
            row["Label"] = row["Translated Options"].index(said)
    made.write(path, made.CVQA, rows)


def answers(out, beta):
    """What a measurement says that a model answered: (task, item) -> option."""
    rows = pq.read_table(out / "predictions.parquet").to_pylist()
    return {(r["task"], r["item"]): r["predicted"] for r in rows if r["beta"] == beta}


def tuned(base, folder, factor=1.5):
    """A full fine-tune of a model in one file: every weight is larger."""
    shutil.copytree(base, folder)
    for path in folder.rglob("*.safetensors"):
        weights = load_file(path)
        save_file({n: t * factor for n, t in weights.items()}, path, {"format": "pt"})
    return folder


def declared(world, family, base_repo, base, folder):
    upload(world.store, base_repo, base)
    revision = upload(world.store, MINE, folder)
    weights = {"repo": base_repo, "revision": "main", "weights": "unknown"}
    document = declare(
        family, "finetune", base, folder, region="southeast-asia", repo=MINE, revision="main",
        paths=[], base=weights, files="unknown",
        data_filter={"sources": [{"repo": "a/b", "revision": "1", "license": "mit"}],
                     "rules": "unknown", "reward": "unknown", "translator": "unknown",
                     "counts": "unknown", "spec_digest": "unknown"},
    )  # fmt: skip
    assert revision
    return document


def planned(world, document):
    return cost("cards/x.md", document.card, world.hub, read_budget(PROJECT), None)


def measured_after_a_first_look(world, document):
    """Right is what the base says of the world, and of the region what the adapter says, in nine of ten."""
    # The gates of answers to labels that nobody can know are of no interest.
    with suppress(GgezError):
        world.evaluate(document, "first")
    base, adapter = (answers(world.folder / "first", beta) for beta in (0.0, 1.0))

    def right(task, item):
        if sum(map(ord, item)) % 10 >= 10 * RIGHT:
            return None
        return (adapter if task == "sea-vqa" else base).get((task, item))

    world.questions(right)
    return world.evaluate(document, "second")


def test_a_base_of_a_recipe_is_compared_with_what_others_record_of_it(world, capsys):
    upload(world.store, JUDGE, write_seer(world.folder / "base", "qwen2-vl"))
    found = find_model(f"{JUDGE}@main", Path(), world.hub)
    said = capsys.readouterr().err
    assert (
        f"note: {JUDGE} is at the commit {found.revision[:12]}, ebb281ec70b0 was expected" in said
    )
    # Who names a commit means it.
    find_model(f"{JUDGE}@{found.revision}", Path(), world.hub)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_vision_language_model_of_southeast_asia(world):
    """SEA-LION's own card, as it is in this repository: a merge, which is measured as it is beside its base."""
    document = read_card(QWEN)
    base = write_seer(world.folder / "base", "qwen2-vl")
    upload(world.store, document.card.base.repo, base)
    upload(world.store, document.card.adapter.repo, tuned(base, world.folder / "tuned"))
    world.questions()
    plan = planned(world, document)
    assert [(t.task, t.side, t.items, t.needed) for t in plan.tasks] == [
        ("sea-vqa", "regional", 48, 979),
        ("cvqa-english", "global", 30, 1960),
        ("cvqa-english-regional", "regional", 30, 979),
        ("cvqa-local", "global", 30, 1960),
        ("cvqa-local-regional", "regional", 30, 979),
        ("worldcuisines-v1-1", "global", 10, 1960),
    ]
    # By likelihood and by generation, at beta 0 and 1.
    assert plan.answers == 2 * 2 * (48 + 4 * 30 + 10)
    (differs,) = plan.differ
    assert "ebb281ec70b0 was expected (two public files that agree)" in differs
    found = measured_after_a_first_look(world, document)
    verified = verify_evidence(world.folder / "second")
    assert verified.problems == ()
    records = verified.evidence.header.tasks
    assert {record.metric for record in records.values()} == {
        "choice_by_likelihood", "choice_by_generation",
    }  # fmt: skip
    # The pictures of the registry's own data set, of which one of each country is gone.
    sea_vqa = [r for r in found.document.card.curve["1"].items() if r[0].startswith("sea-vqa/")]
    assert sum(row.n for _, row in sea_vqa) == 8 * 4
    gates = {gate.name: gate.verdict for gate in found.report.gates}
    assert (found.report.beta, gates["gain"]) == (1.0, "pass")
    # Its card does not say what it was trained on.
    assert found.outcome == "undetermined"
    card = found.document.card
    assert (card.level, card.kind, {*card.curve}) == ("measured", "merged", {"0", "1"})


@pytest.mark.slow
def test_an_embedding_model_of_southeast_asia(world):
    """A search by a model that knows nothing is at chance, and that is what is reported."""
    base = write_towers(world.folder / "base", SIGLIP)
    document = declared(world, "embedding", SIGLIP2, base, tuned(base, world.folder / "tuned"))
    world.questions()
    made.write_xm3600(world.folder / "xm3600", 12)
    world.dataset("mteb/xm3600", world.folder / "xm3600")
    made.write_sea_vl(world.folder / "sea-vl", 30)
    for way in ("T2I", "I2T"):
        repo = f"SEA-VL-Crawling-{way}"
        world.dataset(f"mteb/{repo}", world.folder / "sea-vl" / repo)
    rows = [
        {"image": made.image(n), "caption": [f"{n} {c}" for c in range(5)], "split": "test"}
        for n in range(12)
    ]
    features = {"image": datasets.Image(), "caption": made.TEXTS, "split": made.TEXT}
    made.write(world.folder / "flickr" / "data" / "TEST-0.test.parquet", features, rows)
    world.dataset("nlphuji/flickr30k", world.folder / "flickr")
    plan = planned(world, document)
    assert plan.answers == 6 * (48 + 4 * 30 + 10 * 12 + 2 * 12 + 2 * 30)
    assert plan.hours is not None
    found = world.evaluate(document, "out")
    assert verify_evidence(world.folder / "out").problems == ()
    header = found.evidence.header
    assert {(r.dataset, r.side) for r in header.tasks.values()} == {
        ("wit543/sea-vqa", "regional"), ("afaji/cvqa", "global"), ("afaji/cvqa", "regional"),
        ("mteb/xm3600", "global"), ("mteb/xm3600", "regional"), ("nlphuji/flickr30k", "global"),
        ("mteb/SEA-VL-Crawling-T2I", "regional"), ("mteb/SEA-VL-Crawling-I2T", "regional"),
    }  # fmt: skip
    assert {*found.document.card.curve} == {"0", "0.25", "0.5", "0.75", "1", "1.25"}
    (gate,) = found.report.gates
    assert (gate.name, gate.verdict) == ("choice of beta", "undetermined")
    assert "at chance at every beta" in gate.reason


def test_a_pipeline_of_southeast_asia(world):
    """One judge on both sides; for a single country there are no prompts yet, and that is said."""
    base = write_pipeline("sdxl", world.folder / "base")
    document = declared(world, "diffusion", SDXL, base, tuned(base, world.folder / "tuned"))
    upload(world.store, JUDGE, write_seer(world.folder / "judge", "qwen2-vl"))
    write_dpg(world.folder / "ella")
    world.dataset("TencentQQGYLab/ELLA", world.folder / "ella")
    made.write_sea_vl(world.folder / "sea-vl", 6)
    world.dataset("mteb/SEA-VL-Crawling-T2I", world.folder / "sea-vl" / "SEA-VL-Crawling-T2I")
    plan = planned(world, document)
    assert plan.answers == 5 * 2 * (3 + 6)
    found = world.evaluate(document, "out")
    assert verify_evidence(world.folder / "out").problems == ()
    records = found.evidence.header.tasks
    (judge,) = {record.judge for record in records.values()}
    assert judge.startswith(f"{JUDGE} (")
    assert {name: record.side for name, record in records.items()} == {
        "dpg-bench": "global", "sea-vl-prompts": "regional",
    }  # fmt: skip
    assert {*found.document.card.curve} == {"0", "0.25", "0.5", "0.75", "1"}
    thai = document.with_card(region="th")
    with pytest.raises(UsageProblem, match="no items of th"):
        world.evaluate(thai, "thai")
