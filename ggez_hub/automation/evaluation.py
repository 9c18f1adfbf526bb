"""Evaluate a contribution: measure it by the registry's own tasks, gate it, write card and comment.

The adapter and its base are data: they are fetched at their commits and measured by this program.
Nothing is published here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ggez_hub.automation.card_sources import adapter_of, base_of, location_of
from ggez_hub.automation.contribution_rules import ProposedCard
from ggez_hub.automation.suite import RECIPE, betas_of, closed_rule, safety_of, suite_of
from ggez_hub.automation.suite_models import methods_of, open_judge, pictures_of
from ggez_hub.cards import CardDocument, parse_card, render_card
from ggez_hub.cards.curve import with_measured
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.answers.meeting import Meeting, MetAnswers
from ggez_hub.evaluation.benchmarks.preparation import require_both_sides
from ggez_hub.evaluation.gates.outcome import GateReport, gate_report, read_limits
from ggez_hub.evaluation.models import ModelUnderTest, grid_on
from ggez_hub.evaluation.models.backend import find_backend
from ggez_hub.evaluation.models.judge_model import with_judge
from ggez_hub.evaluation.models.model_under_test import StoredModel, decisive_files
from ggez_hub.evaluation.results.baselines import card_baselines
from ggez_hub.evaluation.results.closed_part import Closing
from ggez_hub.evaluation.results.evidence import RESULTS, Evidence, data_of, held_out_of
from ggez_hub.evaluation.results.figures import figures
from ggez_hub.evaluation.results.header import AdapterRecord
from ggez_hub.evaluation.results.measured_curve import curve_of
from ggez_hub.evaluation.sweep.run import Progress, sweep, work_folder
from ggez_hub.evaluation.sweep.tasks import PICTURES, Points, answer_tasks
from ggez_hub.execution import Engine
from ggez_hub.families import get_family
from ggez_hub.hub import Hub
from ggez_hub.hub_connection import connect
from ggez_hub.parity.betas import Beta, beta_key
from ggez_hub.quantities import figure_text
from ggez_hub.regions import Region, find_region
from ggez_hub.registry.task_data import TaskData

CARD = "card.md"


@dataclass(frozen=True, eq=False)
class Evaluated:
    """A measured card: the evidence, the gates on it, and the card with the registry's curve."""

    path: str
    evidence: Evidence
    report: GateReport
    document: CardDocument

    @property
    def outcome(self) -> str:
        return self.report.outcome


class OpenedCard(NamedTuple):
    """What a card is measured by; `adapter` is its folder."""

    points: Points
    region: Region
    adapter: Path
    closing: Closing | None


@dataclass(frozen=True)
class AskedCard:
    """A card that is measured, as every process opens it; `hub` is what `--hub` says."""

    card: str
    hub: str
    out: Path
    keep: Path | None

    @property
    def inputs(self) -> tuple[Path, ...]:
        """None: a card names what is on a hub."""
        return ()

    def open(self, meeting: Meeting) -> list[Points]:
        document = parse_card(self.card)
        with connect(self.hub, quiet=True) as hub:
            found = _opened(
                document, hub, self.out, self.keep, lambda _: MetAnswers(meeting, AnswerCache())
            )
        return [found.points]


class Division(NamedTuple):
    """Where the questions of a card are answered, in how many shards; `hub` is what `--hub` says."""

    engine: Engine
    shards: int | None
    hub: str


def evaluate(
    proposed: ProposedCard,
    hub: Hub,
    out: Path,
    *,
    evaluator: str,
    keep: Path | None = None,
    progress: Progress | None = None,
    division: Division | None = None,
) -> Evaluated:
    """Measure a proposed card into the folder `out`, which may hold a part of it already.

    Where the registry closes a part of the test side, its answers go to the folder `keep`, which is
    then needed and must not be published. Raises NotFit, GateFailed for leaked data, UsageProblem,
    GgezError without tasks, and what measuring raises.
    """
    card, location = proposed.document.card, location_of(proposed.document.card)
    opened = _opened(proposed.document, hub, out, keep, lambda _: AnswerCache())
    points, name = opened.points, f"{location.repo}@{location.revision}"
    asked = AskedCard(
        render_card(proposed.document),
        division.hub if division else "",
        out.absolute(),
        keep and keep.absolute(),
    )
    place = (opened.closing.keep if opened.closing else out).absolute()
    on_engine = (
        answer_tasks(division.engine, asked, division.shards, place, [points])
        if division
        else nullcontext()
    )
    with on_engine as tasks:
        evidence = sweep(
            points.models,
            points.tasks,
            opened.region,
            card.alpha,
            out,
            adapters=(AdapterRecord.of(name, decisive_files(opened.adapter), card),),
            trained_on=data_of(card),
            held_out=held_out_of(card),
            measured_by="registry",
            evaluator=evaluator,
            policy=card.policy,
            closing=opened.closing,
            progress=progress,
            before=partial(tasks.answer, 0, points) if tasks else None,
        )
    return judge(proposed, evidence, out)


def _opened(
    document: CardDocument,
    hub: Hub,
    out: Path,
    keep: Path | None,
    known: Callable[[ModelUnderTest], AnswerCache],
) -> OpenedCard:
    card = document.card
    suite, tasks = suite_of(card)
    closing = _closing(keep, out)
    place = closing.keep if closing else out
    region, family = find_region(card.region), get_family(card.family)
    base, folder = base_of(card, hub), adapter_of(card, hub).fetch(hub)
    drawing_judge = open_judge(suite, hub, known)
    backend = find_backend(family, place / PICTURES, drawing_judge)
    data = TaskData(hub, pictures=pictures_of(suite, hub), methods=methods_of(suite, family))
    prepared, _ = data.prepare([*tasks, *safety_of(card)], region)
    require_both_sides((task.record.side for task in prepared), region)
    model = StoredModel(base.fetch(hub), (folder,), family)
    models = grid_on(model, betas_of(suite, card), backend)
    asked = with_judge(prepared, drawing_judge, backend.methods)
    points = Points(models, asked, work_folder(models, asked, region, place), known)
    return OpenedCard(points, region, folder, closing)


def judge(proposed: ProposedCard, evidence: Evidence, out: Path) -> Evaluated:
    """Gate the evidence of a card, and write the card with the curve into `out`.

    alpha and the policy are the card's own: a change of them needs no new measurement.
    """
    card = proposed.document.card
    changed = {"alpha": card.alpha, "policy": card.policy}
    evidence = replace(evidence, header=evidence.header.model_copy(update=changed))
    report = gate_report(evidence, read_limits(None))
    document = measured(proposed.document, evidence, report.beta)
    (out / CARD).write_text(render_card(document), encoding="utf-8")
    return Evaluated(proposed.path, evidence, report, document)


def measured(document: CardDocument, evidence: Evidence, beta: Beta | None) -> CardDocument:
    """The card with the registry's curve and, where a beta was chosen, the baselines of its merge.

    The author's own rows stay beside it.
    """
    card = document.card
    found = with_measured(card.measured, curve_of(evidence))
    curve = {beta: dict(rows) for beta, rows in found.rows.items()}
    level = "measured" if card.level == "declared" else card.level
    beside = None if beta is None else card_baselines(evidence, beta, "registry")
    changed = card.model_copy(
        update={
            "curve": curve,
            "parity": found.parity,
            "level": level,
            "baselines": beside,
            "closed": evidence.header.closed,
        }
    )
    return CardDocument(changed, document.front_matter, document.prose)


def _closing(keep: Path | None, out: Path) -> Closing | None:
    """The closed part and the folder of its answers; raises UsageProblem if that is not apart from `out`."""
    rule = closed_rule()
    if rule is None:
        return None
    if keep is None:
        raise UsageProblem(
            f"recipes/{RECIPE} closes a part of the test side, and no folder keeps its answers",
            "Give a folder that is not published with --keep.",
        )
    if keep.resolve().is_relative_to(out.resolve()) or out.resolve().is_relative_to(keep.resolve()):
        raise UsageProblem(
            f"one of {keep} and {out} is inside the other: closed answers would be among those published",
            "Give another folder with --keep.",
        )
    return Closing(rule, keep)


SUMMARIES = {
    "pass": "The improvement is proven on this registry's tasks. A maintainer decides.",
    "undetermined": "The tasks cannot decide: it would be published as **unproven**.",
    "fail": "A gate is not passed: it is **not** published.",
}


def comment(found: Evaluated, head: str) -> str:
    """The comment under a pull request: the parity table and the gates, as markdown."""
    card = found.document.card
    parts = [
        f"**Evaluation of `{found.path}` at `{head[:12]}`: {found.outcome}.** {SUMMARIES[found.outcome]}",
        _table(found),
        "\n".join(
            f"- {gate.name}: **{gate.verdict}**. {gate.reason[0].upper()}{gate.reason[1:]}."
            for gate in found.report.gates
        ),
        "\n".join(f"- {line}" for line in found.report.lines()),
        f"alpha {card.alpha.value:.5f} ({card.alpha.series}, KOF release {card.alpha.release}). "
        f"`{RESULTS}` and the predictions are attached to the run: `ggez-hub verify` recomputes "
        "every figure from them.",
    ]
    return "\n\n".join(parts) + "\n"


def _table(found: Evaluated) -> str:
    parity = figures(found.evidence)["parity"].get("test") or {}
    if not parity.get("points"):
        return f"No parity: {parity.get('reason', 'no test items')}."
    report = found.report
    chosen = None if report.beta is None else beta_key(report.beta)
    rows = [
        f"| {beta}{' (chosen)' if beta == chosen else ''} | "
        + " | ".join(
            figure_text(point[key]) for key in ("q_global", "q_others", "q_regional", "grp")
        )
        + " |"
        for beta, point in parity["points"].items()
    ]
    head = ["| beta | global | others | regional | GRP |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])
