"""What a study asks, as another tool can ask it: sets under opaque ids, and questions with choices.

Neither ids nor texts name a model: which output is whose follows from the study, and only from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from ggez_hub.errors import GgezError
from ggez_hub.humans.assignment import Shown, queue, raters_needed
from ggez_hub.humans.ratings import mid_ranks
from ggez_hub.humans.store import Answers, RaterKind, Store
from ggez_hub.humans.study import Output, Side, Study, StudyItem

Tool = Literal["label-studio", "potato"]
# Of a preference, by the place of the winner on the screen.
FIRST, SECOND, TIE, BOTH_BAD = "first", "second", "tie", "both bad"
# What raters elsewhere agreed to is not known here.
CONSENT = "given elsewhere"


@dataclass(frozen=True)
class BlindTask:
    """A set of a study: its opaque id, the item, and what is shown in which order."""

    id: str
    item: StudyItem
    shown: Shown

    @property
    def outputs(self) -> tuple[Output, ...]:
        return tuple(self.item.outputs[model] for model in self.shown.models)


@dataclass(frozen=True)
class RatingQuestion:
    """One question of a set: about the output at `place` (from 1), or about all (0)."""

    name: str
    measure: str
    place: int
    text: str
    choices: tuple[str, ...]
    ends: tuple[str, str] | None = None


@dataclass(frozen=True)
class Annotation:
    """What one annotator of a tool chose: question -> choice. Seconds are 0 where they are not known.

    `rater` is whose judgement it is, if it came from a study and was exported.
    """

    annotator: str
    task: str
    choices: Mapping[str, str]
    seconds: float = 0.0
    time: str | None = None
    rater: str | None = None


def utc(time: str) -> str:
    """A time in ISO 8601 as judgements have it; one without a zone is UTC. Raises ValueError."""
    found = datetime.fromisoformat(time)
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return found.astimezone(UTC).isoformat(timespec="microseconds")


def tasks_of(study: Study, language: str) -> tuple[BlindTask, ...]:
    """Every set that raters of a language judge, gold included; raises GgezError where there is none."""
    found: dict[str, BlindTask] = {}
    for side in study.rater_sides:
        for number in range(raters_needed(study, side, language)):
            for shown in queue(study, side, language, number):
                own = Shown(shown.item, shown.models, 0, shown.gold)
                name = f"{study.digest}|{own.key}"
                ident = hashlib.sha256(name.encode()).hexdigest()[:16]
                found.setdefault(ident, BlindTask(ident, study.by_item[own.item], own))
    if not found:
        raise GgezError(
            f"no rater of this study works in {language}",
            f"Languages: {', '.join(study.languages)}.",
        )
    return tuple(found[ident] for ident in sorted(found))


def questions_of(study: Study, language: str) -> tuple[RatingQuestion, ...]:
    """What is asked about each set, in words of the language where the design has them."""

    def own(texts: Mapping[str, str]) -> str:
        return texts.get(language, texts["en"])

    design = study.design
    if design.preference:
        more = (TIE,) * design.preference.tie + (BOTH_BAD,) * design.preference.both_bad
        return (
            RatingQuestion(
                "preference", "preference", 0, "Which is better?", (FIRST, SECOND, *more)
            ),
        )
    places = range(1, design.outputs + 1)
    if design.ranking:
        ranks = tuple(str(rank) for rank in places)
        return tuple(
            RatingQuestion(f"rank_{place}", "rank", place, f"Rank of output {place}", ranks, ("best", "worst"))
            for place in places
        )  # fmt: skip
    return tuple(
        RatingQuestion(
            f"{scale.id}_{place}",
            scale.id,
            place,
            own(scale.question),
            tuple(str(point) for point in range(1, scale.points + 1)),
            (own(scale.ends[0]), own(scale.ends[1])),
        )
        for place in places
        for scale in design.scales
    )


def choices_of(study: Study, task: BlindTask, answers: Answers) -> dict[str, str]:
    """The choices that stand for the answers of a judgement of a task."""
    models = task.shown.models
    if study.design.preference:
        won = [answers[model]["preference"] for model in models]
        bad = answers[models[0]].get("both_bad") == 1
        chosen = BOTH_BAD if bad else TIE if won[0] == won[1] else (FIRST if won[0] else SECOND)
        return {"preference": chosen}
    return {
        # A mid-rank is the best of those that tie.
        f"{measure}_{place}": str(_first_rank(answers, model) if measure == "rank" else int(value))
        for place, model in enumerate(models, 1)
        for measure, value in answers[model].items()
    }


def _first_rank(answers: Answers, model: str) -> int:
    return 1 + sum(own["rank"] < answers[model]["rank"] for own in answers.values())


def answers_of(study: Study, task: BlindTask, choices: Mapping[str, str]) -> Answers | None:
    """The answers that choices stand for; None where a question has none, or one that it does not know."""
    questions = questions_of(study, task.item.language)
    if any(choices.get(question.name) not in question.choices for question in questions):
        return None
    models = task.shown.models
    if study.design.preference:
        chosen = choices["preference"]
        won = {FIRST: (1.0, 0.0), SECOND: (0.0, 1.0)}.get(chosen, (0.5, 0.5))
        bad = {"both_bad": float(chosen == BOTH_BAD)} if study.design.preference.both_bad else {}
        return {
            model: {"preference": value, **bad} for model, value in zip(models, won, strict=True)
        }
    found: dict[str, dict[str, float]] = {model: {} for model in models}
    for question in questions:
        found[models[question.place - 1]][question.measure] = float(choices[question.name])
    if study.design.ranking:
        ranks = mid_ranks({model: own["rank"] for model, own in found.items()})
        return {model: {"rank": rank} for model, rank in ranks.items()}
    return found


def annotations_of(study: Study, store: Store, language: str) -> Iterator[Annotation]:
    """The first judgements of a study by raters of a language, as annotations of its tasks."""
    tasks = {task.shown.key: task for task in tasks_of(study, language)}
    raters = {rater.id for rater in store.raters() if rater.language == language}
    for own in store.judgements():
        task = tasks.get(own.shown.key)
        if own.rater in raters and task is not None:
            yield Annotation(
                own.rater, task.id, choices_of(study, task, own.answers), own.seconds, own.time
            )


@dataclass(frozen=True)
class Imported:
    """How many raters and judgements came in, and how many were left out and why."""

    raters: int
    judgements: int
    left_out: Mapping[str, int]


def import_annotations(
    study: Study,
    folder: Path,
    annotations: Iterable[Annotation],
    tool: Tool,
    side: Side,
    language: str,
    *,
    country: str = "",
    kind: RaterKind = "person",
) -> Imported:
    """Keep what annotators chose elsewhere as judgements of raters of one side and language.

    An annotator becomes a pseudonym that follows from the tool's name for him, so that importing again
    adds only what is new: neither what this study exported itself, nor who was forgotten. `country` is
    that of the annotators, ISO 3166-1 alpha-2 in capitals. Raises GgezError for a side or language that
    the study does not have.
    """
    if language not in study.raters.get(side, ()):
        raise GgezError(
            f"the study asks for no {side} raters in {language}",
            "Its raters: " + "; ".join(f"{s}: {', '.join(own)}" for s, own in study.raters.items()),
        )
    tasks, store = {task.id: task for task in tasks_of(study, language)}, Store(folder)
    group, seen, added = (side, language, kind), set(), 0
    known = {r.id: r for r in store.raters() if (r.side, r.language, r.kind) == group}
    agreed = {rater.id for rater in known.values() if rater.consent is not None}
    pseudonyms: dict[str, str] = {}
    left_out: dict[str, int] = {}
    for own in annotations:
        task = tasks.get(own.task)
        answers = answers_of(study, task, own.choices) if task else None
        if task is None or answers is None:
            why = "is incomplete" if task else "is of another study or language"
            left_out[why] = left_out.get(why, 0) + 1
            continue
        if own.rater in known:
            rater = own.rater
        else:
            name = f"{study.digest}|{tool}|{side}|{language}|{kind}|{own.annotator}"
            rater = pseudonyms.get(name) or store.pseudonym(name)
            pseudonyms[name] = rater
        if store.has_forgotten(rater):
            why = "is of a rater who was forgotten"
            left_out[why] = left_out.get(why, 0) + 1
            continue
        if rater not in agreed:
            if rater not in known:
                store.invite(side, language, kind, rater=rater)
            store.agree(rater, CONSENT, country, (language,))
            agreed.add(rater)
        seen.add(rater)
        if store.record(rater, task.shown, answers, own.seconds, own.task, time=own.time):
            added += 1
        else:
            left_out["is there already"] = left_out.get("is there already", 0) + 1
    return Imported(len(seen), added, left_out)
