"""A sweep by part: the grid multiplied by the parts of a file, and whether that paid."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from ggez_hub.cards import alpha_record
from ggez_hub.cli.main import cli
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.scores import Sides, parity_difference
from ggez_hub.evaluation.models import Adapted, model_in
from ggez_hub.evaluation.models.embedding_model import open_embedder
from ggez_hub.evaluation.models.model_under_test import StoredModel, model_digests
from ggez_hub.evaluation.models.weight_swap import LiveWeights
from ggez_hub.evaluation.results.evidence import open_evidence
from ggez_hub.evaluation.results.header import SweptParts
from ggez_hub.evaluation.results.verification import verify_evidence
from ggez_hub.evaluation.sweep.part_gains import folder_of, gains_beside
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.merging.betas_by_part import BetasByPart
from ggez_hub.merging.merge import tensor_names
from ggez_hub.regions import alpha
from tests.evaluation import results
from tests.evaluation.conftest import COLOURS, make_task, square

pytestmark = pytest.mark.slow

FAMILY = get_family("embedding")
WEIGHTS = "open_clip_model.safetensors"
RULE = BetasByPart.model_validate(
    {
        "parts": [
            {"tensors": r"^visual\.conv1", "beta": 0},
            {"tensors": r"^visual\.", "times": 0.5},
            {"tensors": r"^transformer\.resblocks\.(\d+)\.", "tilt": 0.5},
        ]
    }
)


def merged(base, adapter, beta, out):
    betas = RULE.on(tensor_names(base, FAMILY)).at(beta)
    merge(base, [Adapter(adapter, beta, betas)], out, FAMILY)
    return out


def test_the_weights_that_answer_are_those_of_the_merge_by_part(base, both_lora, tmp_path):
    model = open_embedder(base, FAMILY)
    live = LiveWeights(StoredModel(base, (both_lora,), FAMILY, RULE), model.state)
    live.set_betas([0.9])
    for beta in (0.6, 0.0, 0.25):
        live.set_betas([beta])
        out = merged(base, both_lora, beta, tmp_path / str(beta))
        for name, tensor in load_file(out / WEIGHTS).items():
            assert torch.equal(live.weights.tensor(name, [beta]), tensor), name
        other = open_embedder(out, FAMILY)
        for name, tensor in other.state.items():
            assert torch.equal(model.state[name], tensor), name


def test_a_model_with_an_adapter_by_part_is_the_merged_one(base, both_lora, tmp_path):
    adapted = Adapted(both_lora, 0.6, RULE)
    mine = open_embedder(base, FAMILY, adapted)
    other = open_embedder(merged(base, both_lora, 0.6, tmp_path / "out"), FAMILY)
    pictures = [square(colour) for colour in COLOURS]
    assert (mine.encode_pictures(pictures) == other.encode_pictures(pictures)).all()
    assert (mine.encode_texts(list(COLOURS)) == other.encode_texts(list(COLOURS))).all()
    assert (
        model_in(base, FAMILY, adapted=adapted).digest
        == (model_digests(StoredModel(base, (both_lora,), FAMILY, RULE), [0.6])["0.6"])
    )


def test_a_model_is_known_by_its_parts_but_for_the_base(base, text_lora):
    plain = model_digests(StoredModel(base, (text_lora,), FAMILY), [0.0, 0.5])
    by_part = model_digests(StoredModel(base, (text_lora,), FAMILY, RULE), [0.0, 0.5])
    assert plain["0"] == by_part["0"]
    assert plain["0.5"] != by_part["0.5"]


@pytest.fixture
def recipe(base, text_lora, both_lora, dataset, tmp_path):
    """Writes a recipe of plain betas and those of files, and gives the command for it."""
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    for task in (make_task("en"), make_task("th")):
        (tasks / f"{task.id}.yaml").write_text(json.dumps(task.model_dump(mode="json")))
    content = {
        "kind": "sweep", "region": "th", "family": "embedding", "base": str(base),
        "adapter": str(text_lora), "tasks": "tasks", "data": str(dataset), "betas": [0, 0.5, 1],
    }  # fmt: skip

    def write(files, **changes):
        for name, parts in files.items():
            text = json.dumps({"kind": "betas", "parts": parts})
            (tmp_path / name).write_text(text)
        recipe = tmp_path / "sweep.yaml"
        recipe.write_text(json.dumps({**content, "parts": [*files], **changes}))
        return recipe

    return write


def run(*arguments):
    return CliRunner().invoke(cli, [*map(str, arguments), "--hub", "http://127.0.0.1:9"])


# A file whose models are those of the plain betas, and one that leaves a part of the model alone.
PLAIN = [{"tensors": ".", "times": 1}]
HALF = [{"tensors": r"resblocks\.(\d+)\.", "tilt": -1}, {"tensors": "embedding", "times": 0}]


def test_each_file_is_a_sweep_of_its_own_that_is_compared_with_the_plain_one(recipe, tmp_path):
    asked = recipe({"same.yaml": PLAIN, "half.yaml": HALF})
    out = tmp_path / "out"
    result = run("sweep", asked, "-o", out, "--json")
    assert result.exit_code == 0, result.output
    half, same = json.loads(result.stdout)["by_part"]
    assert (half["parts"], same["parts"]) == ("half.yaml", "same.yaml")
    # Of models that only guess no beta can be chosen, and nothing is claimed.
    assert (half["paid"], half["reason"]) == (None, "no beta can be chosen")
    for name, parts in (("same", PLAIN), ("half", HALF)):
        evidence = open_evidence(out / "by-part" / name)
        header = evidence.header
        assert header.parts.name == f"{name}.yaml"
        assert [part.model_dump(exclude_none=True) for part in header.parts.parts] == parts
        assert verify_evidence(out / "by-part" / name).problems == ()
        plain = open_evidence(out)
        assert header.models["0"] == plain.header.models["0"]
        assert header.models["0.5"] != plain.header.models["0.5"]
        for cell, outcomes in plain.outcomes.items():
            same_answers = evidence.outcomes[cell].predicted == outcomes.predicted
            assert same_answers or (name == "half" and cell.beta)
    said = run("verify", out).stdout
    assert "by part, same.yaml: not compared: no beta can be chosen" in said
    page = tmp_path / "page.html"
    assert (
        CliRunner()
        .invoke(cli, ["report", str(out / "by-part" / "half"), "-o", str(page)])
        .exit_code
        == 0
    )
    assert "Every beta is multiplied by part, as half.yaml says." in page.read_text()
    shown = run("verify", out / "by-part" / "half").stdout
    assert r"'resblocks\\.(\\d+)\\.': 1 times the adapter's, tilt -1" in shown


PARTS = SweptParts(name="half.yaml", sha256="a" * 64, parts=list(RULE.parts))
# Of the region's items so many more are right by part, at each beta; of the others as many.
BETTER = {0.0: (0.80, 0.40), 0.5: (0.78, 0.75), 1.0: (0.60, 0.77)}


def gain_of(place, shares, **changes):
    results.write(place)
    results.write(folder_of(place, PARTS), results.grid(shares=shares), parts=PARTS, **changes)
    (gain,) = gains_beside(verify_evidence(place))
    return gain


def test_the_gain_is_the_paired_difference_on_test(tmp_path):
    gain = gain_of(tmp_path, BETTER)
    plain, own = open_evidence(tmp_path), open_evidence(folder_of(tmp_path, PARTS))

    def sides(evidence, key):
        at = evidence.tasks_at(float(key), "test")
        return Sides((at["world"],), (at["thai"],))

    expected = parity_difference(
        sides(own, gain.point), sides(plain, gain.plain), plain.header.alpha.value
    )
    assert (gain.point, gain.plain) == (0.5, 0.5)
    assert gain.difference == expected
    # (1 - alpha) of 15 of 75 points above chance, as far as the draws go.
    assert 8 < gain.difference.value < 16
    assert gain.paid
    assert gain.line().endswith("against the plain 0.5: it paid")
    assert gain.as_dict()["grp_gain"]["value"] == expected.value


def test_the_same_answers_gain_nothing(tmp_path):
    gain = gain_of(tmp_path, results.SHARES)
    assert gain.difference.value == 0
    assert gain.difference.low < 0 < gain.difference.high
    assert not gain.paid
    assert gain.line().endswith("it is not shown to pay")


def test_other_questions_or_another_alpha_are_not_compared(tmp_path):
    other = gain_of(tmp_path / "alpha", BETTER, alpha=alpha_record(alpha("vn")))
    assert (other.difference, other.paid) == (None, False)
    assert "different alphas" in other.line()
    results.write(tmp_path / "items")
    cells = results.grid(n=500, shares=BETTER)
    results.write(folder_of(tmp_path / "items", PARTS), cells, parts=PARTS)
    (gain,) = gains_beside(verify_evidence(tmp_path / "items"))
    assert "does not ask the same questions" in gain.line()


def test_a_changed_answer_of_a_sweep_by_part_is_found(recipe, tmp_path):
    out = tmp_path / "out"
    assert run("sweep", recipe({"half.yaml": HALF}), "-o", out).exit_code == 0
    path = out / "by-part" / "half" / "results.json"
    content = json.loads(path.read_text())
    scores = next(iter(content["scores"]["0.5"].values()))
    scores["score"] += 1
    path.write_text(json.dumps(content))
    result = run("verify", out)
    assert result.exit_code == 1
    assert "half does not follow from its predictions" in result.stderr


@pytest.mark.parametrize("named", [True, False])
def test_some_answers_are_given_again(recipe, tmp_path, named):
    asked, out = recipe({"half.yaml": HALF}), tmp_path / "out"
    assert run("sweep", asked, "-o", out).exit_code == 0
    more = ["--recipe", asked] if named else []
    result = run("verify", out / "by-part" / "half", "--rerun", 5, *more)
    assert result.exit_code == 0, result.output
    recipe({"half.yaml": PLAIN})
    result = run("verify", out / "by-part" / "half", "--rerun", 5, "--recipe", asked)
    assert result.exit_code == 2
    assert "no file of betas by part that equals half.yaml" in result.stderr


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"a.yaml": [{"tensors": "visual", "beta": 0.5}]}, "has a `beta` of its own"),
        ({"a.yaml": [{"tensors": "vision_tower", "times": 0}]}, "finds none of the base's"),
        ({"a.yaml": [{"tensors": "(?=a)", "times": 0}]}, "is not an expression of RE2"),
        ({"a.yaml": PLAIN, "a.yml": PLAIN}, "have the same name"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_anything_is_asked(recipe, tmp_path, files, named):
    result = run("sweep", recipe(files), "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert named in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_composition_by_part(recipe, text_lora, both_lora, tmp_path):
    asked = recipe({"half.yaml": HALF}, adapter=[str(text_lora), str(both_lora)], betas=[0, 0.5])
    result = run("sweep", asked, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    header = open_evidence(tmp_path / "out" / "by-part" / "half").header
    assert set(header.models) == {"0+0", "0+0.5", "0.5+0", "0.5+0.5"}
    (gain,) = json.loads(result.stdout)["by_part"]
    assert gain["beta"] is None or "+" in gain["beta"]


def test_results_by_part_are_not_noted_as_a_joint_curve(recipe, text_lora, both_lora, tmp_path):
    from ggez_hub.registry.contribution.measured_results import add_joint_results

    asked = recipe({"half.yaml": HALF}, adapter=[str(text_lora), str(both_lora)], betas=[0, 0.5])
    assert run("sweep", asked, "-o", tmp_path / "out").exit_code == 0
    with pytest.raises(UsageProblem, match=r"measures betas by part, half\.yaml"):
        add_joint_results(tmp_path / "out" / "by-part" / "half", text_lora)
