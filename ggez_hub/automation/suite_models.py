"""What a suite needs beside the model under test: how it is asked, who judges, and pictures by address."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from huggingface_hub.errors import RepositoryNotFoundError

from ggez_hub.automation.suite import Suite
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.models import ModelUnderTest, model_in
from ggez_hub.evaluation.models.backend import find_backend
from ggez_hub.evaluation.models.judge_model import JudgeModel
from ggez_hub.families import Family, detect_family
from ggez_hub.hub import Hub, HubFile, RepoAtCommit
from ggez_hub.registry.file_checks import model_files


def methods_of(suite: Suite, family: Family) -> tuple[str, ...]:
    """How models of a family are asked multiple choice; none of a model that draws."""
    if family.generates == "pictures":
        return ()
    return tuple(suite.methods or find_backend(family).methods)


def open_judge(
    suite: Suite, hub: Hub, known: Callable[[ModelUnderTest], AnswerCache]
) -> JudgeModel | None:
    """The judge of a suite, fetched; None without one. Raises NotFit, and what the hub raises."""
    if suite.judge is None:
        return None
    at, files = _judge_files(suite.judge, hub)
    folder = hub.fetch(at.repo, at.revision, files)
    return JudgeModel(at.repo, model_in(folder, detect_family(folder)), known)


def judge_bytes(suite: Suite, hub: Hub) -> int:
    """What its judge adds to what is fetched; raises as `open_judge` does."""
    if suite.judge is None:
        return 0
    return sum(file.size for file in _judge_files(suite.judge, hub)[1])


def pictures_of(suite: Suite, hub: Hub) -> Path | None:
    """The folder with the pictures that data sets name by address; None where the hub has none."""

    if suite.pictures is None:
        return None
    try:
        at = hub.at_commit(suite.pictures, "main", "dataset")
    except RepositoryNotFoundError:
        return None
    return hub.fetch(at.repo, at.revision, at.files, "dataset")


def _judge_files(named: str, hub: Hub) -> tuple[RepoAtCommit, list[HubFile]]:
    repo, _, revision = named.partition("@")
    at = hub.at_commit(repo, revision)
    return at, [pinned.as_hub_file() for pinned in model_files(at)]
