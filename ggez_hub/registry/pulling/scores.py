"""What goes beside a pushed result: its scores as the Hub reads them, and what they rest on."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from ggez_hub.cards.curve import CurveRow, MeasuredCurve
from ggez_hub.cards.hub_scores import FILE, leaderboard_entries
from ggez_hub.evaluation.curve_picture import PICTURE, curve_picture
from ggez_hub.evaluation.known_data import known_data
from ggez_hub.hub import Hub
from ggez_hub.hub.publishing import Content
from ggez_hub.registry.pulling.plan import Plan
from ggez_hub.registry.pulling.result_card import claimed_rows

EVIDENCE = "evidence/"


def scores_beside(planned: Plan, hub: Hub) -> dict[str, Content]:
    """`.eval_results/`, the files with the answers that the scores were computed from, and a picture.

    The picture is of the curve that they are a part of. The answers are those of the adapter's repository at its pinned commit whose sha256 the card
    names. Empty where nothing of the result was measured. Raises what the client raises.
    """
    resolution = planned.resolution
    rows = claimed_rows(resolution, planned.documents, planned.table)
    if not rows:
        return {}
    weight = resolution.adapters[0].weight
    notes = "ggez-hub" if weight is None else f"ggez-hub, beta {weight:g}"
    measured = planned.documents[0].card.measured
    drawn = picture(measured, resolution.alpha.value, resolution.region, weight)
    return entries(rows, notes) | drawn | _answers(rows, planned, hub)


def picture(
    measured: MeasuredCurve | None, alpha: float, region: str, beta: float | None
) -> dict[str, Content]:
    """The picture of a curve, where it shows a trade-off."""
    drawn = curve_picture(measured, alpha, region, beta)
    return {} if drawn is None else {PICTURE: drawn}


def entries(rows: Mapping[str, CurveRow], notes: str) -> dict[str, Content]:
    """The file in `.eval_results/`; none where no task's data set is known."""
    found = leaderboard_entries(rows, known_data(rows), notes)
    return {FILE: yaml.safe_dump(found, sort_keys=False).encode()} if found else {}


def _answers(rows: Mapping[str, CurveRow], planned: Plan, hub: Hub) -> dict[str, Content]:
    source = planned.resolution.adapters[0].source
    wanted = {row.predictions for row in rows.values()}
    listed = hub.at_commit(source.repo, source.revision).files
    files = [f for f in listed if f.path.startswith(EVIDENCE) and f.sha256 in wanted]
    if not files:
        return {}
    folder = hub.fetch(source.repo, source.revision, files)
    return {file.path: folder / file.path for file in files}
