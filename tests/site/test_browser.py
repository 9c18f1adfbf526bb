"""The explorer in a browser: from files and under a sub-path, by keyboard, on phones, with hostile text."""

from __future__ import annotations

import functools
import gzip
import http.server
import json
import os
import shutil
import threading

import pytest

from tests.site.sample import DECLARED, EVIL, GOOD, OTHER, OTHERS_SUITE, WORDS, write_site

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
# On CI a missing browser is an error: skipped there, these tests would never run.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None and os.environ.get("CI") != "true", reason="there is no chromium here"
    ),
]
PHONE = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
VIEWS = {
    "map": "#/map",
    "alpha": "#/map?layer=alpha&year=1990",
    "count": "#/map?layer=count",
    "wanted": "#/map?layer=wanted&focus=southeast-asia",
    "country": "#/country/la",
    "country without": "#/country/us",
    "adapter": f"#/adapter/{EVIL}",
    "sample": f"#/adapter/{GOOD}",
    "declared": f"#/adapter/{DECLARED}",
    "comparison": f"#/compare?a={GOOD}&a={OTHERS_SUITE}&a={EVIL}",
    "search": "#/search?q=good",
    "nothing": "#/country/nowhere",
}


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return write_site(tmp_path_factory.mktemp("sites") / "sub" / "path")


@pytest.fixture(scope="module")
def address(site):
    """The site over HTTP, below a path."""
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": print_nothing})
    handler = functools.partial(quiet, directory=str(site.parents[1]))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/sub/path/"
        server.shutdown()


def print_nothing(*_):
    pass


class Reader:
    """A page, with what the browser complains of and what it loads."""

    def __init__(self, browser, place, **options):
        self.place, self.complaints, self.loaded = place, [], []
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(120_000)
        self.page.on("console", lambda line: self.complaints.append(line.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.loaded.append(request.url))

    def open(self, view):
        self.page.goto("about:blank")
        self.page.goto(self.place + VIEWS.get(view, view))
        self.page.wait_for_selector("main h1")
        # Charts are drawn when their place has a width.
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('.chart, .map-place')].every(e => e.querySelector('svg'))"
        )
        return self.page

    def check(self):
        """WCAG 2.2 AA as far as axe sees it, and nothing wider than the screen."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page, options={"runOnly": RULES}).response["violations"]
        assert [(v["id"], [n["html"][:200] for n in v["nodes"]][:3]) for v in found] == []
        width = self.page.viewport_size["width"]
        assert self.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("by", ["file", "http"])
def test_every_view_opens_with_its_policy_on_and_loads_nothing_else(browser, site, address, by):
    place = f"{site.as_uri()}/index.html" if by == "file" else address
    reader = Reader(browser, place)
    for view in VIEWS:
        page = reader.open(view)
        assert page.evaluate("window.hacked") is None
        page.wait_for_function(
            "() => [...document.images].every(i => i.complete && i.naturalWidth)"
        )
        missing = page.locator("h1", has_text="There is nothing here").count()
        assert missing == (view == "nothing")
    start = place.removesuffix("index.html")
    others = [u for u in reader.loaded if not u.startswith((start, "about:", "data:"))]
    assert others == []
    assert reader.complaints == []


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_every_view_is_accessible(browser, address, device, colours):
    options = PHONE if device == "phone" else {}
    reader = Reader(browser, address, color_scheme=colours, **options)
    for view in VIEWS:
        page = reader.open(view)
        page.locator("details").evaluate_all("all => all.forEach(e => { e.open = true; })")
        reader.check()


def test_hostile_cards_are_text(browser, address):
    reader = Reader(browser, address)
    for view in ("adapter", "country", "comparison", "#/search?q=script"):
        page = reader.open(view)
        assert "<script>window.hacked = 1</script>" in page.locator("main").inner_text()
        assert (
            page.locator(
                "main script, main img, main iframe, main style, main form[action]"
            ).count()
            == 0
        )
        links = page.locator("a[href]").evaluate_all("all => all.map(a => a.getAttribute('href'))")
        assert [link for link in links if not link.startswith("#/")] == []
        # What turns the direction of text is isolated.
        turned = page.get_by_text("\u202e").evaluate_all(
            "all => all.filter(e => !e.children.length && e.tagName !== 'OPTION' && "
            "!/isolate/.test(getComputedStyle(e).unicodeBidi) && e.dir !== 'auto').map(e => e.outerHTML.slice(0, 99))"
        )
        assert turned == []
    assert reader.complaints == []


def test_the_map_shows_one_suite_and_marks_others(browser, address):
    reader = Reader(browser, address)
    page = reader.open("map")

    def classes():
        return {
            code: page.locator(f".map [data-id={code}]").get_attribute("class").split("fill-")[1]
            for code in ("th", "la", "bn", "sg", "tl", "us")
        }

    expected = {"th": "gain-3", "la": "loss-2", "bn": "no_difference", "sg": "other_suite",
                "tl": "declared", "us": "none"}  # fmt: skip
    assert classes() == expected
    legend = page.locator("figcaption").inner_text()
    assert all(word in legend for word in ("vision-language model", WORDS[:7], "parity"))
    page.locator("label:has-text('Suite') select").select_option(OTHER)
    assert classes()["sg"].startswith("gain")
    assert classes()["th"] == "other_suite"
    page.wait_for_function("suite => location.hash.includes(suite)", arg=f"suite={OTHER}")
    # The same address shows the same.
    page.reload()
    page.wait_for_selector(".map [data-id=th]")
    assert classes()["th"] == "other_suite"


def test_small_countries_can_be_hit_and_the_table_says_the_same(browser, address):
    reader = Reader(browser, address)
    for name, code in (("Singapore", "sg"), ("Brunei", "bn"), ("Timor-Leste", "tl")):
        page = reader.open("map")
        box = page.locator(f".map [data-id={code}] .reach").bounding_box()
        assert min(box["width"], box["height"]) >= 14
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        shown = page.locator(".tooltip").inner_text()
        assert name in shown
        said = page.locator(f"tr:has(a[href='#/country/{code}'])").inner_text()
        assert shown.splitlines()[1] in said
        page.mouse.down()
        page.mouse.up()
        page.wait_for_selector(f"h1:has-text('{name}')")


def test_the_map_by_the_keyboard_alone(browser, address):
    page = Reader(browser, address).open("map")
    focused = page.locator("*:focus")
    for _ in range(40):
        page.keyboard.press("Tab")
        if focused.evaluate("e => e.closest('.map') !== null"):
            break
    seen = set()
    for key in ("ArrowDown", "ArrowRight", "ArrowUp", "ArrowLeft"):
        page.keyboard.press(key)
        seen.add(focused.get_attribute("data-id"))
        assert page.locator(".tooltip").is_visible()
    assert len(seen) >= 2
    name = focused.get_attribute("aria-label").split(":")[0]
    page.keyboard.press("Enter")
    page.wait_for_selector(f"h1:has-text('{name}')")
    # What is read goes on where the new page begins.
    assert focused.evaluate("e => e.id") == "main"


def test_the_slider_follows_both_policies_and_the_address_keeps_it(browser, address):
    page = Reader(browser, address).open(f"#/adapter/{GOOD}?policy=keep")
    assert "parity takes beta 0.75" in page.locator(".spoken").inner_text()
    assert "keep takes beta 0.25" in page.locator(".spoken").inner_text()
    page.locator("#alpha").fill("0.95")
    assert "parity takes beta 0," in page.locator(".spoken").inner_text()
    page.wait_for_function("() => location.hash.includes('alpha=0.95')")
    page.reload()
    assert "alpha 0.950: parity takes beta 0," in page.locator(".spoken").inner_text()


def test_what_was_asked_otherwise_is_greyed_with_the_reason(browser, address):
    page = Reader(browser, address).open("comparison")
    row = page.locator("tr.greyed")
    assert row.count() == 1
    assert "which asks other questions" in row.inner_text()


def test_tables_are_downloaded(browser, address):
    page = Reader(browser, address).open("map")
    found = {}
    for kind in ("CSV", "JSON"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"download {kind}").click()
        found[kind] = download.value.path().read_text()
        assert download.value.suggested_filename == f"map.{kind.lower()}"
    rows = json.loads(found["JSON"])
    assert next(r for r in rows if r["country"] == "Thailand")["value"] == 5.4
    assert next(r for r in rows if r["country"] == "Timor-Leste")["value"] is None
    assert found["CSV"].splitlines()[0] == "country,state,value,low,high,beta,adapter"
    assert len(rows) == len(found["CSV"].splitlines()) - 1


def test_the_lock_is_saved_as_it_is(browser, address):
    page = Reader(browser, address).open(f"#/adapter/{GOOD}")
    page.locator("summary", has_text="The lock").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save ggez.lock").click()
    assert download.value.suggested_filename == "ggez.lock"
    assert download.value.path().read_text() == "plain"


def test_ten_thousand_adapters_are_searched_at_once(browser, tmp_path):
    folder = write_site(tmp_path / "large", rows=10_000)
    reader = Reader(browser, f"{folder.as_uri()}/index.html")
    page = reader.open("#/search")
    assert page.locator(".count").inner_text() == "10,000 adapters of 10,000"
    page.get_by_label("Region").select_option("ph")
    assert page.locator(".count").inner_text() == "3,333 adapters of 10,000"
    page.locator("#q").fill("a123")
    assert page.locator("tbody tr").count() <= 50
    # The first view: everything that it loads, compressed.
    reader.loaded.clear()
    reader.open("map")
    files = {
        u.removeprefix(folder.as_uri()).partition("#")[0] for u in reader.loaded if "file:" in u
    }
    size = sum(len(gzip.compress((folder / name.lstrip("/")).read_bytes())) for name in files)
    assert "/data/world.js" in files
    assert not any("table-" in name for name in files)
    assert size < 500_000
