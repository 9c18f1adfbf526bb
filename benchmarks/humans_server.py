"""How long the raters' server takes for the first page of a study of 10,000 items, and for the next."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import httpx2

from ggez_hub.embedded import AppServer
from ggez_hub.humans.design import find_design
from ggez_hub.humans.server.app import create_app
from ggez_hub.humans.server.limits import RaterLimits
from ggez_hub.humans.server.site import Site
from ggez_hub.humans.study import STUDY_FILE

ITEMS, RATERS = 10_000, 20
AIM = 0.3


def study(items: int) -> bytes:
    """A study of three models whose outputs nobody asks for here."""
    models = [
        {"name": name, "role": name, "digest": str(number) * 64}
        for number, name in enumerate(("base", "merged", "unmerged"))
    ]
    output = {"sha256": "0" * 64, "media": "picture"}
    return json.dumps(
        {
            "name": "large",
            "title": {"en": "Large"},
            "region": "th",
            "raters": {"global": ["en"], "regional": ["en"]},
            "design": find_design("likert").model_dump(),
            "models": models,
            "items": [
                {
                    "id": f"item-{number}",
                    "item_side": ("global", "regional")[number % 2],
                    "category": "Cuisine",
                    "language": "en",
                    "prompt": f"a market, {number}",
                    "outputs": {model["name"]: output for model in models},
                }
                for number in range(items)
            ],
            "instructions": {"en": "Judge."},
            "consent": {"version": "1", "text": {"en": "I take part."}},
            "raters_per_item": 3,
        }
    ).encode()


def main() -> None:
    """Print the start of the server, the first page of a rater, and pages after that."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / STUDY_FILE).write_bytes(study(ITEMS))
        started = time.perf_counter()
        site = Site(Path(folder), limits=RaterLimits(rate=1e9, burst=1e9))
        server = AppServer(create_app(site))
        ready = time.perf_counter() - started
        threading.Thread(target=server.run_until, daemon=True).start()
        first, later = [], []
        for number in range(RATERS):
            token = site.store.invite(("global", "regional")[number % 2], "en")
            rater = site.store.rater(token)
            assert rater is not None
            site.store.agree(rater.id, "1", "TH", ("en",))
            site.store.train(rater.id)
            cookie = {"Cookie": f"{site.cookie}={token}"}
            with httpx2.Client(base_url=server.url, headers=cookie) as client:
                # The connection and the template are there; this rater's queue is not.
                client.get("/static/style.css")
                for times in (first, later, later):
                    before = time.perf_counter()
                    assert "/judgements" in client.get("/").text
                    times.append(time.perf_counter() - before)
        server.should_exit = True
    print(f"{ITEMS:,} items: the server starts in {ready:.2f} s")
    print(f"first page of a rater, the slowest of {RATERS}: {max(first):.3f} s (aim {AIM})")
    print(f"pages after it: {median(later):.3f} s")
    assert max(first) < AIM


if __name__ == "__main__":
    main()
