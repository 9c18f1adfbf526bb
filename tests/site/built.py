"""Built sites: of the demo world, of a folder of cards; and their data as a script reads them."""

from __future__ import annotations

import json
from contextlib import contextmanager

from ggez_hub.demo.hub import seed
from ggez_hub.embedded.store import HubStore
from ggez_hub.hub import Hub
from ggez_hub.registry.index.entries import accepted, card_path
from ggez_hub.site.build import build_site
from ggez_hub.site.source import read_source

from ..worlds import card, serving

SHELL = {"index.html": b"<!doctype html>\n"}
REVISION = "a" * 40


@contextmanager
def demo_world(folder):
    """A hub with the demo world as it ships, and its store."""
    with HubStore.open(folder) as store:
        seed(store)
        with serving(store) as endpoint:
            yield Hub(endpoint), store


def built(hub, out, index=None, name="embedded"):
    """The folder of a site and what was built."""
    return build_site(read_source(hub, name, index), out, SHELL)


def data(site, key):
    """The value of a data file, which has to be one call with its own key."""
    text = (site / "data" / f"{key}.js").read_text(encoding="ascii")
    head, tail = f"ggezData({json.dumps(key)},", ");\n"
    assert text.startswith(head)
    assert text.endswith(tail)
    return json.loads(text[len(head) : -len(tail)])


def layer(site, family, policy):
    """The countries of a layer."""
    (found,) = [
        each["countries"]
        for each in data(site, "overview")["layers"]
        if (each["family"], each["policy"]) == (family, policy)
    ]
    return found


def pages(site):
    """The pages of all adapters, by slug."""
    found = (site / "data" / "adapters").glob("*/*.js")
    return {path.stem: data(site, f"adapters/{path.parent.name}/{path.stem}") for path in found}


def write_accepted(cards, region, world, repo, name=None, front=None, **changes):
    """Write the registry's copy of a made-up card below a folder of cards."""
    base, adapter = world / "embedding" / "base", world / "embedding" / "th"
    document = card(region, base, adapter, **changes)
    document.front_matter.update(front or {})
    path = card_path(document, repo).removeprefix("cards/")
    target = cards / path if name is None else cards / path.rpartition("/")[0] / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(accepted(document, repo, REVISION), encoding="utf-8")
    return target
