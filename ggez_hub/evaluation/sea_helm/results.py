"""Runs of SEA-HELM as a results folder: answers at one beta after the other.

Every question has the mean of its runs as its credit, and the replies of all runs beside it. A picture's
questions are one cluster, and on one side of the split. Multiple choice averages over the right answers
(balanced accuracy), so that (score - floor) / (100 - floor) * 100 is SEA-HELM's normalised score.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ggez_hub.cards import AdapterCard
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.digests import digest_json
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.outcomes import (
    ANSWERS,
    UNPARSED,
    Cell,
    Details,
    Outcomes,
    TaskRecord,
)
from ggez_hub.evaluation.answers.repeated_answer import RepeatedAnswer
from ggez_hub.evaluation.benchmarks.benchmark import split_of
from ggez_hub.evaluation.benchmarks.loaders.sea_helm import TASKS, language_tag
from ggez_hub.evaluation.models.model_under_test import model_digest
from ggez_hub.evaluation.results.evidence import Evidence, data_of
from ggez_hub.evaluation.results.figures import write_results
from ggez_hub.evaluation.results.header import AdapterRecord
from ggez_hub.evaluation.sea_helm.run_folder import PICTURE
from ggez_hub.evaluation.sea_helm.runs import RunAnswers, SeaHelmRuns
from ggez_hub.evaluation.sea_helm.task_files import PREFIX
from ggez_hub.parity.betas import beta_key
from ggez_hub.regions import find_region

# Not ours: other prompts, and replies that another reader read.
CHOICE_METRIC = "sea_helm_balanced_accuracy"
CAPTION_METRIC = "sea_helm_refclipscore"


def write_run_results(
    points: Mapping[float, SeaHelmRuns], card: AdapterCard, out: Path
) -> Evidence:
    """Write the runs of base + beta * Delta, for each beta of `points`, as a results folder.

    The models are those that the card's base and adapter make at these betas: SEA-HELM does not record
    the weights, so that is the claim of who gives the runs. Raises UsageProblem for a card without
    recorded files, runs without known tasks, or a folder that holds something.
    """
    if out.exists() and any(out.iterdir()):
        raise UsageProblem(f"{out} holds something", "Choose another folder with -o.")
    files, weights = card.files, card.base.weights
    if isinstance(files, str) or isinstance(weights, str):
        raise UsageProblem(
            "the card does not record the sha256s of base and adapter: no model can be named",
            "`ggez-hub card init FOLDER --force` records them.",
        )
    adapter = AdapterRecord.of(
        card.adapter.repo if card.adapter else UNKNOWN,
        {path: file.sha256 for path, file in files.items() if _decides(path)},
        card,
    )
    outcomes: dict[Cell, Outcomes] = {}
    tasks: dict[str, TaskRecord] = {}
    for beta, runs in points.items():
        for answers in runs.answers:
            for name, record, found in _tasks(answers):
                if tasks.setdefault(name, record) != record:
                    raise UsageProblem(
                        f"the runs at beta {beta_key(beta)} asked {name} otherwise than the others",
                        "Evaluate all betas with one version of SEA-HELM, and as many runs.",
                    )
                outcomes |= {Cell(beta, name, split): own for split, own in found.items()}
    if not outcomes:
        raise UsageProblem("the runs answered none of the vision tasks that are known here")
    region = find_region(card.region)
    asked = {name: record for name, record in tasks.items() if _is_asked(record, region.members)}
    header: dict[str, Any] = {
        "region": card.region,
        "alpha": card.alpha,
        "policy": card.policy,
        "tasks": asked,
        "data": data_of(card),
        "evaluator": "SEA-HELM " + ", ".join(sorted({runs.version for runs in points.values()})),
        "adapters": [adapter],
        "models": {beta_key(beta): model_digest(weights, [adapter.files], beta) for beta in points},
    }
    return write_results(
        out, header, {cell: o for cell, o in outcomes.items() if cell.task in asked}
    )


def _decides(path: str) -> bool:
    """Whether a file of an adapter decides its Delta."""
    return path.endswith(
        (".safetensors", ".safetensors.index.json", "adapter_config.json", "task_vector.json")
    )


def _is_asked(record: TaskRecord, members: tuple[str, ...]) -> bool:
    return record.side == "global" or set(record.regions) <= set(members)


def _tasks(answers: RunAnswers) -> list[tuple[str, TaskRecord, dict[str, Outcomes]]]:
    """The task for the world and, where it is about a country, for regions; with answers by split."""
    task = TASKS[answers.name]
    country = task.languages[answers.language]
    name = f"{PREFIX}-{answers.name.replace('_', '-')}-{answers.language}"
    every = _outcomes(answers, country or None)
    splits = np.array([split_of(task.cut, image) for image in every.pictures])
    found = {str(split): every.where(splits == split) for split in np.unique(splits)}
    entry = answers.config.languages[answers.language]
    asked = {"task": answers.name, "language": answers.language, "prompt": entry}
    record = TaskRecord(
        metric=CHOICE_METRIC if answers.is_choice else CAPTION_METRIC,
        judge=str(answers.config.judge.get("judge_model_name", "none")),
        side="global",
        language=language_tag(answers.language),
        dataset=entry.get("filepath", UNKNOWN) if isinstance(entry, dict) else UNKNOWN,
        digests={
            split: digest_json(
                {"sea-helm": asked, "items": list(own.items), "gold": list(own.gold)}
            )
            for split, own in found.items()
        },
        average=ANSWERS if answers.is_choice else "questions",
        runs=len(answers.worth),
    )
    sides = [(name, record, found)]
    if country:
        regional = record.model_copy(update={"side": "regional", "regions": [country]})
        sides.append((f"{name}-regional", regional, found))
    return sides


def _outcomes(answers: RunAnswers, country: str | None) -> Outcomes:
    labels = answers.labels
    credit = np.array(answers.worth).mean(axis=0)
    # A float's mean of ones is one.
    correct = np.all(np.array(answers.worth) == 1, axis=0)
    replies = list(zip(*answers.replies, strict=True))
    worth = list(zip(*answers.worth, strict=True))
    gold = tuple(label or item for label, item in zip(labels, answers.items, strict=True))
    n = len(answers.items)
    chance = 1 / len(set(labels)) if answers.is_choice else 0.0
    return Outcomes(
        items=answers.items,
        gold=gold,
        predicted=tuple(
            right if own else _said(given, right)
            for right, own, given in zip(gold, correct.tolist(), replies, strict=True)
        ),
        rank=np.where(correct, 1, 2).astype(np.int32),
        correct=correct,
        chance=np.full(n, chance),
        details=Details.of(
            n,
            images=[_picture(answers, item, meta) for item, meta in _questions(answers)],
            raw=[
                RepeatedAnswer.of(own, each).as_text()
                for own, each in zip(replies, worth, strict=True)
            ],
            countries=[country] * n,
            languages=[language_tag(answers.language)] * n,
            categories=[_category(meta) for meta in answers.metadata],
        ),
        credit=credit,
    )


def _questions(answers: RunAnswers) -> zip[tuple[str, Mapping[str, Any]]]:
    return zip(answers.items, answers.metadata, strict=True)


def _picture(answers: RunAnswers, item: str, metadata: Mapping[str, Any]) -> str:
    """The sha256 of what SEA-HELM says of a picture: it does not write the picture's own."""
    if PICTURE in metadata:
        return str(metadata[PICTURE])
    task = TASKS[answers.name]
    return hashlib.sha256(f"{task.cut}/{task.picture(item, metadata)}".encode()).hexdigest()


def _category(metadata: Mapping[str, Any]) -> str | None:
    for key in ("category", "prompt_type", "chapter"):
        if metadata.get(key) is not None:
            return str(metadata[key])
    return None


def _said(replies: tuple[str, ...], right: str) -> str:
    """What most runs replied, as the answer that is not right."""
    usual = Counter(replies).most_common(1)[0][0].strip()
    return usual if usual and usual != right else UNPARSED
