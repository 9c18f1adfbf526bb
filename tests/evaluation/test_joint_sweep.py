"""Several adapters swept together: a grid of points with one beta for each of them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from ggez_hub.cards import read_card
from ggez_hub.cli.main import cli
from ggez_hub.digests import sha256_file
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.results.evidence import open_evidence
from ggez_hub.evaluation.results.figures import figures, write_results
from ggez_hub.evaluation.results.measured_curve import curve_of
from ggez_hub.evaluation.results.verification import verify_evidence
from ggez_hub.evaluation.sweep.recipe import MOST, grid_points
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.parity.betas import Betas, beta_key, betas_of, point, read_key
from tests.evaluation.conftest import change, make_task
from tests.evaluation.results import grid, write
from tests.evaluation.test_live import lora_on
from tests.evaluation.test_report import needs_browser, rendered
from tests.evaluation.towers import write_towers
from tests.worlds import card, write_card

pytestmark = pytest.mark.slow

NO_HUB = ["--hub", "http://127.0.0.1:9"]
TASKS = (make_task("en", "choice_4"), make_task("th", "choice_4"))


def run(*command):
    return CliRunner().invoke(cli, [*map(str, command), *NO_HUB])


@pytest.fixture(scope="module")
def swept(dataset, tmp_path_factory):
    """A composition of two LoRAs on a tiny CLIP, its recipe and its results."""
    root = tmp_path_factory.mktemp("swept")
    write_towers(root / "base")
    for seed in (1, 2):
        lora_on(root / "base", root / f"lora-{seed}", seed)
    (root / "tasks").mkdir()
    for task in TASKS:
        (root / "tasks" / f"{task.id}.yaml").write_text(json.dumps(task.model_dump(mode="json")))
    recipe = {
        "kind": "sweep", "region": "th", "family": "embedding", "base": "base", "alpha": 0.4,
        "adapter": ["lora-1", "lora-2"], "tasks": "tasks", "data": str(dataset),
        "betas": [[0, 0.5], [0, 0.25]],
    }  # fmt: skip
    (root / "sweep.yaml").write_text(json.dumps(recipe))
    done = run("sweep", root / "sweep.yaml", "-o", root / "out", "--no-cache")
    assert done.exit_code == 0, done.output
    return root


def test_points_are_ordered_by_how_little_is_added():
    given = [(0.4, 0.4), (0.3, 0.3), (0.6, 0), (0, 0.6), (0.1, 0.2), (0.5, 0), (0, 0.3)]
    order = [p.each for p in sorted(map(point, given))]
    # By the sum; of the same sum the one that is shared among the adapters, then in their order.
    by_sum = [(0.1, 0.2), (0, 0.3), (0.5, 0), (0.3, 0.3), (0, 0.6), (0.6, 0), (0.4, 0.4)]
    assert order == by_sum
    assert f"{Betas((0.25, 1.0)):g}" == beta_key(Betas((0.25, 1.0))) == "0.25+1"
    assert read_key("0.25+1") == Betas((0.25, 1.0))
    assert (point([0.5]), read_key("0.5"), betas_of(0.5)) == (0.5, 0.5, (0.5,))


def test_a_grid_is_a_product_or_the_points_that_are_named():
    found = grid_points(2, [0, 0.5])
    assert [beta_key(p) for p in found] == ["0+0", "0+0.5", "0.5+0", "0.5+0.5"]
    assert [beta_key(p) for p in grid_points(2, [[0.5], [0.25, 1]])] == ["0+0", "0.5+0.25", "0.5+1"]
    named = grid_points(2, [0, 1], combinations=[[0.3, 0.2]])
    assert [beta_key(p) for p in named] == ["0+0", "0.3+0.2"]
    assert grid_points(1, [1, 0.5]) == (0.0, 0.5, 1.0)
    nine = [n / 8 for n in range(9)]
    with pytest.raises(UsageProblem, match="9 x 9 betas are 81 points") as refused:
        grid_points(2, nine)
    assert str(MOST) in refused.value.message
    assert "combinations" in refused.value.hint
    assert len(grid_points(2, nine, limit=81)) == 81
    with pytest.raises(UsageProblem, match="the limit is 80"):
        grid_points(2, nine, limit=80)


@pytest.mark.parametrize(
    ("grid", "problem"),
    [
        ({"betas": [[0, 1]]}, "2 lists, one for each adapter"),
        ({"combinations": [[0.5]]}, "[0.5] are not the betas of 2 adapters"),
        ({"combinations": [[0.5, -1]]}, "cannot be a point of the grid"),
        ({"adapter": ["lora-1", "lora-1"]}, "named twice"),
        ({"adapter": "lora-1", "combinations": [[0.5]]}, "combinations are of several adapters"),
    ],
)
def test_what_is_no_grid_is_refused(swept, tmp_path, grid, problem):
    recipe = json.loads((swept / "sweep.yaml").read_text())
    if "combinations" in grid:
        del recipe["betas"]
    (swept / "wrong.yaml").write_text(json.dumps(recipe | grid))
    done = run("sweep", swept / "wrong.yaml", "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert problem in done.output
    assert not (tmp_path / "out").exists()


def test_every_point_answers_like_its_merged_folder(swept, dataset, tmp_path):
    found = open_evidence(swept / "out")
    assert [beta_key(b) for b in found.betas("test")] == ["0+0", "0+0.25", "0.5+0", "0.5+0.25"]
    for each in [(0.0, 0.25), (0.5, 0.25)]:
        out = tmp_path / beta_key(point(each))
        parts = [Adapter(swept / f"lora-{n}", beta) for n, beta in enumerate(each, 1)]
        merge(swept / "base", parts, out, get_family("embedding"))
        (tmp_path / "recipe.yaml").write_text(json.dumps(
            json.loads((swept / "sweep.yaml").read_text())
            | {"base": str(out), "adapter": str(swept / "lora-1"), "betas": [0], "tasks": str(swept / "tasks")}
        ))  # fmt: skip
        done = run("sweep", tmp_path / "recipe.yaml", "-o", tmp_path / f"{out.name}-alone")
        assert done.exit_code == 0, done.output
        alone = open_evidence(tmp_path / f"{out.name}-alone").outcomes
        for cell, outcomes in alone.items():
            ours = found.outcomes[Cell(point(each), cell.task, cell.split)]
            assert ours.details.log_likelihoods == outcomes.details.log_likelihoods
            other = found.outcomes[Cell(point([0, 0]), cell.task, cell.split)]
            assert ours.details.log_likelihoods != other.details.log_likelihoods


def test_every_figure_follows_and_every_change_is_named(swept, tmp_path):
    out = swept / "out"
    found = verify_evidence(out)
    assert found.problems == ()
    content = json.loads((out / "results.json").read_text())
    assert [a["name"] for a in content["header"]["adapters"]] == ["lora-1", "lora-2"]
    assert list(content["scores"]) == ["0+0", "0+0.25", "0.5+0", "0.5+0.25"]
    assert len(set(content["header"]["models"].values())) == 4
    # Neither folder has a card: whose tasks are its own is not known.
    assert content["parity"]["test"]["points"]["0+0"]["q_regional_of"] == {}
    selection = content["selection"]
    changes = {
        "scores: 0.5+0: colours-th-choice-4/test: score": lambda c: c["scores"]["0.5+0"][
            "colours-th-choice-4/test"
        ].update(score=3.0),
        "beta 0.5+0 is measured by the predictions alone": lambda c: c["header"]["models"].update(
            {"0.5+0.75": c["header"]["models"].pop("0.5+0")}
        ),
    }
    if selection["beta"] is not None:
        changes["selection: beta[0] is 0.75"] = lambda c: c["selection"]["beta"].__setitem__(
            0, 0.75
        )
    for problem, edit in changes.items():
        changed = json.loads(json.dumps(content))
        edit(changed)
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        place.mkdir()
        (place / "results.json").write_text(json.dumps(changed))
        (place / "predictions.parquet").write_bytes((out / "predictions.parquet").read_bytes())
        assert any(problem in said for said in verify_evidence(place).problems), problem


def test_a_changed_prediction_is_named_with_its_point(swept, tmp_path):
    place = tmp_path / "out"
    place.mkdir()
    for name in ("results.json", "predictions.parquet"):
        (place / name).write_bytes((swept / "out" / name).read_bytes())
    table = pq.read_table(place / "predictions.parquet")
    assert table.schema.field("beta").type.value_type == "double"
    row = table.column("beta").to_pylist().index([0.5, 0.25])
    right = table.column("correct").to_pylist()[row]
    change(place / "predictions.parquet", "correct", row, not right)
    item, task = (table.column(name)[row].as_py() for name in ("item", "task"))
    problems = verify_evidence(place).problems
    assert any("at beta 0.5+0.25" in p and repr(item) in p and task in p for p in problems)


def test_a_killed_sweep_goes_on_and_gives_the_same(swept, monkeypatch):
    """Killed after three of eight steps: what is kept is not asked again."""
    from ggez_hub.evaluation.sweep import run as module

    class Killed(Exception):
        pass

    original, saved = module.KeptAnswers.save, []

    def save(self, beta, task, outcomes):
        if len(saved) == 3:
            raise Killed
        original(self, beta, task, outcomes)
        saved.append((beta_key(beta), task))

    monkeypatch.setattr(module.KeptAnswers, "save", save)
    out = swept / "killed"
    assert run("sweep", swept / "sweep.yaml", "-o", out, "--no-cache").exit_code == 1
    monkeypatch.undo()
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    assert {path.parent.name for path in kept} == {"0+0", "0+0.25"}
    done = run("sweep", swept / "sweep.yaml", "-o", out, "--no-cache")
    assert done.exit_code == 0, done.output
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    for name in ("results.json", "predictions.parquet"):
        assert (out / name).read_bytes() == (swept / "out" / name).read_bytes()


def test_the_model_gives_the_same_answers_again(swept, tmp_path):
    again = ["--rerun", 1000, "--recipe", swept / "sweep.yaml"]
    done = run("verify", swept / "out", *again, "--json")
    assert done.exit_code == 0, done.output
    evidence = open_evidence(swept / "out")
    assert len(json.loads(done.stdout)["rerun"]) == sum(map(len, evidence.outcomes.values()))
    recorded = run("verify", swept / "out", "--rerun", 5)
    assert recorded.exit_code == 0, recorded.output
    assert recorded.stdout.count(": the same") == 5
    # An answer that only the model knows better.
    cell = Cell(point([0.5, 0.25]), TASKS[1].id, "test")
    outcomes = dict(evidence.outcomes)
    shifted = [tuple(s + 0.01 for s in row) for row in outcomes[cell].details.log_likelihoods]
    details = replace(outcomes[cell].details, log_likelihoods=tuple(shifted))
    outcomes[cell] = replace(outcomes[cell], details=details)
    header = evidence.header.model_dump(exclude={"sha256"})
    write_results(tmp_path / "out", header, outcomes)
    assert run("verify", tmp_path / "out").exit_code == 0
    found = run("verify", tmp_path / "out", *again)
    assert found.exit_code == 1
    assert f"{cell}: " in found.stderr


def write_measured(swept, base, tmp_path):
    """The first adapter with a card whose own curve was measured alone."""
    recipe = json.loads((swept / "sweep.yaml").read_text())
    recipe |= {"adapter": "lora-1", "betas": [0, 0.5]}
    (swept / "alone.yaml").write_text(json.dumps(recipe))
    done = run("sweep", swept / "alone.yaml", "-o", tmp_path / "alone")
    assert done.exit_code == 0, done.output
    folder = shutil.copytree(swept / "lora-1", tmp_path / "lora-1")
    (folder / "evidence").mkdir()
    shutil.copyfile(tmp_path / "alone" / "predictions.parquet", folder / "evidence" / "p.parquet")
    weights = {"model.safetensors": sha256_file(swept / "base" / "model.safetensors")}
    block = {"repo": "org/base", "revision": "main", "weights": weights}
    curve = curve_of(open_evidence(tmp_path / "alone")).rows
    curve = {beta: {k: r.model_dump() for k, r in rows.items()} for beta, rows in curve.items()}
    document = card("th", base, folder, base=block, curve=curve)
    front = document.front_matter | {"base_model": "org/base"}
    write_card(folder, replace(document, front_matter=front))
    return folder


def test_a_card_takes_the_joint_curve_with_its_answers(swept, base, tmp_path):
    folder = write_measured(swept, base, tmp_path)
    before = read_card(folder / "README.md")
    for _ in range(2):
        # Repeated, the curve is replaced, not added.
        done = CliRunner().invoke(cli, ["card", "joint", str(swept / "out"), str(folder)])
        assert done.exit_code == 0, done.output
    after = read_card(folder / "README.md")
    assert (after.card.curve, after.prose) == (before.card.curve, before.prose)
    (joint,) = after.card.joint
    assert list(joint.curve) == ["0+0", "0+0.25", "0.5+0", "0.5+0.25"]
    rows = [row for tasks in joint.curve.values() for row in tasks.values()]
    assert {row.measured_by for row in rows} == {"self"}
    # A point with one adapter is the model of a sweep of that adapter alone.
    key = f"{TASKS[1].id}/test"
    assert joint.curve["0.5+0"][key].model == after.card.curve["0.5"][key].model
    assert joint.curve["0.5+0"][key].score == after.card.curve["0.5"][key].score
    checked = CliRunner().invoke(cli, ["verify", str(folder)])
    assert checked.exit_code == 0, checked.output
    (answers,) = (folder / "evidence").glob("joint-*.parquet")
    right = pq.read_table(answers).column("correct").to_pylist()[3]
    change(answers, "correct", 3, not right)
    problems = verify_evidence(folder).problems
    assert any("sha256" in problem for problem in problems)
    assert any("at beta 0+0:" in p and "rank and correct" in p for p in problems)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"files": "adapter"}, "has the sha256s of the card's files"),
        ({"base": "weights"}, "is not made of the base that the card names"),
    ],
)
def test_results_of_others_are_not_noted(swept, base, tmp_path, changes, words):
    folder = shutil.copytree(swept / "lora-1", tmp_path / "lora-1")
    name = "adapter_model.safetensors"
    document = card("th", base, folder, curve="unknown")
    if "files" in changes:
        record = {name: {"size": 1, "sha256": "1" * 64}}
        document = card("th", base, folder, curve="unknown", files=record)
    write_card(folder, document)
    text = (folder / "README.md").read_text()
    done = CliRunner().invoke(cli, ["card", "joint", str(swept / "out"), str(folder)])
    assert done.exit_code == 2
    assert words in done.output
    assert (folder / "README.md").read_text() == text


def test_retune_and_gates_of_joint_results(tmp_path):
    shares = {
        (0, 0): (0.8, 0.4),
        (0.5, 0): (0.78, 0.5),
        (0.5, 0.25): (0.76, 0.7),
        (0.5, 0.5): (0.4, 0.71),
    }
    shares = {point(betas): sides for betas, sides in shares.items()}
    adapters = [
        {"name": n, "region": r, "files": {"a": "0" * 64}} for n, r in (("a", "th"), ("b", "jp"))
    ]
    models = {beta_key(b): "0" * 64 for b in shares}
    write(tmp_path / "out", grid(shares=shares), adapters=adapters, models=models)
    found = json.loads(run("retune", tmp_path / "out", "--alpha", "1", "--json").stdout)
    assert (found["beta_before"], found["beta"]) == ([0.5, 0.25], [0, 0])
    # Where the region alone counts, the point that is best there; the base where the world does.
    assert [r["beta"] for r in found["ranges"]] == [[0.5, 0.5], [0.5, 0.25], [0, 0]]
    gated = CliRunner().invoke(cli, ["ci", "gate", str(tmp_path / "out"), "--json"])
    assert json.loads(gated.stdout)["beta"] == [0.5, 0.25]
    gains = {g["gate"]: g for g in json.loads(gated.stdout)["gates"]}
    assert gains["gain"]["outcome"] == "pass"
    other = ["ci", "gate", str(tmp_path / "out"), "--json", "--beta"]
    named = CliRunner().invoke(cli, [*other, "0.5", "--beta", "0.5"])
    assert json.loads(named.stdout)["beta"] == [0.5, 0.5]
    # What is won for the region is about what the world loses: 600 pictures do not decide.
    assert json.loads(named.stdout)["outcome"] == "undetermined"
    assert CliRunner().invoke(cli, [*other, "0.5"]).exit_code == 2
    selection = json.loads((tmp_path / "out" / "results.json").read_text())["selection"]
    assert selection["beta"] == [0.5, 0.25]
    assert selection["reason"].startswith("the highest GRP on validation")


def test_the_base_is_a_legitimate_answer(tmp_path):
    shares = {
        (0, 0): (0.8, 0.5),
        (0.5, 0): (0.6, 0.52),
        (0, 0.5): (0.7, 0.5),
        (0.5, 0.5): (0.5, 0.5),
    }
    shares = {point(betas): sides for betas, sides in shares.items()}
    selection = figures(write(tmp_path, grid(shares=shares)))["selection"]
    assert selection["beta"] == [0, 0]


def test_of_equal_points_the_one_that_adds_less_is_chosen(tmp_path):
    """Of equal GRPs: the least sum, then the one that shares it."""
    best = (0.8, 0.6)
    points = [(0, 0.9), (0.5, 0.25), (0.75, 0), (0.25, 0.5), (1, 1)]
    shares = {point(betas): best for betas in points} | {point([0, 0]): (0.8, 0.3)}
    selection = figures(write(tmp_path, grid(shares=shares)))["selection"]
    assert selection["beta"] == [0.25, 0.5]


@needs_browser
def test_the_page_of_a_composition(tmp_path):
    shares = {
        (0, 0): (0.8, 0.4),
        (0.5, 0): (0.78, 0.5),
        (0, 0.25): (0.7, 0.45),
        (0.5, 0.25): (0.76, 0.7),
    }
    shares = {point(betas): sides for betas, sides in shares.items()}
    adapters = [{"name": n, "files": {"a": "0" * 64}} for n in ("thai", "lao")]
    models = {beta_key(b): "0" * 64 for b in shares}
    write(tmp_path / "out", grid(shares=shares), adapters=adapters, models=models)
    done = run("report", tmp_path / "out", "-o", tmp_path / "page.html")
    assert done.exit_code == 0, done.output
    text, complaints = rendered(tmp_path / "page.html", tmp_path)
    assert complaints == []
    assert "the betas of a point are of thai, lao, in this order" in text
    assert "beta 0.5+0.25 merged" in text
    assert "beta 0.5+0 thai alone" in text
    assert "beta 0.5+0.25 is chosen, and for every alpha from" in text
    assert text.count("<circle") >= 2 * len(shares)
    moved, _ = rendered(tmp_path / "page.html", tmp_path, "#alpha=1")
    assert "alpha 1.000: beta 0+0 is chosen" in moved
