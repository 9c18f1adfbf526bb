"""The language of each prompt, by its text only, as a router that switches an adapter on sees it.

It is identified as the filter identifies it (`ggez_hub.regions.text_language`) and recorded beside the
answers, in the column `prompt_language`. The text is what a user would send: the question, with its
options where they are shown; the options or the caption that an embedding model is given; the prompt
of a drawing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from ggez_hub.evaluation.answers.outcomes import Cell, Outcomes
from ggez_hub.evaluation.benchmarks.multiple_choice import (
    LIKELIHOOD,
    SIMILARITY,
    MultipleChoice,
)
from ggez_hub.evaluation.benchmarks.preparation import PreparedTask
from ggez_hub.evaluation.benchmarks.questions import QuestionSet
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
    found = dict(outcomes)
    for cell, own in outcomes.items():
        languages = known.get((cell.task, cell.split))
        if languages is not None:
            tags = [languages.get(item) for item in own.items]
            found[cell] = own.with_details(prompt_languages=tags)
    return found


def _prompts(asked: QuestionSet, method: str) -> dict[str, str]:
    if asked.drawn is not None:
        prompts = [prompt.prompt for prompt in asked.drawn[1]]
    elif asked.recognised is not None:
        prompts = [wanted.prompt for wanted in asked.recognised.wanted]
    elif asked.safety is not None:
        prompts = [prompt.prompt for prompt in asked.safety[1]]
    elif asked.free:
        prompts = [free.text for free in asked.free]
    elif asked.choices and method != SIMILARITY:
        # Where likelihood is asked the options are replies, not a part of the prompt.
        prompts = [c.text if method == LIKELIHOOD else c.shown for c in asked.choices]
    else:
        prompts = _texts(asked.questions) if asked.questions else []
    return dict(zip(asked.items, prompts, strict=True))


def _texts(questions: MultipleChoice) -> list[str]:
    """The text for an embedding model: the caption, or the options."""
    if questions.asked_by == "text":
        return [questions.texts[row] for row in questions.queries]
    if questions.options.shape[1] == len(questions.texts):
        # Everything is an option: one text for all.
        return ["\n".join(questions.texts)[:LOOKED_AT]] * len(questions.items)
    return ["\n".join(questions.texts[row] for row in rows) for rows in questions.options]


@lru_cache(maxsize=1 << 16)
def _language(text: str) -> str:
    return identify(text)[0]
