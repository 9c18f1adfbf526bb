"""Models named on the command line: found here or on a hub, opened, and their answers kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import click

from ggez_hub.cards import AdapterCard, BadCard, read_card
from ggez_hub.cards.expected import ListedFile, differences, expected_models
from ggez_hub.cli.output import QUIET, Output
from ggez_hub.errors import UsageProblem
from ggez_hub.families import Family, detect_family
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.registry.contribution.training_metadata import REPO

if TYPE_CHECKING:
    from ggez_hub.evaluation.answers.cache import AnswerCache
    from ggez_hub.evaluation.answers.meeting import Meeting
    from ggez_hub.evaluation.models import ModelUnderTest
    from ggez_hub.evaluation.models.backend import EvaluationBackend
    from ggez_hub.evaluation.models.judge_model import JudgeModel
    from ggez_hub.evaluation.models.model_under_test import StoredModel
    from ggez_hub.evaluation.results.header import Place
    from ggez_hub.evaluation.sweep.recipe import TrainedOn
    from ggez_hub.merging.betas_by_part import BetasByPart
    from ggez_hub.parity.betas import Beta


cache_option = click.option(
    "--cache/--no-cache",
    "cached",
    default=True,
    help="Answers are kept in the user's cache, and none is computed twice.",
)


class LocalModel(NamedTuple):
    """A model or an adapter on this machine, and the repository that it was fetched from, if any."""

    path: Path
    repo: str | None = None
    revision: str | None = None

    def place(self, results: Path) -> Place:
        """The place as a results folder records it."""
        from ggez_hub.evaluation.results.header import InFolder, InRepo

        if self.repo is None or self.revision is None:
            return InFolder.of(self.path, results)
        return InRepo(repo=self.repo, revision=self.revision)


def find_model(named: str, here: Path, hub: Hub) -> LocalModel:
    """A local folder, or a repository (`org/name@revision`): its files to load and its card."""
    from ggez_hub.cards.readme import MAX_CARD_BYTES
    from ggez_hub.evaluation.results.evidence import CARD
    from ggez_hub.registry.file_checks import model_files

    folder = here / named
    if folder.is_dir():
        return LocalModel(folder)
    repo, _, revision = named.partition("@")
    if not REPO.match(repo):
        raise UsageProblem(
            f"{named!r} is neither a folder in {here.absolute()} nor a repository",
            "Name a folder, or a repository as org/name[@revision].",
        )
    at = hub.at_commit(repo, revision or "main")
    note_unexpected(at, revision)
    files = [pinned.as_hub_file() for pinned in model_files(at)]
    card = at.file(CARD)
    if card is not None and card.size <= MAX_CARD_BYTES:
        files.append(card)
    return LocalModel(hub.fetch(at.repo, at.revision, files), at.repo, at.revision)


def note_unexpected(at: RepoAtCommit, asked: str) -> None:
    """Print on stderr how what a branch is now differs from recipes/expected.yaml.

    asked: the revision that was asked for; whoever names a commit means it
    """
    expected = expected_models().get(at.repo)
    if expected is None or asked not in {"", "main"}:
        return
    context = click.get_current_context(silent=True)
    out = Output(quiet=context is not None and context.meta.get(QUIET, False))
    listed = {file.path: ListedFile(file.size, file.sha256) for file in at.files}
    for text in differences(expected, at.repo, at.revision, listed):
        out.note(f"note: {text}")


def find_adapter(named: str, here: Path, hub: Hub) -> LocalModel:
    """A local folder or file with an adapter, or the files of a repository."""
    file = here / named
    return LocalModel(file) if file.is_file() else find_model(named, here, hub)


def card_of(folder: Path) -> AdapterCard | None:
    """The adapter card in a folder, if there is one."""
    from ggez_hub.evaluation.results.evidence import CARD

    try:
        return read_card(folder / CARD).card
    except (OSError, BadCard):
        return None


def trained_on(folder: Path) -> list[str] | Literal["unknown"]:
    """The data sets that the card in a folder names."""
    from ggez_hub.evaluation.results.evidence import data_of

    card = card_of(folder)
    return data_of(card) if card else "unknown"


class NamedModel(NamedTuple):
    """A model with what it was trained on, and where it and its adapters were found.

    `stored` is what is on this machine of it; None for an endpoint.
    """

    subject: ModelUnderTest
    trained_on: TrainedOn
    place: Place
    adapters: tuple[Place, ...] = ()
    stored: StoredModel | None = None


@dataclass(frozen=True)
class ModelProvider:
    """Where models come from, and where their answers are kept.

    target        the results folder, in which the pictures are kept that a model draws
    cached        whether answers are kept in the user's cache
    key_variable, parallel   how an endpoint is asked
    meeting       where the answers of this process meet those of others, if there are others
    """

    hub: Hub
    target: Path
    cached: bool
    key_variable: str | None = None
    parallel: int = 8
    meeting: Meeting | None = None

    def model(
        self, named: str, adapter: str | None, beta: float | None, judge: JudgeModel | None = None
    ) -> NamedModel:
        """Open a model by its name; raises UsageProblem, and what finding it raises."""
        from ggez_hub.evaluation.models import Adapted, model_in
        from ggez_hub.evaluation.models.endpoint_model import is_address, model_at
        from ggez_hub.evaluation.models.model_under_test import StoredModel
        from ggez_hub.evaluation.results.header import AtAddress

        if is_address(named):
            if adapter is not None or judge is not None:
                raise UsageProblem("an endpoint takes no adapter, and draws nothing to be judged")
            subject = model_at(named, self.key_variable, self.parallel)
            return NamedModel(subject, "unknown", AtAddress(address=named))
        base = find_model(named, Path(), self.hub)
        adapted, on = None, None
        if adapter is not None and beta is not None:
            on = find_adapter(adapter, Path(), self.hub)
            adapted = Adapted(on.path, beta)
        family = detect_family(base.path)
        return NamedModel(
            model_in(base.path, family, self.backend(family, judge), adapted),
            trained_on(on.path if on else base.path),
            base.place(self.target),
            (on.place(self.target),) if on else (),
            StoredModel(base.path, (on.path,) if on else (), family),
        )

    def at_betas(
        self,
        named: str,
        adapters: Sequence[str],
        betas: Sequence[Beta],
        judge: JudgeModel | None,
        parts: BetasByPart | None = None,
    ) -> tuple[ModelUnderTest, ...]:
        """Open a model at each of some betas; raises as `model` does."""
        from ggez_hub.evaluation.models import grid_on
        from ggez_hub.evaluation.models.model_under_test import StoredModel
        from ggez_hub.parity.betas import single

        if len(betas) == 1 and len(adapters) < 2 and parts is None:
            # As `eval` opens it: with the adapter on it while it is loaded.
            adapter, beta = (adapters[0], single(betas[0])) if adapters else (None, None)
            return (self.model(named, adapter, beta, judge).subject,)
        base = find_model(named, Path(), self.hub).path
        on = tuple(find_adapter(adapter, Path(), self.hub).path for adapter in adapters)
        family = detect_family(base)
        return grid_on(StoredModel(base, on, family, parts), betas, self.backend(family, judge))

    def backend(self, family: Family, judge: JudgeModel | None) -> EvaluationBackend:
        """How models of a family are asked; raises UsageProblem."""
        from ggez_hub.evaluation.models.backend import find_backend
        from ggez_hub.evaluation.sweep.tasks import PICTURES

        return find_backend(family, self.target / PICTURES, judge)

    def judge(self, named: str) -> tuple[JudgeModel, Place]:
        """Open a judge by its name; returns also where it was found. A folder is called by its last name."""
        from ggez_hub.evaluation.models.judge_model import JudgeModel
        from ggez_hub.evaluation.sweep.run import WORK

        found = self.model(named, None, None)
        name = Path(named).resolve().name if Path(named).is_dir() else named.rpartition("#")[2]
        judge = JudgeModel(name, found.subject, lambda judge: self.known(judge, self.target / WORK))
        return judge, found.place

    def known(self, model: ModelUnderTest, work: Path) -> AnswerCache:
        """The answers of a model in the user's cache, by the versions of the libraries installed here.

        Of a model whose weights are not known, those of this run only.
        """
        from ggez_hub.evaluation.answers.cache import AnswerCache
        from ggez_hub.evaluation.answers.meeting import MetAnswers
        from ggez_hub.evaluation.models.backend import kept_answers

        kept = kept_answers(model) if self.cached and model.shared else None
        if self.meeting is not None:
            return MetAnswers(self.meeting, kept or AnswerCache())
        if self.cached and kept is None:
            return AnswerCache(work / f"{model.digest}.sqlite")
        return kept or AnswerCache()
