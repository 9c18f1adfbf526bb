"""What is recorded of a question beside its answer, so that others can tell what was asked."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from ggez_hub.evaluation.items import Items
from ggez_hub.evaluation.outcomes import Details
from ggez_hub.evaluation.questions import Questions
from ggez_hub.evaluation.task import Task
from ggez_hub.regions import find_region
from ggez_hub.weights import digest_json


def recorded(task: Task, items: Items, questions: Questions) -> Questions:
    """The questions with their details: picture, prompt, country, language, category.

    The prompt of a model of embeddings is the text that it is asked to find, or the texts that it
    may choose from; their order is that of the options.
    """
    row_of = {item: row for row, item in enumerate(items.ids)}
    rows = [row_of[item] for item in questions.items]
    hashes = [hashlib.sha256(picture).hexdigest() for picture in items.pictures]
    country = _country(task)
    n = len(rows)
    return replace(
        questions,
        details=Details.of(
            n,
            images=[hashes[row] for row in rows],
            prompts=_prompts(questions),
            countries=[country] * n,
            languages=[task.language] * n,
            categories=[items.groups[row] for row in rows] if items.groups else [None] * n,
        ),
    )


def _prompts(questions: Questions) -> list[str]:
    if questions.asked_by == "text":
        return [digest_json(questions.texts[query]) for query in questions.queries]
    k = questions.options.shape[1]
    if k == len(questions.texts):
        # Everything is a candidate: one prompt for all.
        return [digest_json(list(questions.texts))] * len(questions.items)
    return [digest_json([questions.texts[o] for o in options]) for options in questions.options]


def _country(task: Task) -> str | None:
    """The one country whose items these are, if it is one."""
    regions = [find_region(region) for region in task.regions]
    return regions[0].id if len(regions) == 1 and regions[0].is_country else None
