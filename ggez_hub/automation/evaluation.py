"""Evaluate a contribution: sweep it with the registry's own tasks, gate it, write what came out.

The adapter and its base are data: they are fetched at their commits, checked, and measured by this
program. Nothing is published here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ggez_hub.automation.contribution_rules import ProposedCard
from ggez_hub.automation.suite import RECIPE, SuiteData, closed_rule, suite_of
from ggez_hub.cards import AdapterCard, CardDocument, render_card
from ggez_hub.cards.curve import with_measured
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.gates.outcome import GateReport, gate_report, read_limits
from ggez_hub.evaluation.models import grid_on
from ggez_hub.evaluation.models.backend import (
    EvaluationBackend,
    drawing_backend,
    find_backend,
)
from ggez_hub.evaluation.models.model_digest import StoredModel, decisive_files
from ggez_hub.evaluation.results.baselines import card_baselines
from ggez_hub.evaluation.results.closed_part import Closing
from ggez_hub.evaluation.results.evidence import RESULTS, Evidence, data_of
from ggez_hub.evaluation.results.figures import figures
from ggez_hub.evaluation.results.header import AdapterRecord
from ggez_hub.evaluation.results.measured_curve import curve_of
from ggez_hub.evaluation.sweep.grid import Progress
from ggez_hub.evaluation.sweep.run import sweep
from ggez_hub.families import Family, get_family
from ggez_hub.hub import Hub
from ggez_hub.parity.betas import Beta, beta_key
from ggez_hub.regions import find_region
from ggez_hub.registry.file_checks import vet_adapter, vet_base

CARD = "card.md"
PICTURES = "pictures"


@dataclass(frozen=True, eq=False)
class Evaluated:
    """A measured card: the evidence, the gates on it, and the card with the registry's curve."""

    path: str
    evidence: Evidence
    report: GateReport
    document: CardDocument

    @property
    def outcome(self) -> str:
        """pass, undetermined or fail."""
        return self.report.outcome


def evaluate(
    proposed: ProposedCard,
    hub: Hub,
    out: Path,
    *,
    evaluator: str,
    keep: Path | None = None,
    progress: Progress | None = None,
) -> Evaluated:
    """Measure a proposed card into the folder `out`, which may hold a part of it already.

    Where the registry closes a part of the test side, its answers go to the folder `keep`, which has to
    be given and is not to be published. Raises NoTasks, NotFit, GateFailed, UsageProblem, and what
    measuring raises.
    """
    card = proposed.document.card
    suite, tasks = suite_of(card)
    closing = _closing(keep, out)
    region = find_region(card.region)
    model = _fetched(card, hub)
    evidence = sweep(
        grid_on(
            model,
            sorted({0.0, *suite.betas}),
            _way(model.family, out if closing is None else closing.keep),
        ),
        SuiteData.of(tasks, hub).prepare(),
        region,
        card.alpha,
        out,
        adapters=(_recorded(card, model),),
        trained_on=data_of(card),
        measured_by="registry",
        evaluator=evaluator,
        policy=card.policy,
        closing=closing,
        progress=progress,
    )
    return judge(proposed, evidence, out)


def judge(proposed: ProposedCard, evidence: Evidence, out: Path) -> Evaluated:
    """Gate what was measured of a card, and write the card with the curve into `out`.

    alpha and the policy are the card's own: others need no new measurement.
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

    What its author claims of the curve stays beside it.
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
    """What is closed, and where its answers go; raises UsageProblem where that is not a folder apart."""
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


def _way(family: Family, folder: Path) -> EvaluationBackend:
    """How models of a family are asked; what is drawn is kept in `folder`."""
    if family.generates == "pictures":
        return drawing_backend(family, None, folder / PICTURES)
    return find_backend(family)


def _recorded(card: AdapterCard, model: StoredModel) -> AdapterRecord:
    """The adapter as results name it."""
    location, (folder,) = card.adapter, model.adapters
    assert location is not None  # noqa: S101 - check_card has asked for it
    name = f"{location.repo}@{location.revision}"
    return AdapterRecord.of(name, decisive_files(folder), card)


def _fetched(card: AdapterCard, hub: Hub) -> StoredModel:
    location = card.adapter
    assert location is not None  # noqa: S101 - check_card has asked for it
    adapter = hub.at_commit(location.repo, location.revision)
    base = hub.at_commit(card.base.repo, card.base.revision)
    adapter_files = [f.as_hub_file() for f in vet_adapter(adapter, card, hub)]
    base_files = [f.as_hub_file() for f in vet_base(base, card, hub)]
    return StoredModel(
        hub.fetch(base.repo, base.revision, base_files),
        (hub.fetch(adapter.repo, adapter.revision, adapter_files),),
        get_family(card.family),
    )


SAID = {
    "pass": "The improvement is proven on this registry's tasks. A maintainer decides.",
    "undetermined": "The tasks cannot decide: it would be published as **unproven**.",
    "fail": "A gate is not passed: it is **not** published.",
}


def comment(found: Evaluated, head: str) -> str:
    """Markdown of a screen's length; figures come from the results alone."""
    card = found.document.card
    parts = [
        f"**Evaluation of `{found.path}` at `{head[:12]}`: {found.outcome}.** {SAID[found.outcome]}",
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
        + " | ".join(_shown(point[key]) for key in ("q_global", "q_others", "q_regional", "grp"))
        + " |"
        for beta, point in parity["points"].items()
    ]
    head = ["| beta | global | others | regional | GRP |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def _shown(value: dict[str, Any] | None) -> str:
    if value is None:
        return "-"
    low, high = value["interval"]
    return f"{value['value']:.2f} [{low:.2f}, {high:.2f}]"
