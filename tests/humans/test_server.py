"""The raters' pages over HTTP: what is kept, what is refused, and what never reaches a browser."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from string import Formatter

import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.humans.assignment import queue, training
from ggez_hub.humans.server.forms import Incomplete, mid_rank, read_answers
from ggez_hub.humans.server.limits import RaterLimits
from ggez_hub.humans.server.words import languages, speech
from ggez_hub.humans.store import Store
from ggez_hub.humans.study import Consent

from .served import Client, invited, served, write_study
from .studies import DESIGNS, study_of

FIRST = {"items": 9, "gold": 4, "items_per_rater": 9}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A study of pictures with pages; tests invite raters of their own."""
    folder = tmp_path_factory.mktemp("pages") / "study"
    write_study(folder, **FIRST)
    with served(folder) as url:
        yield folder, url


def judgements(folder, rater=None):
    return [j for j in Store(folder).judgements() if rater in {None, j.rater}]


def rater_of(folder, token):
    return Store(folder).rater(token)


@pytest.mark.parametrize("design", DESIGNS)
def test_a_study_from_consent_to_thanks(tmp_path, design):
    folder = tmp_path / "study"
    media = "text" if design == "translation" else "picture"
    study = write_study(folder, design, media, **FIRST)
    token = invited(folder, language="en")
    with served(folder) as url:
        rater = Client(url, token).begin()
        for number in range(100):
            if rater.finished:
                break
            rater.judge(number % 3)
    who = rater_of(folder, token)
    assert (who.consent, who.country, who.languages, who.trained) == ("1", "TH", ("th", "en"), True)
    expected = queue(study, "regional", "en", 0)
    assert [j.shown for j in judgements(folder)] == list(expected)
    for judgement in judgements(folder):
        assert judgement.answers.keys() == set(judgement.shown.models)
        assert all(
            given.keys() == study.design.measures.keys() for given in judgement.answers.values()
        )


def test_the_last_judgement_is_the_last_one_though_the_clock_goes_back(tmp_path, monkeypatch):
    class GoingBack(datetime):
        reads = iter(range(1000))

        @classmethod
        def now(cls, tz):
            return datetime(2026, 1, 1, tzinfo=tz) - timedelta(hours=next(cls.reads))

    monkeypatch.setattr("ggez_hub.humans.store.datetime", GoingBack)
    study = write_study(tmp_path / "study", **FIRST)
    store, who = (
        Store(tmp_path / "study"),
        rater_of(tmp_path / "study", invited(tmp_path / "study")),
    )
    sets = queue(study, who.side, who.language, who.number)
    for shown in sets:
        assert store.record(who.id, shown, {}, 1.0)
        assert store.last(who.id) == shown.key
    assert [j.shown for j in judgements(tmp_path / "study")] == list(sets)


def test_places_become_mid_ranks_and_ties_can_be_refused():
    places = [1, 1, 3, 5, 5]
    assert [mid_rank(place, places) for place in places] == [1.5, 1.5, 3, 4.5, 4.5]
    design = study_of("rank", models=3).design
    strict = design.model_copy(
        update={"ranking": design.ranking.model_copy(update={"ties": False})}
    )
    form = {"rank-0": "2", "rank-1": "1", "rank-2": "2"}
    assert read_answers(design, "abc", form)["a"] == {"rank": 2.5}
    with pytest.raises(Incomplete):
        read_answers(strict, "abc", form)


def test_both_bad_is_told_from_a_tie():
    design = study_of("pairs").design
    tie = read_answers(design, "ab", {"preference": "tie"})
    bad = read_answers(design, "ab", {"preference": "both-bad"})
    assert tie["a"] == {"preference": 0.5, "both_bad": 0.0}
    assert bad["a"] == bad["b"] == {"preference": 0.5, "both_bad": 1.0}


def test_a_form_with_a_gap_or_another_answer_is_not_kept(pages):
    folder, url = pages
    token = invited(folder)
    rater = Client(url, token).begin()
    choices = rater.choices()
    name = next(iter(choices))
    for wrong in ({name: ""}, {name: "4"}, {name: "m0"}):
        answer = rater.send("/judgements", **{**choices, **wrong})
        assert answer.status_code == 422
        assert speech("th").words.incomplete in answer.text
    assert not judgements(folder, rater_of(folder, token).id)


def test_what_is_sent_twice_is_kept_once_and_what_is_undone_stays_so(pages):
    folder, url = pages
    token = invited(folder)
    rater = Client(url, token).begin()
    who = rater_of(folder, token).id
    first = {**rater.form("/judgements"), **rater.choices(0)}
    for _ in range(3):
        assert rater.http.post("/judgements", data=first).status_code == 200
    again = {**first, **rater.choices(2), "submission": "other"}
    rater.page = rater.http.post("/judgements", data=again)
    assert [set(j.answers[j.shown.models[0]].values()) for j in judgements(folder, who)] == [{1.0}]
    undo = rater.form("/undo")
    rater.send("/undo")
    rater.http.post("/undo", data=undo)
    assert not judgements(folder, who)
    # The first one arrives once more, late.
    rater.http.post("/judgements", data=first)
    assert not judgements(folder, who)
    rater.judge(1)
    assert len(judgements(folder, who)) == 1


def test_a_rater_continues_on_another_device(pages):
    folder, url = pages
    token = invited(folder)
    one, other = Client(url, token).begin().judge(), Client(url, token).page
    assert re.findall("<h1.*</h1>", one.text) == re.findall("<h1.*</h1>", other.text)


def test_training_answers_what_a_careful_rater_would_and_keeps_nothing(pages):
    folder, url = pages
    token = invited(folder, language="en", side="global")
    rater = Client(url, token).agree()
    study = study_of(**FIRST)
    assert training(study, "en")
    words = speech("en").words
    rater.page = rater.http.get("/training/0")
    right = dict(rater.choices(0))
    assert words.well_done in rater.send("/training/0", **right).text or words.careful in rater.text
    assert rater.send("/training/0", **dict.fromkeys(right, "")).status_code == 422
    assert rater.http.get("/training/99").status_code == 404
    assert not judgements(folder, rater_of(folder, token).id)


def test_a_new_version_of_the_consent_is_asked_for_again(tmp_path):
    folder = tmp_path / "study"
    study = write_study(folder, **FIRST)
    token = invited(folder)
    with served(folder) as url:
        judged = Client(url, token).begin()
        stale = {**judged.form("/judgements"), **judged.choices()}
    newer = study.model_copy(update={"consent": Consent(version="2", text={"en": "More."})})
    (folder / "study.json").write_bytes(newer.canonical())
    with served(folder) as url:
        rater = Client(url, token)
        assert "More." in rater.text
        assert rater.http.post("/judgements", data=stale).status_code == 403
    assert not judgements(folder)


def test_consent_is_not_taken_half(pages):
    folder, url = pages
    token = invited(folder)
    rater = Client(url, token)
    full = {"country": "TH", "language": "th", "agree": "1"}
    for gap in (
        {"agree": ""},
        {"country": ""},
        {"country": "XX"},
        {"language": ""},
        {"language": "<b>"},
    ):
        assert rater.send("/consent", **{**full, **gap}).status_code == 422
    assert rater_of(folder, token).consent is None
    assert rater.http.get("/training/0").status_code == 403
    assert rater.send("/consent", **full).status_code == 200
    assert rater_of(folder, token).consent == "1"


@pytest.mark.parametrize("change", ["revoke", "forget"])
def test_a_withdrawn_invitation_opens_nothing(pages, change):
    folder, url = pages
    token = invited(folder)
    rater = Client(url, token).begin()
    sent = {**rater.form("/judgements"), **rater.choices()}
    who = rater_of(folder, token).id
    getattr(Store(folder), change)(who)
    assert Client(url, token).page.status_code == 403
    assert rater.http.get("/").status_code == 403
    assert rater.http.post("/judgements", data=sent).status_code == 403
    assert not judgements(folder, who)


def pictures(rater):
    return re.findall(r'<img src="(/outputs/[^"]+)"', rater.text)


def test_forms_and_pictures_of_another_rater_are_refused(pages):
    folder, url = pages
    # Both have the same place in the study: the same screens.
    tokens = [invited(folder), invited(folder, kind="simulated")]
    one, other = (Client(url, token).begin() for token in tokens)
    own, foreign = pictures(one), pictures(other)
    assert own != foreign
    assert one.http.get(own[0]).headers["content-type"] == "image/png"
    assert one.http.get(foreign[0]).status_code == 403
    assert Client(url).http.get(own[0]).status_code == 403
    forged = {**other.form("/judgements"), **one.choices()}
    assert one.http.post("/judgements", data=forged).status_code == 403
    assert one.http.post("/judgements", data=one.choices()).status_code == 403
    assert one.http.post("/undo", data=other.form("/judgements")).status_code == 403
    assert not judgements(folder, rater_of(folder, tokens[0]).id)


def test_a_place_that_is_not_on_the_screen_has_no_picture(pages):
    folder, url = pages
    rater = Client(url, invited(folder)).begin()
    where, _, signature = pictures(rater)[0].split("/")[2:]
    for path in (f"99999/0/{signature}", f"{where}/7/{signature}", f"{where}/0/x", "t0/0/%2e%2e"):
        assert rater.http.get(f"/outputs/{path}").status_code in {403, 404}


def test_every_response_is_guarded(pages):
    folder, url = pages
    rater = Client(url, invited(folder)).begin()
    for path in ("/", "/nothing", "/static/page.js", "/static/nothing", pictures(rater)[0], "/r/x"):
        headers = rater.http.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    assert rater.http.get("/").headers["cache-control"] == "no-store"
    assert rater.http.post("/", data={}).status_code == 405


def test_the_cookie_of_an_invitation_stays_here(pages):
    folder, url = pages
    token = invited(folder)
    cookie = Client(url).http.get(f"/r/{token}").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie


def test_only_the_names_of_this_server_are_answered(pages):
    _, url = pages
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
        answer = Client(url).http.get("/", headers={"Host": host})
        assert (answer.status_code, answer.text) == (421, "Unknown host")
    assert Client(url).http.get("/", headers={"Host": "localhost:1"}).status_code == 403


def test_behind_a_proxy_its_name_and_address_hold(tmp_path):
    folder = tmp_path / "study"
    write_study(folder, **FIRST)
    token = invited(folder)
    limits = RaterLimits(burst=40, rate=0.001)
    with served(folder, address="https://rate.example.org", limits=limits) as url:
        http = Client(url).http
        named = {"Host": "rate.example.org"}
        assert "secure" in http.get(f"/r/{token}", headers=named).headers["set-cookie"].lower()

        def guess(forwarded):
            return http.get("/r/guess", headers={**named, "X-Forwarded-For": forwarded}).status_code

        # What a client writes stands before what the proxy adds.
        assert [guess("9.9.9.9, 1.1.1.1"), guess("8.8.8.8, 1.1.1.1")] == [403, 403]
        assert guess("7.7.7.7, 1.1.1.1") == 429
        assert guess("2.2.2.2") == 403


def test_invitations_cannot_be_guessed_in_bulk(tmp_path):
    folder = tmp_path / "study"
    write_study(folder, **FIRST)
    token = invited(folder)
    with served(folder, limits=RaterLimits(burst=100, rate=0.001)) as url:
        guesser = Client(url).http
        # Without a proxy the header is anybody's.
        headers = [{"X-Forwarded-For": f"1.1.1.{n}"} for n in range(8)]
        statuses = [
            guesser.get(f"/r/guess{n}", headers=h).status_code for n, h in enumerate(headers)
        ]
        assert statuses == [403] * 4 + [429] * 4
        # A rater at the same address works on, within limits of its own.
        rater = Client(url, token)
        assert rater.page.status_code == 200
        assert {rater.http.get("/").status_code for _ in range(120)} == {200, 429}
        assert "retry-after" in rater.http.get("/").headers


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"x=" + b"1" * 70_000, 413), (b"\xff\xfe", 400), (b"a=1&" * 1001, 400)],
)
def test_bodies_that_are_refused(pages, body, status):
    folder, url = pages
    rater = Client(url, invited(folder))
    assert rater.http.post("/consent", content=body).status_code == status


def test_an_output_that_is_not_what_was_pinned_is_not_shown(tmp_path, caplog):
    folder = tmp_path / "study"
    study = write_study(folder, "translation", "text", **FIRST)
    with served(folder) as url:
        rater = Client(url, invited(folder, language="en")).agree()
        for item in study.items:
            for output in item.outputs.values():
                (folder / output.file).write_text("something else")
        answer = rater.http.get("/training/0")
        assert answer.status_code == 500
        assert "something else" not in answer.text
        assert str(folder) not in answer.text
    assert "was changed" in caplog.text


def test_seconds_are_bounded(pages):
    folder, url = pages
    token = invited(folder)
    rater = Client(url, token).begin()
    for said, kept in (("12.5", 12.5), ("-1", 0), ("nan", 0), ("1e300", 86400), ("x", 0)):
        rater.send("/judgements", **rater.choices(), seconds=said)
        assert judgements(folder, rater_of(folder, token).id)[-1].seconds == kept


def test_words_are_there_in_every_language_with_the_same_gaps():
    assert set(languages()) == {"th", "vi", "id", "ms", "fil", "km", "lo", "my", "ta", "en"}

    def gaps(text):
        return sorted(name for _, name, _, _ in Formatter().parse(text) if name)

    english = speech("en").words.model_dump()
    for language in languages():
        words = speech(language).words.model_dump()
        assert words.pop("reviewed") == (language == "en")
        assert all(text.strip() and gaps(text) == gaps(english[key]) for key, text in words.items())
    # A region of a language, and a language that is not there.
    assert speech("th-TH").language == "th"
    assert speech("jv").language == "en"


def test_a_page_says_that_a_machine_translated_it(pages):
    folder, url = pages
    for language, said in (("th", True), ("en", False)):
        page = Client(url, invited(folder, language=language)).text
        assert ("translated by a machine" in page) == said
        assert f'<html lang="{language}">' in page


def test_designs_of_the_package_ask_in_every_language():
    for design in ("likert", "translation"):
        for scale in study_of(design).design.scales:
            for texts in (scale.question, *scale.ends):
                assert set(texts) == set(languages())


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--host", "192.0.2.1"], 2, "--address https://"),
        (["--address", "rate.example.org"], 2, "is not an http or https address"),
        ([], 1, "is not a study"),
    ],
)
def test_a_server_that_cannot_be_says_what_is_missing(tmp_path, options, code, said):
    result = CliRunner().invoke(cli, ["humans", "serve", str(tmp_path), *options])
    assert (result.exit_code, said in result.output) == (code, True), result.output


def test_a_port_that_is_taken(pages):
    folder, url = pages
    result = CliRunner().invoke(
        cli, ["humans", "serve", str(folder), "--port", url.rpartition(":")[2]]
    )
    assert result.exit_code == 1
    assert "--port 0 takes a free one" in result.output
