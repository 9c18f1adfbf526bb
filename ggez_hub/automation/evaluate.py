"""Evaluate a contribution: sweep it with the registry's own tasks, gate it, write what came out.

The adapter and its base are data: they are fetched at their commits, checked, and measured by this
program. Nothing is published here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ggez_hub.automation.rules import ProposedCard
from ggez_hub.cards import AdapterCard, CardDocument, render_card
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.curve import curve_of
from ggez_hub.evaluation.evidence import Evidence, data_of
from ggez_hub.evaluation.gates import Gate, gates, overall, read_limits
from ggez_hub.evaluation.grid import Progress
from ggez_hub.evaluation.held_out import Compared, held_out
from ggez_hub.evaluation.identity import Model
from ggez_hub.evaluation.prepared import prepare_tasks, tasks_for
from ggez_hub.evaluation.subjects import grid_on
from ggez_hub.evaluation.sweep import sweep
from ggez_hub.evaluation.task import Task, load_tasks
from ggez_hub.families import get_family
from ggez_hub.hub import Hub
from ggez_hub.recipe_file import read_recipe
from ggez_hub.regions import find_region
from ggez_hub.registry.resolving.vetting import vet_adapter, vet_base
from ggez_hub.resources import recipes

CARD = "card.md"
RECIPE = "evaluation.yaml"


class NoTasks(GgezError):
    """The registry has no tasks by which it could measure an adapter."""


class Suite(BaseModel):
    """What the adapters of a family are asked: a folder of tasks below recipes/, and the betas."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: str
    betas: list[float] = Field(min_length=2)


class EvaluationRecipe(BaseModel):
    """recipes/evaluation.yaml: a suite for each family that can be measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    suites: Mapping[str, Suite]


@dataclass(frozen=True, eq=False)
class Evaluated:
    """A measured card: the evidence, the gates on it, and the card with the registry's curve."""

    path: str
    evidence: Evidence
    compared: Compared
    gates: tuple[Gate, ...]
    document: CardDocument

    @property
    def outcome(self) -> str:
        """pass, undetermined or fail."""
        return overall(self.gates)


def suite_of(card: AdapterCard) -> tuple[Suite, tuple[Task, ...]]:
    """The betas and tasks by which the registry measures `card`; raises NoTasks."""
    recipe = read_recipe(recipes() / RECIPE, "evaluation", EvaluationRecipe)
    suite = recipe.suites.get(card.family)
    if suite is None:
        raise NoTasks(
            f"the registry has no tasks for the family {card.family}",
            f"Add a suite to recipes/{RECIPE}; until then the adapter stays {card.level}.",
        )
    return suite, tasks_for(load_tasks(recipes() / suite.tasks), find_region(card.region))


def evaluate(
    proposed: ProposedCard,
    hub: Hub,
    out: Path,
    *,
    evaluator: str,
    progress: Progress | None = None,
) -> Evaluated:
    """Measure a proposed card into the folder `out`, which may hold a part of it already.

    Raises NoTasks, NotFit, Leaked, and what measuring raises.
    """
    card = proposed.document.card
    suite, tasks = suite_of(card)
    region = find_region(card.region)
    model, data = _fetched(card, tasks, hub)
    evidence = sweep(
        grid_on(model, sorted({0.0, *suite.betas})),
        prepare_tasks(tasks, data),
        region,
        card.alpha,
        out,
        trained_on=data_of(card),
        measured_by="registry",
        evaluator=evaluator,
        progress=progress,
    )
    return judge(proposed, evidence, out)


def judge(proposed: ProposedCard, evidence: Evidence, out: Path) -> Evaluated:
    """Gate what was measured of a card, and write the card with the curve into `out`.

    alpha is the card's own: another one needs no new measurement.
    """
    header = evidence.header.model_copy(update={"alpha": proposed.document.card.alpha})
    evidence = replace(evidence, header=header)
    compared = held_out(evidence)
    found = gates(compared, evidence, read_limits(None))
    document = measured(proposed.document, evidence)
    (out / CARD).write_text(render_card(document), encoding="utf-8")
    return Evaluated(proposed.path, evidence, compared, found, document)


def measured(document: CardDocument, evidence: Evidence) -> CardDocument:
    """The card with the registry's curve; what its author claims of it stays beside it."""
    card = document.card
    curve = {beta: dict(rows) for beta, rows in curve_of(evidence).items()}
    if card.curve != "unknown":
        for beta, rows in card.curve.items():
            claims = {key: row for key, row in rows.items() if row.measured_by == "self"}
            # A row of the registry takes the place of a claim about the same task and split.
            curve[beta] = claims | curve.get(beta, {})
    level = "measured" if card.level == "declared" else card.level
    changed = card.model_copy(update={"curve": curve, "level": level})
    return CardDocument(changed, document.front_matter, document.prose)


def _fetched(card: AdapterCard, tasks: tuple[Task, ...], hub: Hub) -> tuple[Model, Path]:
    location = card.adapter
    assert location is not None  # noqa: S101 - check_card has asked for it
    adapter = hub.at_commit(location.repo, location.revision)
    base = hub.at_commit(card.base.repo, card.base.revision)
    adapter_files = [f.as_hub_file() for f in vet_adapter(adapter, card, hub)]
    base_files = [f.as_hub_file() for f in vet_base(base, card, hub)]
    dataset = tasks[0].dataset
    data = hub.at_commit(dataset.repo, dataset.revision, "dataset")
    wanted = {path for task in tasks for path in task.splits.values()}
    splits = [file for file in data.files if file.path in wanted]
    model = Model(
        hub.fetch(base.repo, base.revision, base_files),
        (hub.fetch(adapter.repo, adapter.revision, adapter_files),),
        get_family(card.family),
    )
    return model, hub.fetch(data.repo, data.revision, splits, "dataset")
