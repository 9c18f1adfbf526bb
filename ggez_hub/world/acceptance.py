"""The demo world's adapters as the registry accepts them: the cards below cards/ of the checkout."""

from __future__ import annotations

import tempfile
from pathlib import Path

from dulwich.object_store import iter_tree_contents
from dulwich.objects import Blob, Commit
from dulwich.repo import Repo

from ggez_hub.cards import CardDocument, parse_card, render_card
from ggez_hub.embedded import HubStore
from ggez_hub.registry.places import INDEX_REPO
from ggez_hub.world.seed import ASSETS, seed

MARK = """\
> Of the demo world: its repositories are on the embedded hub (`--hub embedded`), not on huggingface.co.

"""


def acceptable_cards(assets: Path = ASSETS) -> dict[str, str]:
    """The text of each card, by its path below cards/; their scores are claims until measured there.

    An adapter of a group of countries is left to the embedded hub.
    """
    return {
        path: _claiming(text)
        for path, text in _index(assets).items()
        if len(Path(path).parts[1]) == len("th")
    }


def _index(assets: Path) -> dict[str, str]:
    """The cards of the index that the world is seeded with."""
    with tempfile.TemporaryDirectory() as folder, HubStore.open(Path(folder)) as store:
        seed(store, assets)
        with Repo(str(store.folder(store.repo("dataset", INDEX_REPO)))) as repo:
            head = repo[repo.head()]
            assert isinstance(head, Commit)  # noqa: S101 - a branch is at a commit
            found = {}
            for entry in iter_tree_contents(repo.object_store, head.tree):
                blob = repo[entry.sha] if entry.sha else None
                path = (entry.path or b"").decode()
                if path.startswith("cards/") and isinstance(blob, Blob):
                    found[path] = blob.data.decode()
            return found


def _claiming(text: str) -> str:
    document = parse_card(text.replace("measured_by: registry", "measured_by: self"))
    title, _, prose = document.prose.partition("\n\n")
    return render_card(
        CardDocument(document.card, document.front_matter, f"{title}\n\n{MARK}{prose}")
    )
