"""What a model under test is, before and after it is opened."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ggez_hub.digests import digest_json, sha256_file
from ggez_hub.evaluation.answers.cache import AnswerCache, Work
from ggez_hub.evaluation.answers.outcomes import Outcomes
from ggez_hub.evaluation.benchmarks.questions import QuestionSet
from ggez_hub.families import Family
from ggez_hub.merging.adapters.peft_config import CONFIG
from ggez_hub.merging.adapters.peft_folder import WEIGHTS, holds_peft
from ggez_hub.parity.betas import Beta, beta_key, betas_of

if TYPE_CHECKING:
    import torch

    from ggez_hub.merging.betas_by_part import BetasByPart


class LoadedModel(Protocol):
    """A model under test, ready to be asked."""

    def answer(self, asked: QuestionSet, method: str) -> Outcomes:
        """What it answers to the questions about the pictures that are there.

        `method` is one of those that it has.
        """


@runtime_checkable
class DivisibleModel(LoadedModel, Protocol):
    """One whose work can be done in parts, each by another process."""

    def work(self, asked: QuestionSet, method: str) -> Iterator[Work[Any]]:
        """What `answer` computes, in its order; it ends before what follows from answers not yet known."""


class SwappableModel(LoadedModel, Protocol):
    """One whose weights are in memory, where they can be changed."""

    @property
    def state(self) -> Mapping[str, torch.Tensor]:
        """Its tensors; writing into them changes the model."""

    def weights_changed(self, names: Collection[str], known: AnswerCache) -> None:
        """These tensors have changed: from now on `known` holds what follows from them."""


@dataclass(frozen=True)
class ModelUnderTest:
    """A model under test that was not opened yet.

    digest    sha256 of what decides its answers
    methods   how it chooses among options, which the metric names; the first is the primary one
    searches  whether it has embeddings, by which pictures and texts are found
    open      makes it ready; it keeps its answers in what it is given
    beta      the weight of each adapter that is on it; 0 for a model as it is
    shared    whether the digest is of the weights: only then may runs share their answers
    remark    what users should know of how it is asked
    """

    digest: str
    methods: tuple[str, ...]
    searches: bool
    open: Callable[[AnswerCache], LoadedModel]
    beta: Beta = 0.0
    shared: bool = True
    remark: str = ""


# What a full fine-tune or a task vector is, beside its safetensors.
DESCRIPTIONS = (".safetensors.index.json", "task_vector.json")


@dataclass(frozen=True)
class StoredModel:
    """What is measured, as it is stored on this machine: a base, and adapters on it.

    `parts` multiply the betas of some tensors.
    """

    base: Path
    adapters: tuple[Path, ...]
    family: Family
    parts: BetasByPart | None = None


def model_digests(model: StoredModel, betas: Sequence[Beta]) -> dict[str, str]:
    """Beta key -> what identifies the model that answers at this point."""
    weights = model.family.layout(model.base).weights
    base = {path: sha256_file(model.base / path) for path in weights}
    files = [decisive_files(adapter) for adapter in model.adapters]
    return {beta_key(beta): model_digest(base, files, beta, model.parts) for beta in betas}


def model_digest(
    base: Mapping[str, str],
    adapters: Sequence[Mapping[str, str]],
    beta: Beta,
    by_part: BetasByPart | None = None,
) -> str:
    """What identifies a model, from the sha256s of its base's weights and of what decides each Delta.

    An adapter with the beta 0 is not a part of a composition: where one is left, it is as if it were
    the only one.
    """
    own_betas = {} if by_part is None else {"parts": by_part.model_dump(mode="json")["parts"]}
    parts = list(zip(adapters, betas_of(beta), strict=False))
    if len(parts) > 1:
        parts = [(adapter, own) for adapter, own in parts if own]
    if len(parts) > 1:
        composed = [{"adapter": dict(adapter), "beta": beta_key(own)} for adapter, own in parts]
        return digest_json({"base": dict(base), "adapters": composed, **own_betas})
    adapter, own = parts[0] if parts else ({}, 0.0)
    one = {"base": dict(base), "adapter": dict(adapter), "beta": beta_key(own)}
    # At beta 0 parts, which are multiples, make no difference.
    return digest_json({**one, **own_betas} if own else one)


def decisive_files(adapter: Path) -> dict[str, str]:
    """The digests of the files that decide Delta, of whatever form the adapter is."""
    if adapter.is_file():
        return {adapter.name: sha256_file(adapter)}
    if holds_peft(adapter):
        # The configuration holds the scale of the matrices: it decides as much as they do.
        return {name: sha256_file(adapter / name) for name in (CONFIG, WEIGHTS)}
    return {
        path.relative_to(adapter).as_posix(): sha256_file(path)
        for path in sorted(adapter.rglob("*"))
        if path.suffix == ".safetensors" or path.name.endswith(DESCRIPTIONS)
    }
