"""One screen of a rater as the page shows it: nothing here says which model gave what."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ggez_hub.humans.assignment import Shown
from ggez_hub.humans.server.forms import LETTERS, FormQuestion, questions
from ggez_hub.humans.server.site import Refusal, Session, Site
from ggez_hub.humans.server.words import Said
from ggez_hub.humans.study import Output

# Control characters mean nothing in a text; some readers of it obey them.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# At this place of a screen is the picture that was asked about.
ASKED_ABOUT = "picture"


@dataclass(frozen=True)
class Panel:
    """One output: the address of a picture, or a text; and what is asked about it."""

    letter: str
    picture: str | None
    text: Said | None
    questions: tuple[FormQuestion, ...]


@dataclass(frozen=True)
class Screen:
    """What is shown at once. `where` is `12` in the queue of the rater, `t0` in the training."""

    where: str
    prompt: Said
    picture: str | None
    panels: tuple[Panel, ...]
    questions: tuple[FormQuestion, ...]


def find_shown(site: Site, session: Session, where: str) -> Shown:
    """What a rater is shown at a place of the queue or of the training; raises Refusal."""
    name, number = ("t", where[1:]) if where.startswith("t") else ("", where)
    if re.fullmatch("[0-9]{1,6}", number, re.ASCII):
        sets = (site.training if name else site.queue)(session.rater)
        if int(number) < len(sets):
            return sets[int(number)]
    raise Refusal(404, "not_found")


def screen_of(site: Site, session: Session, where: str) -> Screen:
    """The screen at a place; raises Refusal where there is none."""
    shown = find_shown(site, session, where)
    item = site.item(shown)
    language = session.rater.language
    asked = questions(site.study.design, len(shown.models), session.speech)

    def address(place: str) -> str:
        return f"/outputs/{where}/{place}/{session.sign(f'output {where} {place}')}"

    def panel(number: int, output: Output) -> Panel:
        about = tuple(question for question in asked if question.about == number)
        if output.media == "picture":
            return Panel(LETTERS[number], address(str(number)), None, about)
        text = Said(clean(site.read(output).decode(errors="replace")), item.language)
        return Panel(LETTERS[number], None, text, about)

    return Screen(
        where,
        Said(
            clean(item.prompt_in(language)),
            language if language in item.translations else item.language,
        ),
        address(ASKED_ABOUT) if item.picture else None,
        tuple(panel(n, item.outputs[model]) for n, model in enumerate(shown.models)),
        tuple(question for question in asked if question.about is None),
    )


def find_picture(site: Site, session: Session, where: str, place: str, signature: str) -> Output:
    """The picture behind an address; raises Refusal if it is not one of this rater's."""
    session.check(f"output {where} {place}", signature)
    shown = find_shown(site, session, where)
    item = site.item(shown)
    output = item.picture if place == ASKED_ABOUT else item.outputs[shown.models[int(place)]]
    if output is None or output.media != "picture":
        raise Refusal(404, "not_found")
    return output


def clean(text: str) -> str:
    """The text without control characters but tab and newline."""
    return CONTROL.sub("", text.replace("\r\n", "\n"))
