"""What a design asks about a screen, as fields of a form, and the values of a form sent back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ggez_hub.humans.design import Design
from ggez_hub.humans.server.words import FALLBACK, Said, Speech, speech
from ggez_hub.humans.store import Answers

LETTERS = "ABCDE"
FIRST, SECOND, TIE, BOTH_BAD = "0", "1", "tie", "both-bad"
# The values of both outputs for each choice.
PREFERENCES = {FIRST: (1.0, 0.0), SECOND: (0.0, 1.0), TIE: (0.5, 0.5), BOTH_BAD: (0.5, 0.5)}


class Incomplete(ValueError):
    """A form lacks an answer, or has one that the design does not offer."""


@dataclass(frozen=True)
class FormChoice:
    """One of the answers to a question; `label` is shown beside the value where it says more."""

    value: str
    label: Said | None = None
    shows_value: bool = True


@dataclass(frozen=True)
class FormQuestion:
    """A question with one answer, about the output at `about`, or about all that are shown."""

    name: str
    about: int | None
    text: Said
    choices: tuple[FormChoice, ...]


def questions(design: Design, outputs: int, speech: Speech) -> tuple[FormQuestion, ...]:
    """The questions about a screen of `outputs` outputs."""
    words = speech.words
    if design.preference:
        labels = {
            FIRST: words.better.format(letter=LETTERS[0]),
            SECOND: words.better.format(letter=LETTERS[1]),
            **({TIE: words.tie} if design.preference.tie else {}),
            **({BOTH_BAD: words.both_bad} if design.preference.both_bad else {}),
        }
        choices = tuple(
            FormChoice(value, speech.own(label), shows_value=False)
            for value, label in labels.items()
        )
        return (FormQuestion("preference", None, speech.own(words.preference), choices),)
    if design.ranking:
        places = tuple(FormChoice(str(place + 1)) for place in range(outputs))
        return tuple(
            FormQuestion(f"rank-{n}", n, speech.own(words.place.format(letter=LETTERS[n])), places)
            for n in range(outputs)
        )
    return tuple(
        FormQuestion(
            f"{scale.id}-{n}",
            n,
            speech.of(scale.question),
            tuple(
                FormChoice(
                    str(point),
                    speech.of(scale.ends[point > 1]) if point in {1, scale.points} else None,
                )
                for point in range(1, scale.points + 1)
            ),
        )
        for n in range(outputs)
        for scale in design.scales
    )


def read_answers(design: Design, models: Sequence[str], form: Mapping[str, str]) -> Answers:
    """The values of a form, by model and measure; raises Incomplete."""
    asked = questions(design, len(models), speech(FALLBACK))
    chosen = {question.name: form.get(question.name, "") for question in asked}
    for question in asked:
        if chosen[question.name] not in {choice.value for choice in question.choices}:
            raise Incomplete(question.name)
    if design.preference:
        choice = chosen["preference"]
        both_bad = {"both_bad": float(choice == BOTH_BAD)} if design.preference.both_bad else {}
        return {
            model: {"preference": value, **both_bad}
            for model, value in zip(models, PREFERENCES[choice], strict=True)
        }
    if design.ranking:
        places = [int(chosen[f"rank-{n}"]) for n in range(len(models))]
        if not design.ranking.ties and len(set(places)) < len(places):
            raise Incomplete("rank")
        return {
            model: {"rank": mid_rank(place, places)}
            for model, place in zip(models, places, strict=True)
        }
    return {
        model: {scale.id: float(chosen[f"{scale.id}-{n}"]) for scale in design.scales}
        for n, model in enumerate(models)
    }


def mid_rank(place: int, places: Sequence[int]) -> float:
    """The rank of a place among all: the mean of the ranks that equal places share."""
    return sum(other < place for other in places) + (places.count(place) + 1) / 2


def expected(
    design: Design, models: Sequence[str], gold: Mapping[str, Sequence[float]], speech: Speech
) -> list[Said]:
    """What a careful rater answers, in words: a question, then the answers to it."""
    right = {n: gold[model] for n, model in enumerate(models) if model in gold}
    asked = questions(design, len(models), speech)
    if design.preference:
        (n, values), (question,) = next(iter(right.items())), asked
        named = [
            choice.label
            for choice in question.choices
            if choice.label and PREFERENCES[choice.value][n] in values
        ]
        return [question.text, speech.own(" / ".join(label.text for label in named))]
    # The first measure of a scale is what gold is about.
    first = {question.about: question for question in reversed(asked)}
    several = bool(design.scales) and len(models) > 1
    found: list[Said] = []
    for n, values in right.items():
        wanted = {f"{value:g}" for value in values}
        labels = [
            f"{choice.value} {choice.label.text}" if choice.label else choice.value
            for choice in first[n].choices
            if choice.value in wanted
        ]
        text = " / ".join(labels)
        found += [first[n].text, speech.own(f"{LETTERS[n]}: {text}" if several else text)]
    return found


def is_expected(design: Design, answers: Answers, gold: Mapping[str, Sequence[float]]) -> bool:
    """Whether the first measure of every output with a gold answer has a value that is right."""
    first = next(iter(design.measures))
    return all(answers[model][first] in gold[model] for model in answers if model in gold)
