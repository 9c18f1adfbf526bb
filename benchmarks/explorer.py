"""How long the explorer's script takes in headless Chromium, with 10,000 adapters."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.site.sample import write_site

ADAPTERS = 10_000
AIM_VIEW, AIM_FILTER, AIM_BYTES = 1_000, 100, 500_000
MEASURED = {"ScriptDuration": "script", "TaskDuration": "all of its work"}
# From the event to the last change of the page, in milliseconds.
FILTER = """([selector, event, value]) => {
  const box = document.querySelector(selector);
  box.value = value;
  const start = performance.now();
  box.dispatchEvent(new Event(event));
  return performance.now() - start;
}"""


def work(page: Page, address: str) -> dict[str, float]:
    """Milliseconds that the browser worked to show a page."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    page.goto(address)
    page.wait_for_selector("main h1")
    page.wait_for_timeout(1000)
    found = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
    return {name: 1000 * found[key] for key, name in MEASURED.items()}


def main() -> None:
    """Print the first view, what it moves, and filters over all adapters."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = write_site(Path(folder), ADAPTERS)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        address = f"{site.as_uri()}/index.html"
        for view in ("map", "search"):
            page = browser.new_page()
            moved: list[str] = []
            page.on("requestfinished", lambda request, moved=moved: moved.append(request.url))
            times = work(page, f"{address}#/{view}")
            named = {url.partition("#")[0].removeprefix(site.as_uri() + "/") for url in moved}
            size = sum(
                len(gzip.compress((site / name).read_bytes()))
                for name in named
                if (site / name).is_file()
            )
            shown = ", ".join(f"{name} {value:.0f} ms" for name, value in times.items())
            print(f"{view}: {shown}; {size / 1000:.0f} kB compressed in {len(named)} files")
        for words in ("a12", "org/base-7 th", ""):
            took = page.evaluate(FILTER, ["#q", "input", words])
            print(f"filter by {words!r}: {took:.0f} ms, {page.locator('.count').inner_text()}")
        took = page.evaluate(FILTER, ["label.select select", "change", "th"])
        print(f"filter by region: {took:.0f} ms, {page.locator('.count').inner_text()}")
        browser.close()
    print(f"aims: script {AIM_VIEW} ms, {AIM_BYTES // 1000} kB, filter {AIM_FILTER} ms")
