"""The raters' pages in a browser: phones, the keyboard alone, a lost connection, hostile outputs."""

from __future__ import annotations

import json
import os
import re
import shutil

import pytest

from ggez_hub.humans.assignment import queue
from ggez_hub.humans.server.words import speech
from ggez_hub.humans.store import Store

from .served import invited, served, write_study

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
# On CI a missing browser is an error: skipped there, these tests would never run.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None and os.environ.get("CI") != "true", reason="there is no chromium here"
    ),
]
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
SMALL = {"items": 3, "gold": 2, "items_per_rater": 3, "repeats": 0.0}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
HOSTILE = (
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    "<svg onload='window.hacked = 1'><style>* { display: none }</style></svg>"
    "</div></main><form action='https://evil.example'><button>\x1b[2J\x07\u202eabc {{ 7 * 7 }} "
    + "w"
    * 3000
)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


class Visitor:
    """A rater at a browser; collects what the browser complains of."""

    def __init__(self, browser, url, token, **options):
        self.url = url
        self.complaints = []
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(120_000)
        self.page.on("console", lambda line: self.complaints.append(line.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(f"{url}/r/{token}")
        self.page.wait_for_url(f"{url}/")

    @property
    def title(self):
        return self.page.locator("h1").inner_text()

    def agree(self):
        self.page.select_option("#country", "TH")
        self.page.locator("input[name=language]").first.check()
        self.page.check("input[name=agree]")
        self.press_button()
        return self

    def begin(self):
        """Through consent and training."""
        self.agree()
        while self.page.locator("a.button").count():
            self.page.locator("a.button").click()
            self.answer()
            self.press_button()
            self.page.wait_for_selector(".feedback")
        self.press_button(".feedback")
        return self

    def answer(self, number=0):
        for question in self.page.locator("fieldset.question").all():
            question.locator("input").nth(number).check()

    def press_button(self, inside="main"):
        """Press the first button there, and wait for what follows."""
        before = self.page.locator("body").element_handle()
        self.page.locator(f"{inside} button").first.click()
        self.page.wait_for_function("before => document.body !== before", arg=before)

    def judge(self, number=0):
        self.answer(number)
        self.press_button()

    def kept(self):
        return self.page.evaluate("Object.keys(localStorage)")

    @property
    def is_finished(self):
        return not self.page.locator("form[data-keep]").count()

    def check_page(self):
        """WCAG 2.2 AA as far as axe sees it, and nothing wider than the screen."""
        from axe_playwright_python.sync_playwright import Axe

        options = {"runOnly": RULES, "rules": {"target-size": {"enabled": True}}}
        found = Axe().run(self.page, options=options).response["violations"]
        assert not found, json.dumps(found, indent=1)
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not self.page.evaluate(wide)


def judgements(folder, token):
    rater = Store(folder).rater(token)
    return [j for j in Store(folder).judgements() if j.rater == rater.id]


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "study"
    return folder, write_study(folder, **SMALL)


@pytest.mark.parametrize(
    ("design", "media", "language", "colours"),
    [
        ("likert", "picture", "th", "light"),
        ("pairs", "picture", "vi", "dark"),
        ("rank", "text", "th", "light"),
        ("translation", "text", "my", "dark"),
    ],
)
def test_a_study_on_a_phone_is_accessible_on_every_page(
    browser, tmp_path, design, media, language, colours
):
    folder = tmp_path / "study"
    raters = {"regional": ("en", "th", "vi", "my")}
    models = 5 if design == "rank" else 3
    study = write_study(
        folder, design, media, **SMALL, models=models, raters=raters, language=language
    )
    token = invited(folder, language=language)
    with served(folder) as url:
        rater = Visitor(browser, url, token, color_scheme=colours, **PHONE)
        rater.check_page()
        rater.agree().check_page()
        rater.page.locator("a.button").tap()
        rater.page.wait_for_selector("fieldset.question")
        rater.check_page()
        rater.answer()
        rater.press_button()
        rater.check_page()
        rater.press_button(".feedback")
        rater.page.locator("summary").tap()
        rater.check_page()
        while not rater.is_finished:
            rater.judge()
        assert rater.title == speech(language).words.done
        rater.check_page()
        assert not rater.complaints
        rater.page.goto(f"{url}/r/unknown")
        rater.check_page()
    assert len(judgements(folder, token)) == len(queue(study, "regional", language, 0))


def test_a_study_by_the_keyboard_alone(browser, study):
    folder, pinned = study
    token = invited(folder, language="en")
    with served(folder) as url:
        rater = Visitor(browser, url, token)
        keyboard, focused = rater.page.keyboard, rater.page.locator("*:focus")

        def tab_to(what):
            for _ in range(40):
                keyboard.press("Tab")
                if focused.evaluate(f"e => e.matches({what!r})"):
                    # What has the focus can be seen to have it.
                    style = "e => getComputedStyle(e.closest('.choices label') || e).outlineStyle"
                    assert focused.evaluate(style) != "none"
                    return
            raise AssertionError(f"the keyboard does not reach {what}")

        def questions(key):
            for question in range(rater.page.locator("fieldset.question").count()):
                tab_to("fieldset.question input")
                keyboard.press(key)
                chosen = rater.page.locator("fieldset.question").nth(question)
                assert chosen.locator("input:checked").count() == 1

        tab_to("#country")
        keyboard.type("Thai")
        tab_to("input[name=language]")
        keyboard.press("Space")
        tab_to("input[name=agree]")
        keyboard.press("Space")
        keyboard.press("Enter")
        rater.page.wait_for_selector("a.button")
        tab_to("a.button")
        keyboard.press("Enter")
        rater.page.wait_for_selector("fieldset.question")
        questions("ArrowDown")
        keyboard.press("Enter")
        rater.page.wait_for_selector(".feedback")
        tab_to(".feedback button")
        keyboard.press("Enter")
        total = len(queue(pinned, "regional", "en", 0))
        for number in range(total):
            rater.page.wait_for_function(
                "n => document.querySelector('progress')?.value === n", arg=number
            )
            # Where the page begins is where the keyboard goes on.
            assert focused.evaluate("e => e.tagName") == "H1"
            questions("3")
            keyboard.press("Enter")
        rater.page.wait_for_function(
            "text => document.querySelector('h1').textContent === text",
            arg=speech("en").words.done,
        )
        assert not rater.complaints
    found = judgements(folder, token)
    assert len(found) == total
    assert {v for j in found for values in j.answers.values() for v in values.values()} == {3.0}


def test_the_same_without_scripts(browser, study):
    folder, pinned = study
    token = invited(folder, language="en")
    with served(folder) as url:
        page = browser.new_context(java_script_enabled=False).new_page()
        page.goto(f"{url}/r/{token}")
        page.wait_for_url(f"{url}/")
        page.select_option("#country", "TH")
        page.locator("input[name=language]").first.check()
        page.check("input[name=agree]")
        page.click("main button")
        page.click("a.button")
        while not page.locator("h1", has_text=speech("en").words.done).count():
            for question in page.locator("fieldset.question").all():
                question.locator("input").nth(1).check()
            page.locator("main button").first.click()
    assert len(judgements(folder, token)) == len(queue(pinned, "regional", "en", 0))


def test_without_a_connection_an_answer_is_kept_and_sent_once_later(browser, study):
    folder, _ = study
    token = invited(folder, language="en")
    words = speech("en").words
    with served(folder) as url:
        rater = Visitor(browser, url, token).begin()
        shown = rater.title
        rater.context.set_offline(True)
        rater.answer()
        rater.page.locator("form[data-keep] button").click()
        rater.page.get_by_text(words.offline).wait_for()
        # A second press sends nothing else.
        rater.page.locator("form[data-keep] button").click(force=True)
        assert rater.title == shown
        assert len(rater.kept()) == 1
        assert not judgements(folder, token)
        rater.context.set_offline(False)
        rater.page.wait_for_function(
            "shown => document.querySelector('h1').textContent !== shown", arg=shown
        )
        assert len(judgements(folder, token)) == 1
        assert not rater.kept()
        rater.judge()
        assert len(judgements(folder, token)) == 2


def test_an_answer_whose_receipt_is_lost_counts_once(browser, study):
    folder, _ = study
    token = invited(folder, language="en")
    with served(folder) as url:
        rater = Visitor(browser, url, token).begin()
        lost = []

        def lose(route):
            if not lost:
                # The server has it; its answer does not arrive.
                route.fetch(max_redirects=0)
                lost.append(len(judgements(folder, token)))
                route.abort()
            else:
                route.continue_()

        rater.page.route("**/judgements", lose)
        rater.judge()
        assert lost == [1]
        assert len(judgements(folder, token)) == 1
        rater.judge()
        assert len(judgements(folder, token)) == 2


def test_what_a_closed_browser_kept_is_sent_by_the_next_page_of_this_rater_alone(browser, study):
    folder, _ = study
    token, other = (invited(folder, language="en") for _ in range(2))
    with served(folder) as url:
        rater = Visitor(browser, url, token).begin()
        rater.page.route("**/judgements", lambda route: route.abort())
        rater.answer(2)
        rater.page.locator("form[data-keep] button").click()
        rater.page.get_by_text(speech("en").words.offline).wait_for()
        rater.page.close()
        # Somebody else takes the phone.
        page = rater.context.new_page()
        page.goto(f"{url}/r/{other}")
        page.wait_for_url(f"{url}/")
        page.wait_for_selector("#country")
        assert not judgements(folder, token)
        page.goto(f"{url}/r/{token}")
        page.wait_for_url(f"{url}/")
        page.wait_for_function("() => document.querySelector('progress')?.value === 1")
        assert page.evaluate("Object.keys(localStorage)") == []
    (kept,) = judgements(folder, token)
    assert set(kept.answers[kept.shown.models[0]].values()) == {3.0}
    assert not judgements(folder, other)


def test_a_picture_that_has_not_come_is_not_judged(browser, study):
    folder, _ = study
    token = invited(folder, language="en")
    with served(folder) as url:
        rater = Visitor(browser, url, token).begin()
        rater.page.route("**/outputs/**", lambda route: route.abort())
        rater.page.reload()
        rater.answer()
        rater.page.locator("form[data-keep] button").click()
        rater.page.get_by_text(speech("en").words.picture_missing).wait_for()
        assert not judgements(folder, token)
        rater.page.unroute_all()
        rater.page.locator("form[data-keep] button").click()
        loaded = "() => [...document.images].every(i => i.complete && i.naturalWidth)"
        rater.page.wait_for_function(loaded)
        rater.press_button()
    assert len(judgements(folder, token)) == 1


def test_undo_and_another_device(browser, study):
    folder, _ = study
    token = invited(folder, language="en")
    with served(folder) as url:
        phone = Visitor(browser, url, token, **PHONE).begin()
        first = phone.page.locator(".prompt").inner_text()
        phone.judge(0)
        desk = Visitor(browser, url, token)
        assert desk.title == phone.title
        desk.press_button("form[action='/undo']")
        assert desk.page.locator(".prompt").inner_text() == first
        desk.judge(2)
        # The phone still shows the second screen, which it judges.
        phone.judge(1)
    found = judgements(folder, token)
    assert [set(j.answers[j.shown.models[0]].values()) for j in found] == [{3.0}, {2.0}]


def test_two_raters_at_once(browser, study):
    folder, pinned = study
    tokens = [invited(folder, language="en"), invited(folder, side="global", language="en")]
    with served(folder) as url:
        raters = [Visitor(browser, url, token).begin() for token in tokens]
        while not all(rater.is_finished for rater in raters):
            for number, rater in enumerate(raters):
                if not rater.is_finished:
                    rater.judge(number)
    for number, (token, side) in enumerate(zip(tokens, ("regional", "global"), strict=True)):
        found = judgements(folder, token)
        assert {j.shown for j in found} == set(queue(pinned, side, "en", 0))
        assert {v for j in found for a in j.answers.values() for v in a.values()} == {number + 1}


def test_an_invitation_opens_from_another_site(browser, study):
    folder, _ = study
    token = invited(folder, language="en")
    with served(folder) as url:
        page = browser.new_context().new_page()
        link = f'<a href="{url}/r/{token}">mail</a>'
        page.route("http://mail.example/", lambda route: route.fulfill(content_type="text/html", body=link))  # fmt: skip
        page.goto("http://mail.example/")
        page.click("a")
        page.wait_for_selector("#country")


def test_hostile_outputs_are_text(browser, tmp_path):
    folder = tmp_path / "study"
    write_study(folder, "translation", "text", text=HOSTILE, prompt=HOSTILE, **SMALL)
    with served(folder) as url:
        rater = Visitor(browser, url, invited(folder, language="en"), **PHONE)
        asked = []
        rater.page.on("request", lambda request: asked.append(request.url))
        rater.begin()
        rater.check_page()
        for shown in (rater.page.locator(".panel .text"), rater.page.locator(".prompt .text")):
            assert "<script>window.hacked = 1</script>" in shown.inner_text()
            assert "{{ 7 * 7 }}" in shown.inner_text()
            assert "\x1b" not in shown.inner_text()
        assert rater.page.evaluate("window.hacked") is None
        assert all(address.startswith(url) for address in asked)
        assert not rater.complaints
        rater.judge()


def test_nothing_that_a_browser_gets_says_which_model_it_is(browser, study):
    folder, pinned = study
    sent = []
    with served(folder, sent) as url:
        rater = Visitor(browser, url, invited(folder, language="en")).begin()
        while not rater.is_finished:
            rater.judge()
    # But for pictures and fonts.
    text = "\n".join(
        f"{dict(message['headers'])}" if "headers" in message else message["body"].decode()
        for message in sent
        if "headers" in message or message["body"].isascii()
    )
    outputs = {o for item in pinned.items for o in item.outputs.values()}
    secrets = {
        pinned.digest,
        *(m.digest for m in pinned.models),
        *(m.name for m in pinned.models),
        *(m.role for m in pinned.models if m.role != "base"),
        *(o.sha256 for o in outputs),
        *(item.id for item in pinned.items),
        str(folder),
        "beta",
    }
    assert "Save and continue" in text
    assert "private, max-age" in text
    assert not [secret for secret in secrets if re.search(rf"\b{secret}\b", text)]


LINES = """
box => {
  // Where lines begin: the offsets at which the text is lower than before.
  const node = box.firstChild, range = document.createRange(), starts = [];
  let bottom = null;
  for (let at = 0; at < node.length; at++) {
    range.setStart(node, at); range.setEnd(node, at + 1);
    const box = range.getBoundingClientRect();
    if (bottom !== null && box.top >= bottom - 1 && box.height) starts.push(at);
    if (box.height) bottom = Math.max(bottom ?? 0, box.bottom);
  }
  const words = [...new Intl.Segmenter(box.lang, { granularity: "word" }).segment(node.data)];
  return [starts.length, starts.filter(at => !words.some(word => word.index === at)).length];
}
"""
SENTENCES = {
    "th": "ตลาดน้ำแห่งนี้มีเรือขายอาหารและผลไม้มากมายตั้งแต่เช้าตรู่จนถึงเที่ยงวันของทุกวันเสาร์และวันอาทิตย์",
    "lo": "ຕະຫຼາດນ້ຳແຫ່ງນີ້ມີເຮືອຂາຍອາຫານແລະໝາກໄມ້ຫຼາຍຢ່າງຕັ້ງແຕ່ເຊົ້າຈົນຮອດທ່ຽງຂອງທຸກວັນເສົາ",
    "km": "ផ្សារបណ្តែតទឹកនេះមានទូកលក់អាហារនិងផ្លែឈើជាច្រើនចាប់ពីព្រឹករហូតដល់ថ្ងៃត្រង់រៀងរាល់ថ្ងៃសៅរ៍",
    "my": "ဤရေပေါ်ဈေးတွင်မနက်စောစောမှနေ့လယ်အထိအစားအစာနှင့်သစ်သီးများရောင်းသောလှေများစွာရှိပါသည်",
    "ta": "இந்த மிதக்கும் சந்தையில் காலை முதல் நண்பகல் வரை உணவும் பழங்களும் விற்கும் பல படகுகள் உள்ளன",
    "vi": "Chợ nổi này có nhiều thuyền bán đồ ăn và trái cây từ sáng sớm đến trưa mỗi thứ bảy",
}


def test_scripts_have_their_fonts_and_break_lines_between_words(browser, tmp_path):
    folder = tmp_path / "study"
    write_study(folder, raters={"regional": tuple(SENTENCES)}, **SMALL)
    with served(folder) as url:
        for language, sentence in SENTENCES.items():
            rater = Visitor(browser, url, invited(folder, language=language), **PHONE).begin()
            box = rater.page.locator(".prompt .text")
            box.evaluate(
                "(box, [l, s]) => { box.lang = l; box.textContent = s; }", [language, sentence]
            )
            rater.page.evaluate("document.fonts.ready.then(() => null)")
            lines, inside_words = box.evaluate(LINES)
            assert lines >= 1, language
            assert inside_words == 0, language
            loaded = rater.page.evaluate(
                "[...document.fonts].filter(f => f.status === 'loaded').map(f => f.unicodeRange)"
            )
            letter = ord(sentence[0] if language != "vi" else "ợ")
            assert any(covers(ranges, letter) for ranges in loaded), language
            rater.context.close()


def covers(ranges, letter):
    """Whether a CSS unicode-range has a letter."""
    for part in ranges.replace("U+", "").split(","):
        low, _, high = part.strip().partition("-")
        if int(low, 16) <= letter <= int(high or low, 16):
            return True
    return False
