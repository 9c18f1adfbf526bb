"""What a rater's browser asks for, and what it sends."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ggez_hub.humans.server.declared import countries, languages
from ggez_hub.humans.server.forms import Incomplete, expected, is_expected, read_answers
from ggez_hub.humans.server.pages import STATIC, page
from ggez_hub.humans.server.screens import find_picture, find_shown, screen_of
from ggez_hub.humans.server.site import Refusal, Session, Site

Form: TypeAlias = Mapping[str, list[str]]
# What is sent counts as this many requests.
SENT = 5.0
HALF_A_YEAR = 180 * 24 * 3600
# Longer on one screen is not work on it.
LONGEST = 24 * 3600.0


def site_of(request: Request) -> Site:
    """The study that this application serves."""
    found: Site = request.app.state.site
    return found


def posted(
    handler: Callable[[Site, Session, Form], Response],
) -> Callable[[Request], Awaitable[Response]]:
    """A handler of a form that a rater sends, in a thread."""

    async def wrapper(request: Request) -> Response:
        site = site_of(request)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > site.limits.form:
                raise Refusal(413, "failed")
        try:
            form = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=1000)
        except ValueError:
            raise Refusal(400, "failed") from None
        return await run_in_threadpool(lambda: handler(site, site.session(request, SENT), form))

    return wrapper


def one(form: Form, name: str) -> str:
    """The value of a field, or ''."""
    return form.get(name, [""])[0]


def enter(request: Request) -> Response:
    """GET /r/TOKEN: an invitation becomes a cookie.

    The browser goes on from this page and is not redirected: a cookie of the same site alone is not
    sent on the way from another site, such as a mail in a browser.
    """
    site = site_of(request)
    token = request.path_params["token"]
    session = site.enter(request, token)
    answer = page("enter", session.speech, study=site.study)
    answer.set_cookie(
        site.cookie,
        token,
        max_age=HALF_A_YEAR,
        httponly=True,
        samesite="strict",
        secure=(site.address or "").startswith("https:"),
    )
    return answer


def home(request: Request) -> Response:
    """GET /: what this rater has to do next."""
    site = site_of(request)
    session = site.session(request)
    rater = session.rater
    if rater.consent != site.study.consent.version:
        return _consent(site, session)
    if not rater.trained:
        return page(
            "training",
            session.speech,
            session,
            study=site.study,
            examples=len(site.training(rater)),
        )
    return _next(site, session)


def _consent(site: Site, session: Session, *, incomplete: bool = False) -> HTMLResponse:
    language = session.speech.language
    return page(
        "consent",
        session.speech,
        session,
        422 if incomplete else 200,
        study=site.study,
        countries=countries(language),
        languages=languages(language),
        offered=_offered(site, language),
        incomplete=incomplete,
    )


def _offered(site: Site, language: str) -> dict[str, str]:
    """The study's languages, by their names in the rater's."""
    names = languages(language)
    return {tag: names.get(tag.partition("-")[0], tag) for tag in site.study.languages}


@posted
def consent(site: Site, session: Session, form: Form) -> Response:
    """POST /consent: what a rater agrees to, and declares."""
    session.check("consent", one(form, "signature"))
    language = session.speech.language
    spoken = tuple(dict.fromkeys(tag for tag in form.get("language", []) if tag))
    country = one(form, "country")
    known = {*languages(language), *_offered(site, language)}
    complete = spoken and country in countries(language) and known.issuperset(spoken)
    if not complete or one(form, "agree") != site.study.consent.version:
        return _consent(site, session, incomplete=True)
    site.store.agree(session.rater.id, site.study.consent.version, country, spoken)
    return _on()


def example(request: Request) -> Response:
    """GET /training/N: an example for practice."""
    site = site_of(request)
    session = _agreed(site, site.session(request))
    return _example(site, session, request.path_params["number"])


def _example(site: Site, session: Session, number: int, given: Form | None = None) -> HTMLResponse:
    """An example; `given` is what the rater sent, which is answered."""
    shown = find_shown(site, session, f"t{number}")
    gold = site.item(shown).gold or {}
    given = given or {}
    careful, right, incomplete = [], False, False
    if given:
        try:
            answers = read_answers(site.study.design, shown.models, _flat(given))
            careful = expected(site.study.design, shown.models, gold, session.speech)
            right = is_expected(site.study.design, answers, gold)
        except Incomplete:
            incomplete = True
    return page(
        "example",
        session.speech,
        session,
        422 if incomplete else 200,
        study=site.study,
        screen=screen_of(site, session, f"t{number}"),
        given=_flat(given),
        incomplete=incomplete,
        careful=careful,
        right=right,
        number=number,
        examples=len(site.training(session.rater)),
    )


async def practise(request: Request) -> Response:
    """POST /training/N: an answer for practice, which is not kept."""
    number: int = request.path_params["number"]

    @posted
    def answer(site: Site, session: Session, form: Form) -> Response:
        session.check(f"practise {number}", one(form, "signature"))
        return _example(site, _agreed(site, session), number, form)

    return await answer(request)


@posted
def trained(site: Site, session: Session, form: Form) -> Response:
    """POST /trained: the training is over."""
    session.check("trained", one(form, "signature"))
    site.store.train(_agreed(site, session).rater.id)
    return _on()


def _next(
    site: Site, session: Session, given: Form | None = None, *, incomplete: bool = False
) -> HTMLResponse:
    """The first screen that is not judged, or that there is none."""
    rater = session.rater
    sets, judged = site.queue(rater), site.store.judged(rater.id)
    left = [number for number, shown in enumerate(sets) if shown.key not in judged]
    last = site.store.last(rater.id)
    undo = next((number for number, shown in enumerate(sets) if shown.key == last), None)
    done = len(sets) - len(left)
    common: dict[str, Any] = {"study": site.study, "undo": undo, "done": done, "total": len(sets)}
    if not left:
        return page("finished", session.speech, session, **common)
    return page(
        "item",
        session.speech,
        session,
        422 if incomplete else 200,
        screen=screen_of(site, session, str(left[0])),
        given=_flat(given or {}),
        incomplete=incomplete,
        submission=secrets.token_hex(8),
        opened=time.time(),
        **common,
    )


@posted
def judge(site: Site, session: Session, form: Form) -> Response:
    """POST /judgements: on the disk before it is acknowledged; sent twice, it is kept once."""
    where = one(form, "where")
    session.check(f"judge {where}", one(form, "signature"))
    shown = find_shown(site, _agreed(site, session), where)
    try:
        answers = read_answers(site.study.design, shown.models, _flat(form))
    except Incomplete:
        return _next(site, session, form, incomplete=True)
    site.store.record(
        session.rater.id, shown, answers, _seconds(form), one(form, "submission")[:64]
    )
    return _on()


@posted
def undo(site: Site, session: Session, form: Form) -> Response:
    """POST /undo: withdraw a judgement; its screen comes again."""
    where = one(form, "where")
    session.check(f"undo {where}", one(form, "signature"))
    site.store.undo(session.rater.id, find_shown(site, session, where).key)
    return _on()


def output(request: Request) -> Response:
    """GET /outputs/WHERE/PLACE/SIGNATURE: a picture of a screen of this rater."""
    site = site_of(request)
    session = _agreed(site, site.session(request))
    content = site.read(find_picture(site, session, **request.path_params))
    return Response(
        content, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"}
    )


def _agreed(site: Site, session: Session) -> Session:
    """The session of a rater who has agreed to take part; raises Refusal."""
    if session.rater.consent != site.study.consent.version:
        raise Refusal(403, "no_invitation")
    return session


def _seconds(form: Form) -> float:
    """How long a screen was seen, by its page's script; without one how long ago it was sent."""
    try:
        seen = float(one(form, "seconds") or time.time() - float(one(form, "opened")))
    except ValueError:
        return 0.0
    return min(max(seen, 0.0), LONGEST) if math.isfinite(seen) else 0.0


def _flat(form: Form) -> dict[str, str]:
    return {name: values[0] for name, values in form.items()}


def _on() -> Response:
    """What follows is asked for anew, so that a page that is loaded again sends nothing again."""
    return RedirectResponse("/", 303)


def no_icon(request: Request) -> Response:
    """GET /favicon.ico: every browser asks."""
    return Response(status_code=204)


class Files(StaticFiles):
    """Style, script and fonts; new ones after an update, since names stay."""

    def file_response(self, *args: object, **options: object) -> Response:
        response = super().file_response(*args, **options)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response


routes = [
    Route("/", home, methods=["GET"]),
    Route("/r/{token}", enter, methods=["GET"]),
    Route("/consent", consent, methods=["POST"]),
    Route("/training/{number:int}", example, methods=["GET"]),
    Route("/training/{number:int}", practise, methods=["POST"]),
    Route("/trained", trained, methods=["POST"]),
    Route("/judgements", judge, methods=["POST"]),
    Route("/undo", undo, methods=["POST"]),
    Route("/outputs/{where}/{place}/{signature}", output, methods=["GET"]),
    Route("/favicon.ico", no_icon, methods=["GET"]),
    Mount("/static", Files(directory=STATIC)),
]
