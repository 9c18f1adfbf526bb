"""The evidence behind a pulled folder: its adapter's card and the answers that its scores rest on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ggez_hub.cards import render_card
from ggez_hub.errors import UsageProblem
from ggez_hub.hub import Hub, link_fetched
from ggez_hub.quantities import counted
from ggez_hub.registry.constants import CARD_NAME
from ggez_hub.registry.index.entries import read_pinned_card
from ggez_hub.registry.lock import MergeLock, one_lock_in, read_any_lock
from ggez_hub.registry.resolution import PinnedAdapter

ANSWERS = ".parquet"


def pulled_adapter(place: Path) -> PinnedAdapter | None:
    """The adapter of a pulled folder, or of a family's model in it; None if it is neither.

    Raises UsageProblem for several families, and for a composition.
    """
    file = one_lock_in(place)
    lock = read_any_lock(file) if file else None
    if lock is None or isinstance(lock, MergeLock):
        return None
    if len(lock.resolution.adapters) > 1:
        raise UsageProblem(
            f"{place} is a composition of {counted(len(lock.resolution.adapters), 'adapter')}",
            "Each adapter's own repository has the scores of that adapter.",
        )
    return lock.resolution.adapters[0]


@contextmanager
def evidence_of(adapter: PinnedAdapter, hub: Hub) -> Iterator[Path]:
    """A folder with the adapter's pinned card and its answers; removed afterwards.

    Raises ChangedFile, and what the client raises.
    """
    text = render_card(read_pinned_card(hub, adapter.card))
    card, source = adapter.card, adapter.source
    # Its author's answers are beside the adapter, the registry's in the index.
    places = [(source.repo, source.revision, "model", "evidence/")]
    if card.repo_type == "dataset":
        name = card.path.removeprefix("cards/").removesuffix(".md")
        places.append((card.repo, card.revision, "dataset", f"evidence/{name}/"))
    with tempfile.TemporaryDirectory() as work:
        place = Path(work) / source.repo.rpartition("/")[2]
        for repo, revision, kind, prefix in places:
            listed = hub.at_commit(repo, revision, kind).files
            answers = [f for f in listed if f.path.startswith(prefix) and f.path.endswith(ANSWERS)]
            if answers:
                fetched = hub.fetch(repo, revision, answers, kind)
                link_fetched(fetched, answers, place / kind)
        place.mkdir(exist_ok=True)
        (place / CARD_NAME).write_text(text, encoding="utf-8")
        yield place
