"""What is said under a pull request after an evaluation: the parity table and the gates."""

from __future__ import annotations

from typing import Any

from ggez_hub.automation.evaluate import Evaluated
from ggez_hub.evaluation.evidence import RESULTS
from ggez_hub.evaluation.results import figures
from ggez_hub.parity.betas import beta_key

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
