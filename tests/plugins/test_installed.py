"""A distribution of somebody else, built and installed by pip: its family is asked, trained, merged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
import yaml

from ggez_hub.demo.hub import ASSETS
from ggez_hub.registry.lock import read_any_lock

from ..training.material import write_captions, write_recipe
from .test_evaluation import EXTENSION, write_benchmark

pytestmark = pytest.mark.slow

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "somebody-else"
version = "1.2.3"

[project.entry-points."ggez_hub.families"]
speech = "somebody_else:SPOKEN"

[project.entry-points."ggez_hub.loaders"]
pairs = "somebody_else:LOADER"

[project.entry-points."ggez_hub.merge_methods"]
negated = "somebody_else:negated"

[tool.setuptools]
py-modules = ["somebody_else", "somebody_training"]
"""
# Models that no family of ours knows: what open_clip saves, in a folder of its own.
FAMILY = """


from ggez_hub.evaluation.models.embedding_model import open_embedder
from ggez_hub.evaluation.models.similarity import SimilarityModel
from ggez_hub.families import UnknownLayout, get_family


def open_spoken(folder, family, adapted, known):
    embedder = open_embedder(folder / "tower", get_family("embedding"), adapted)
    return SimilarityModel(embedder, known)


SPEAKING = EvaluationBackend(("similarity",), True, open_spoken)


class SpokenFamily(SpeechFamily):
    configuration = frozenset({"speech.json"})
    evaluation_backend = "somebody_else:SPEAKING"
    training_backend = "somebody_training:BACKEND"

    def layout(self, folder, variant=None):
        if not (folder / "speech.json").is_file():
            raise UnknownLayout(f"{folder} has no speech.json")
        found = super().layout(folder / "tower", variant)
        return replace(found, weights=tuple(f"tower/{path}" for path in found.weights))

    def key_map(self, folder, names):
        find = super().key_map(folder / "tower", {n.removeprefix("tower/") for n in names})
        return lambda module: (name := find(module)) and f"tower/{name}"

    def empty_model(self, folder):
        return super().empty_model(folder / "tower")


SPOKEN = SpokenFamily()
"""
TRAINING = """
from dataclasses import replace

from ggez_hub.training.embedding import BACKEND as EMBEDDING
from ggez_hub.training.embedding import EmbeddingRecipe


class SpeechRecipe(EmbeddingRecipe):
    dialect: str


def open_spoken(folder, recipe, dtype):
    embedding = recipe.model_copy(update={"family": "embedding"})
    return EMBEDDING.open(folder / "tower", embedding, dtype)


BACKEND = replace(EMBEDDING, recipe=SpeechRecipe, open=open_spoken)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder into which pip has installed the distribution."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "somebody_else.py").write_text(
        EXTENSION.replace("import dataclass", "import dataclass, replace") + FAMILY
    )
    (source / "somebody_training.py").write_text(TRAINING)
    (source / "pyproject.toml").write_text(PROJECT)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    options = ["--no-build-isolation", "--target", str(site), str(source)]
    subprocess.run([*command, *options], check=True, capture_output=True)
    return site


@pytest.fixture
def base(tmp_path):
    """A model of the new family."""
    folder = tmp_path / "base"
    shutil.copytree(ASSETS / "embedding" / "base", folder / "tower")
    (folder / "speech.json").write_text("{}")
    return folder


def run(site, *arguments):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), *filter(None, sys.path)])}
    return subprocess.run(
        [sys.executable, "-m", "ggez_hub", *map(str, arguments)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_eval_asks_a_model_of_its_family_its_benchmark(site, base, tmp_path):
    tasks = write_benchmark(tmp_path)
    (tmp_path / "hub" / "somebody").mkdir(parents=True)
    (tmp_path / "data").rename(tmp_path / "hub" / "somebody" / "pairs")
    asked = ("eval", base, "--suite", tasks, "--region", "th")
    done = run(site, *asked, "--data", tmp_path / "hub", "-o", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    assert "pairs-th" in (tmp_path / "out" / "results.json").read_text()
    verified = run(site, "verify", tmp_path / "out")
    assert verified.returncode == 0, verified.stderr

    without = run(site, "--no-plugins", *asked, "--data", tmp_path / "hub", "-o", tmp_path / "b")
    assert without.returncode != 0
    assert "there is no loader 'pairs'" in without.stderr


@pytest.mark.slow
def test_an_adapter_of_its_family_is_trained_and_merged_and_card_and_lock_name_it(
    site, base, tmp_path
):
    write_captions(tmp_path / "captions", copies=1)
    asked = {"family": "speech", "dialect": "th", "batch_size": 4, "max_steps": 1}
    recipe, adapter = write_recipe(tmp_path / "recipe.yaml", **asked), tmp_path / "adapter"
    done = run(site, "train", recipe, "-o", adapter)
    assert done.returncode == 0, done.stderr
    card = yaml.safe_load((adapter / "README.md").read_text().split("---")[1])["ggez"]
    assert card["family"] == "speech"
    assert card["training"]["hyper_parameters"]["dialect"] == "th"
    assert card["training"]["versions"]["somebody-else"] == "1.2.3"

    asked = ("--base", base, "--adapter", adapter, "--beta", "0.5", "--method", "negated")
    done = run(site, "merge", *asked, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "tower" / "open_clip_model.safetensors").is_file()
    found = {
        record.entry_point for record in read_any_lock(tmp_path / "out" / "ggez.lock").merge.plugins
    }
    assert found == {"somebody_else:SPOKEN", "somebody_else:negated"}

    without = run(site, "--no-plugins", "train", recipe, "-o", tmp_path / "b")
    assert without.returncode == 2
    assert "family: must be one of embedding, diffusion, vlm" in without.stderr
