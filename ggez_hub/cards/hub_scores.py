"""The scores of a curve in the Hub's own terms: `model-index`, and `.eval_results/*.yaml`.

Both are made by huggingface_hub's own classes. Only the test side is claimed; the select side had a
part in choosing beta.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from huggingface_hub import EvalResult, EvalResultEntry, eval_result_entries_to_yaml
from huggingface_hub.repocard_data import eval_results_to_model_index

from ggez_hub.cards.curve import CurveRow

FILE = ".eval_results/ggez-hub.yaml"
# An adapter that is loaded as it is.
AS_IS = "1"


class Data(NamedTuple):
    """A data set of the Hub, and its commit where that is pinned."""

    repo: str
    revision: str | None


def claimed(curve: Mapping[str, Mapping[str, CurveRow]], beta: str) -> dict[str, CurveRow]:
    """Task -> the row of the test side at a beta; those that the registry measured, if it did."""
    rows = {
        key.rpartition("/")[0] or key: row
        for key, row in curve.get(beta, {}).items()
        if row.split == "test"
    }
    measured = {name: row for name, row in rows.items() if row.measured_by == "registry"}
    return dict(sorted((measured or rows).items()))


def model_index(
    name: str, rows: Mapping[str, CurveRow], pipeline: str | None, data: Mapping[str, Data]
) -> list[dict[str, Any]]:
    """The `model-index` of a model card. `data` says of tasks which data set they ask about.

    A task whose data set is not known stands there under its own name.
    """
    results = [
        EvalResult(
            task_type=pipeline or "other",
            dataset_type=data[task].repo if task in data else task,
            # The class puts all results on one split of a data set together, under one name.
            dataset_name=data[task].repo if task in data else task,
            dataset_split=row.split,
            dataset_revision=data[task].revision if task in data else None,
            metric_type=row.metric,
            metric_name=f"{task}, {row.scale}, {row.side} side",
            metric_value=row.score,
            metric_args={
                "n": row.n,
                "standard_error": row.se,
                "chance": row.floor,
                "measured_by": row.measured_by,
            },
        )
        for task, row in rows.items()
    ]
    return eval_results_to_model_index(name, results) if results else []


def leaderboard_entries(
    rows: Mapping[str, CurveRow], data: Mapping[str, Data], notes: str
) -> list[dict[str, Any]]:
    """The content of `.eval_results/*.yaml`: an entry for each task whose data set is known."""
    return eval_result_entries_to_yaml(
        [
            EvalResultEntry(
                dataset_id=data[task].repo,
                task_id=task,
                value=row.score,
                dataset_revision=data[task].revision,
                notes=f"{notes}; {row.scale}, n {row.n}, standard error {row.se:.4g}, chance "
                f"{row.floor:.4g}, measured by {row.measured_by}",
            )
            for task, row in rows.items()
            if task in data
        ]
    )
