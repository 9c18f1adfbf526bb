"""The language of each prompt, by its text alone: what a router sees that switches an adapter on.

It is identified as the filter identifies it (`ggez_hub.regions.text_language`) and stands beside the
answers, in the column `prompt_language`. The text is what a user would send: the question, with its
options where they are shown; the options or the caption that an embedding model is given; the prompt
of a drawing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from ggez_hub.evaluation.answers.outcomes import Cell, Details, Outcomes
from ggez_hub.evaluation.answers.predictions import read_predictions, write_predictions
from ggez_hub.evaluation.benchmarks.preparation import LIKELIHOOD, PreparedTask
from ggez_hub.evaluation.benchmarks.questions import MultipleChoice, QuestionSet
from ggez_hub.extras import require
from ggez_hub.regions.text_language import LOOKED_AT, identify

# (task, split) -> item -> the language of its prompt.
PromptLanguages = Mapping[tuple[str, str], Mapping[str, str]]


def prompt_languages(tasks: Iterable[PreparedTask]) -> PromptLanguages:
    """The languages (BCP 47) of the prompts of tasks; raises MissingExtra without py3langid."""
    require("eval", "py3langid", "fontTools")
    return {
        (task.id, split): {
            item: _language(prompt) for item, prompt in _prompts(asked, task.method).items()
        }
        for task in tasks
        for split, asked in task.asked.items()
    }


def with_prompt_languages(
    outcomes: Mapping[Cell, Outcomes], known: PromptLanguages
) -> dict[Cell, Outcomes]:
    """The answers with the language of each prompt; of a task that is not `known` as they were."""
    return {
        cell: _recorded(found, known[cell.task, cell.split])
        if (cell.task, cell.split) in known
        else found
        for cell, found in outcomes.items()
    }


def record_prompt_languages(predictions: Path, tasks: Sequence[PreparedTask]) -> str:
    """Add the column to a file that was written without it; returns the new sha256.

    `tasks` are those whose answers the file holds. Everything else in the file stays as it was.
    Raises what reading and writing predictions raise.
    """
    outcomes = read_predictions(predictions)
    return write_predictions(predictions, with_prompt_languages(outcomes, prompt_languages(tasks)))


def _recorded(outcomes: Outcomes, languages: Mapping[str, str]) -> Outcomes:
    details = outcomes.details or Details.of(len(outcomes))
    found = tuple(languages.get(item) for item in outcomes.items)
    return replace(outcomes, details=replace(details, prompt_languages=found))


def _prompts(asked: QuestionSet, method: str) -> dict[str, str]:
    """Item -> the text of its prompt."""
    if asked.drawn is not None:
        return {prompt.id: prompt.prompt for prompt in asked.drawn[1]}
    if asked.recognised is not None:
        return {wanted.item: wanted.prompt for wanted in asked.recognised.wanted}
    if asked.free:
        return {free.item.id: free.said for free in asked.free}
    questions = asked.questions
    if questions is None:
        return {}
    if asked.choices and method != "similarity":
        # Where likelihood is asked the options are replies, not a part of the prompt.
        said = [c.said if method == LIKELIHOOD else c.shown for c in asked.choices]
        return dict(zip(questions.items, said, strict=True))
    return dict(zip(questions.items, _texts(questions), strict=True))


def _texts(questions: MultipleChoice) -> list[str]:
    """What an embedding model is given as text: the caption, or the options."""
    if questions.asked_by == "text":
        return [questions.texts[row] for row in questions.queries]
    if questions.options.shape[1] == len(questions.texts):
        # Everything is an option: one text for all.
        return ["\n".join(questions.texts)[:LOOKED_AT]] * len(questions.items)
    return ["\n".join(questions.texts[row] for row in rows) for rows in questions.options]


@lru_cache(maxsize=1 << 16)
def _language(text: str) -> str:
    return identify(text)[0]
