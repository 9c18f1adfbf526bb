"""What a file of predictions has to agree on with itself, without the data or a model.

The questions of a task are the same at every beta: its items, their pictures and prompts, their
right answers, and what guessing gets. A wrong label at one beta contradicts those at all others.
Where the scores of the options are recorded, ranks and answers follow from them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

from ggez_hub.evaluation.answers.outcomes import UNPARSED, Answers, Cell, Outcomes
from ggez_hub.evaluation.answers.predictions import row_problems
from ggez_hub.evaluation.answers.repeated_answer import RepeatedAnswer
from ggez_hub.evaluation.benchmarks.drawing_scores import Judged, NotJudged
from ggez_hub.evaluation.benchmarks.replies import READER, read_choice
from ggez_hub.evaluation.benchmarks.replies.refusals import REFUSALS_READER
from ggez_hub.evaluation.benchmarks.safety import read_reply
from ggez_hub.evaluation.results.option_scores import (
    impossible_scores,
    numbers_of_options,
    unfounded_answers,
)

# Chances are k / N: more candidates than this are not told apart from a float's rounding.
MAX_CANDIDATES = 1_000_000
# A question with options has a letter for each; a search has more candidates than that.
MAX_OPTIONS = 26
ROUNDING = 1e-9


def contradictions(outcomes: Answers, metrics: Mapping[str, str] | None = None) -> list[str]:
    """Everything in the predictions that cannot be, each naming cell and item.

    `metrics` are those of the tasks, where they are known.
    """
    found = []
    for cell, asked in outcomes.items():
        problems = [
            *impossible_scores(asked, (metrics or {}).get(cell.task)),
            *row_problems(asked),
            *_answers(asked),
            *_credit(asked),
            *_replies(asked),
        ]
        found += [f"{cell}: {problem}" for problem in problems]
    by_task: dict[tuple[str, str], dict[Cell, Outcomes]] = {}
    for cell, asked in outcomes.items():
        by_task.setdefault((cell.task, cell.split), {})[cell] = asked
    for (task, _), cells in by_task.items():
        found += _across(cells)
        found += unfounded_answers(cells, (metrics or {}).get(task))
    return found


def _answers(outcomes: Outcomes) -> list[str]:
    """An answer is right if and only if it is the right one; where several are, it may be another."""
    pairs = zip(outcomes.gold, outcomes.predicted, outcomes.correct.tolist(), strict=True)
    suspects = [row for row, (gold, given, right) in enumerate(pairs) if (gold == given) != right]
    if not suspects:
        return []
    several = _have_several_answers(outcomes)
    found = []
    for row in suspects:
        item, gold, given = outcomes.items[row], outcomes.gold[row], outcomes.predicted[row]
        if given == gold:
            found.append(f"the answer to {item!r} is the right one and counts as wrong")
        elif not (several[row] or _is_own_caption(given, item)):
            found.append(f"the answer to {item!r} is {given!r}, not {gold!r}, and counts as right")
    return found


def _is_own_caption(answer: str, picture: str) -> bool:
    """Whether an answer is a caption of the picture that was asked about: `<picture>#<number>`."""
    return answer.rpartition("#")[0] == picture


def _credit(outcomes: Outcomes) -> list[str]:
    """What a question of several parts, or of several runs, is worth follows from the answers."""
    if outcomes.credit is None or outcomes.details is None:
        return []
    found = []
    rows = zip(outcomes.items, outcomes.details.raw, outcomes.credit.tolist(), strict=True)
    for item, raw, credit in rows:
        repeated = RepeatedAnswer.from_text(raw)
        try:
            worth = repeated.credit if repeated else Judged.from_text(raw).credit
        except NotJudged as problem:
            found.append(f"the credit of {item!r} follows from nothing: {problem.message}")
            continue
        if not math.isclose(worth, credit, rel_tol=0, abs_tol=ROUNDING):
            found.append(f"the credit of {item!r} is {credit:g}, its answers give {worth:g}")
    return found


def _replies(outcomes: Outcomes) -> list[str]:
    """What was read from a reply is what this reader reads from it; other readers' is not read again."""
    details = outcomes.details
    if details is None or {READER, REFUSALS_READER}.isdisjoint(details.readers):
        return []
    found = []
    rows = zip(
        outcomes.items,
        outcomes.predicted,
        details.raw,
        details.options,
        details.readers,
        strict=True,
    )
    for item, given, raw, options, reader in rows:
        if reader == REFUSALS_READER and (read := read_reply(raw or "")) != given:
            found.append(f"the reply to {item!r} is read as {read!r}, recorded is {given!r}")
        if reader != READER:
            continue
        if raw is None or not options:
            found.append(f"the answer to {item!r} was read from a reply that is not recorded")
            continue
        choice = _read_again(raw, options)
        read = UNPARSED if choice is None else options[choice]
        if read != given:
            found.append(f"the reply to {item!r} is read as {read!r}, recorded is {given!r}")
    return found


@lru_cache(maxsize=1 << 16)
def _read_again(raw: str, options: tuple[str, ...]) -> int | None:
    return read_choice(raw, options)


def _have_several_answers(outcomes: Outcomes) -> list[bool]:
    """Whether a question can have more than one right answer, by its chance r / N.

    N is not recorded: it is the number of options where that is small and the same for all
    questions, else the least not below the questions that makes every r a whole number.
    """
    chances = [Fraction(c).limit_denominator(MAX_CANDIDATES) for c in outcomes.chance.tolist()]
    if len(set(chances)) == 1 and chances[0].numerator == 1 <= MAX_OPTIONS * chances[0]:
        return [False] * len(chances)
    denominator = math.lcm(*{c.denominator for c in chances})
    candidates = denominator * max(1, -(-len(chances) // denominator))
    return [c * candidates > 1 for c in chances]


def _across(cells: Answers) -> list[str]:
    """What differs at one beta from most of the others."""
    there = {cell: {*o.items, *o.missing} for cell, o in cells.items()}
    counts = Counter(item for items in there.values() for item in items)
    usual_items = {item for item, count in counts.items() if 2 * count > len(cells)}
    found = [
        f"{cell}: {item!r} is not there, at the other betas it is"
        for cell, items in there.items()
        for item in sorted(usual_items - items)
    ]
    first = next(iter(cells.values()))
    for what, of in _SAME_AT_EVERY_BETA.items():
        if all(o.items == first.items and of(o) == of(first) for o in cells.values()):
            continue
        values = {cell: dict(zip(o.items, of(o), strict=True)) for cell, o in cells.items()}
        usual = _usual(list(values.values()))
        found += [
            f"{cell}: the {what} of {item!r} is {value!r}, at the other betas {usual[item]!r}"
            for cell, row in values.items()
            for item, value in row.items()
            if value != usual[item]
        ]
    return found


_SAME_AT_EVERY_BETA: Mapping[str, Callable[[Outcomes], Sequence[Hashable]]] = {
    "right answer": lambda o: o.gold,
    "chance": lambda o: o.chance.tolist(),
    "picture": lambda o: o.pictures,
    "prompt's sha256": lambda o: o.recorded("prompts"),
    "number of scored options": numbers_of_options,
    "language of the prompt": lambda o: o.recorded("prompt_languages"),
}


def _usual(rows: Sequence[Mapping[str, Hashable]]) -> dict[str, Hashable]:
    """What most of the betas say of an item; the first of them where none has more."""
    seen: dict[str, Counter[Hashable]] = {}
    for row in rows:
        for item, value in row.items():
            seen.setdefault(item, Counter())[value] += 1
    return {item: counter.most_common(1)[0][0] for item, counter in seen.items()}
