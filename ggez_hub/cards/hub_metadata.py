"""The Hub's own keys of a card and its scores in the Hub's formats, by huggingface_hub's classes.

Only scores of the test side are given: the validation side had a part in choosing beta.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ggez_hub.cards.curve import CurveRow
from ggez_hub.cards.safety import plain_letters, plain_text
from ggez_hub.cards.schema import AdapterCard
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.validation_errors import Problem

TAG = "ggez"
# Of the demo world's cards: their repositories are on the embedded hub alone.
DEMO_TAG = "ggez-demo"
EVAL_RESULTS_FILE = ".eval_results/ggez-hub.yaml"
# The beta of an adapter that is loaded as it is.
AS_IS = "1"
# What the Hub, our tables and the cards of results show; other keys are not checked.
SHOWN = (
    "base_model", "base_model_relation", "library_name", "pipeline_tag", "language", "license",
    "license_name", "license_link", "datasets", "tags",
)  # fmt: skip
NAMES = ("base_model", "datasets")

# The class keeps only what it knows of these: they are left as they are.
KEPT = ("model-index", "eval_results", "model_name")

# How an adapter of each kind relates to its base, in the Hub's words.
RELATION = {"lora": "adapter", "task_vector": "adapter", "finetune": "finetune", "merged": "merge"}


def hub_tags(card: AdapterCard) -> list[str]:
    """The tags by which the Hub finds an adapter."""
    return [TAG, f"ggez-region:{card.region}", f"ggez-family:{card.family}"]


def as_the_hub_reads(front_matter: dict[str, Any]) -> dict[str, Any]:
    """Front matter as ModelCardData gives it back, in its own order; raises ValueError.

    What the class refuses would be refused on upload, and breaks every program that loads the
    card with it.
    """
    # The client of the Hub comes with it, which takes longer to load than a card to read.
    from huggingface_hub import ModelCardData

    try:
        data: dict[str, Any] = ModelCardData(**front_matter).to_dict()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"the Hub's card class refuses the front matter: {error}") from error
    return {
        key: value if key in KEPT else data.get(key, value) for key, value in front_matter.items()
    }


def with_hub_keys(card: AdapterCard, front_matter: dict[str, Any]) -> dict[str, Any]:
    """Front matter with the keys that follow from the card; existing values stay."""
    derived: dict[str, Any] = {
        "base_model": card.base.repo,
        "base_model_relation": RELATION[card.kind],
        "language": None if card.languages == UNKNOWN else list(card.languages),
    }
    known = {key: value for key, value in derived.items() if value}
    filled = {**known, **{k: v for k, v in front_matter.items() if v is not None}}
    tags = filled.get("tags") or []
    tags = [tags] if isinstance(tags, str) else list(tags)
    filled["tags"] = [*tags, *(tag for tag in hub_tags(card) if tag not in tags)]
    return as_the_hub_reads(filled)


def hub_key_problems(card: AdapterCard, front_matter: dict[str, Any]) -> Iterator[Problem]:
    """What is wrong in the Hub's keys."""
    for key in SHOWN:
        for value in _strings(front_matter.get(key)):
            try:
                plain_text(value)
                if key in NAMES:
                    plain_letters(value)
            except ValueError as error:
                yield Problem((key,), str(error))
    base = front_matter.get("base_model")
    if base is not None and card.base.repo not in _strings(base):
        text = f"is {base!r}, but ggez.base.repo is {card.base.repo!r}: write the same"
        yield Problem(("base_model",), text)


def _strings(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, str)]


class HubDataset(NamedTuple):
    """A data set of the Hub, and its commit where that is pinned."""

    repo: str
    revision: str | None


def claimed_scores(curve: Mapping[str, Mapping[str, CurveRow]], beta: str) -> dict[str, CurveRow]:
    """Task -> the row of the test side at a beta; those that the registry measured, if it did."""
    rows = {
        key.rpartition("/")[0] or key: row
        for key, row in curve.get(beta, {}).items()
        if row.split == "test"
    }
    measured = {name: row for name, row in rows.items() if row.measured_by == "registry"}
    return dict(sorted((measured or rows).items()))


def model_index(
    name: str, rows: Mapping[str, CurveRow], pipeline: str | None, data: Mapping[str, HubDataset]
) -> list[dict[str, Any]]:
    """The `model-index` of a model card; `data` has the data sets of tasks, where they are known."""
    from huggingface_hub import EvalResult
    from huggingface_hub.repocard_data import eval_results_to_model_index

    results = [
        EvalResult(
            task_type=pipeline or "other",
            dataset_type=dataset.repo,
            # The class puts all results on one split of a data set together, under one name.
            dataset_name=dataset.repo,
            dataset_split=row.split,
            dataset_revision=dataset.revision,
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
        for dataset in (data.get(task, HubDataset(task, None)),)
    ]
    return eval_results_to_model_index(name, results) if results else []


def leaderboard_entries(
    rows: Mapping[str, CurveRow], data: Mapping[str, HubDataset], notes: str
) -> list[dict[str, Any]]:
    """The content of `.eval_results/*.yaml`: an entry for each task whose data set is known."""
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

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
