"""DPG-Bench as its authors' script computes it, from the answers that the rule's score rests on.

`dpg_bench/compute_dpg_bench.py` of TencentQQGYLab/ELLA differs from the rule of dependency (`drawn`):

- It passes over the first row of the questions, so the first prompt lacks one. A prompt of which a
  question depends on one that was not read is left out.
- It goes through the questions in the order of the file, and a question is worth nothing if one that
  it depends on is worth nothing *by then*: a parent that comes later counts as it was answered.
- A category is the mean over the questions of the *last* picture of each prompt, as they were
  answered: the rule is not applied to them.

The script's figure is never averaged with the rule's, and parity is not computed in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ggez_hub.evaluation.drawn import Judged, judged_prompts
from ggez_hub.evaluation.outcomes import Details, Outcomes
from ggez_hub.evaluation.scores import Score, score_of


@dataclass(frozen=True)
class ScriptFigures:
    """The score over prompts, of which `missing` were left out, and that of each category."""

    score: Score
    categories: Mapping[str, Score]


def script_figures(outcomes: Outcomes) -> ScriptFigures | None:
    """What the script prints; None where it was not recorded which questions it reads."""
    judged = judged_prompts(outcomes)
    if not any(found.script for found in judged):
        return None
    worth: dict[str, float] = {}
    questions: list[tuple[str, str | None, float]] = []
    left_out = list(outcomes.missing)
    for item, found in zip(outcomes.items, judged, strict=True):
        value = script_worth(found)
        if value is None:
            left_out.append(item)
            continue
        worth[item] = value
        last = found.answers[-1]
        questions += [
            (item, found.categories.get(n), float(last[n] == found.right[n])) for n in found.script
        ]
    if not worth:
        return None
    overall = _outcomes(list(worth), list(worth), list(worth.values()), tuple(left_out))
    names = sorted({name for _, name, _ in questions if name is not None})
    return ScriptFigures(
        score_of(overall), {name: score_of(_of_category(questions, name)) for name in names}
    )


def script_worth(judged: Judged) -> float | None:
    """What a prompt is worth to the script, 0 to 1; None where the script fails at it."""
    pictures = []
    for given in judged.answers:
        worth = {n: given[n] == judged.right[n] for n in judged.script}
        for number in judged.script:
            for parent in judged.parents[number]:
                if parent not in worth:
                    return None
                if not worth[parent]:
                    worth[number] = False
                    break
        if not worth:
            return None
        pictures.append(sum(worth.values()) / len(worth))
    return sum(pictures) / len(pictures)


def _of_category(questions: Sequence[tuple[str, str | None, float]], name: str) -> Outcomes:
    own = [(item, value) for item, category, value in questions if category == name]
    ids = [f"{item}/{number}" for number, (item, _) in enumerate(own)]
    return _outcomes(ids, [item for item, _ in own], [value for _, value in own])


def _outcomes(
    ids: Sequence[str],
    prompts: Sequence[str],
    worth: Sequence[float],
    missing: tuple[str, ...] = (),
) -> Outcomes:
    credit = np.array(worth)
    return Outcomes(
        items=tuple(ids),
        gold=("1",) * len(ids),
        predicted=tuple(f"{value:.17g}" for value in worth),
        rank=np.where(credit == 1, 1, 2).astype(np.int32),
        correct=credit == 1,
        chance=np.zeros(len(ids)),
        missing=missing,
        details=Details.of(len(ids), images=prompts),
        credit=credit,
    )
