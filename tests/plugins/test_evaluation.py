"""A loader of a plug-in reads a benchmark, and a family of a plug-in says how its models are asked."""

from __future__ import annotations

import shutil

import pytest
import yaml

from ggez_hub.evaluation.benchmarks.benchmark import find_benchmarks
from ggez_hub.evaluation.benchmarks.contents import Folders
from ggez_hub.evaluation.benchmarks.preparation import prepare_benchmark
from ggez_hub.evaluation.models.backend import find_backend, kept_answers
from ggez_hub.evaluation.models.model_under_test import ModelUnderTest
from ggez_hub.families import get_family
from ggez_hub.plugins import BadPlugin
from ggez_hub.recipe_file import BadRecipe
from ggez_hub.regions import find_region
from ggez_hub.training.job import read_training

from ..evaluation.conftest import square
from ..training.material import write_recipe
from .distribution import MODULE, installed

__all__ = ["installed"]

EXTENSION = (
    MODULE
    + '''

from ggez_hub.evaluation.benchmarks.loaders import Choice, Loader, Options
from ggez_hub.evaluation.models.backend import EvaluationBackend


def read(source, options):
    """Rows of questions with two options, the first of which is right."""
    for row in source.all_rows({"question": "text", "right": "text", "wrong": "text"}):
        yield Choice(
            id=str(row.number),
            image=str(row.number),
            picture=source.picture(f"{row.number}.png"),
            country="th",
            language="en",
            question=row["question"],
            options=(row["right"], row["wrong"]),
            gold=0,
        )


LOADER = Loader("choices", Options, read)

ASKING = EvaluationBackend(("likelihood",), False, None)


class AskedFamily(SpeechFamily):
    evaluation_backend = "somebody_else:ASKING"
    training_backend = ""


ASKED = AskedFamily()
'''
)
POINTS = {
    "loaders": ["pairs = somebody_else:LOADER"],
    "families": ["speech = somebody_else:ASKED"],
}


def write_benchmark(folder):
    (folder / "data").mkdir()
    (folder / "data" / "rows.csv").write_text(
        "question,right,wrong\nWhat?,tea,soup\nWho?,her,him\n"
    )
    for number in range(2):
        (folder / "data" / f"{number}.png").write_bytes(square((number, 0, 0)))
    task = {
        "kind": "benchmark",
        "id": "pairs-th",
        "title": "Pairs",
        "dataset": {"repo": "somebody/pairs", "revision": "main"},
        "files": {"test": "rows.csv"},
        "loader": "pairs",
        "cut": "pairs",
        "metric": "choice",
        "side": "regional",
        "regions": ["th"],
        "language": "en",
    }
    (folder / "pairs.yaml").write_text(yaml.safe_dump(task))
    return folder


def test_a_loader_of_a_plug_in_reads_a_benchmark(installed, tmp_path):
    installed(POINTS, module=EXTENSION)
    folder = write_benchmark(tmp_path)
    (task,) = find_benchmarks(str(folder))
    found = prepare_benchmark(
        task, Folders(folder / "data"), find_region("th"), "0" * 40, ["likelihood"]
    )
    asked = [chat for prepared in found for a in prepared.asked.values() for chat in a.choices]
    assert {chat.item.options for chat in asked} == {("tea", "soup"), ("her", "him")}


def test_the_version_of_the_plug_in_is_a_part_of_the_digest(installed, tmp_path):
    installed(POINTS, module=EXTENSION)
    (task,) = find_benchmarks(str(write_benchmark(tmp_path)))
    ours = task.model_copy(update={"loader": "choices"})
    assert task.digest != ours.digest


def test_a_family_of_a_plug_in_names_how_it_is_asked(installed):
    installed(POINTS, module=EXTENSION)
    assert find_backend(get_family("speech")).methods == ("likelihood",)


def test_what_one_version_of_a_plug_in_computed_is_not_an_answer_of_another(
    installed, tmp_path, monkeypatch
):
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: tmp_path / "cache")
    model = ModelUnderTest("0" * 64, (), False, lambda known: None)
    kept_answers(model).keep({"what": "by ours alone"})
    installed(POINTS, module=EXTENSION)
    assert not kept_answers(model).find(["what"])
    kept_answers(model).keep({"what": "by 1.2.3"})
    shutil.rmtree(tmp_path / "site")
    installed(POINTS, module=EXTENSION, version="1.2.4")
    assert not kept_answers(model).find(["what"])
    shutil.rmtree(tmp_path / "site")
    installed(POINTS, module=EXTENSION)
    assert kept_answers(model).find(["what"]) == {"what": "by 1.2.3"}


def test_a_family_that_names_no_training_is_not_trained(installed, tmp_path):
    installed(POINTS, module=EXTENSION)
    with pytest.raises(BadRecipe, match="'speech' cannot be trained") as problem:
        read_training(write_recipe(tmp_path / "recipe.yaml", family="speech"))
    assert problem.value.hint == "Families: embedding, diffusion, vlm."


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("somebody_else:LOADER", "is not a backend"),
        ("somebody_else:MISSING", "somebody_else:MISSING cannot be imported"),
    ],
)
def test_what_is_named_has_to_be_one(installed, named, message):
    installed(POINTS, module=EXTENSION.replace("somebody_else:ASKING", named))
    with pytest.raises(BadPlugin, match=message):
        find_backend(get_family("speech"))
