"""The demo world in a hub: its models, its data sets, and the index of its accepted adapters.

Author and date are fixed, so that commit ids are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.contained_files import files_below
from ggez_hub.demo.world import CARD, EMBEDDING, FamilyFolders, family_folders
from ggez_hub.registry.constants import INDEX_REPO

if TYPE_CHECKING:
    from ggez_hub.embedded import HubStore

ASSETS = Path(__file__).parent / "assets"
BASE_REPO = EMBEDDING.repo
# The data sets by their folder below the assets.
DATA = {"emoji-names": "ggez-world/emoji-names", "emoji-prompts": "ggez-world/emoji-prompts"}
AUTHOR = "ggez-world"
EMAIL = "world@ggez-hub.invalid"
DATE = 1_790_000_000  # seconds since 1970, UTC: in September 2026
# Names the folder of the store. Raise it when the world changes: a store is seeded once.
WORLD_VERSION = 8


def seed(store: HubStore, assets: Path = ASSETS) -> None:
    """Put the world into a hub's store; what is there already is left as it is.

    Families and data sets that the assets lack are left out. The index comes last: a seeding that
    was interrupted is taken up again.
    """
    store.create_repo("dataset", INDEX_REPO, exist_ok=True)
    if store.head("dataset", INDEX_REPO) is not None:
        return
    for name, repo in DATA.items():
        if (assets / name).is_dir():
            _commit(store, "dataset", repo, _files(assets / name))
    _commit(store, "dataset", INDEX_REPO, commit_models(store, assets))


def commit_models(store: HubStore, assets: Path = ASSETS) -> dict[str, bytes | Path]:
    """Put the models into a store; returns the cards of the adapters by their path in the index."""
    # `doctor` imports this module where huggingface_hub cannot be imported.
    from ggez_hub.cards import read_card
    from ggez_hub.registry.index.entries import accepted, card_path

    index: dict[str, bytes | Path] = {}
    families = family_folders(assets)
    for place in families:
        commit_base(store, place)
        for folder in sorted(path for path in place.family.iterdir() if path.is_dir()):
            if folder == place.base:
                continue
            repo = place.part.adapter_repo(folder.name)
            revision = _commit(store, "model", repo, _files(folder))
            document = read_card(folder / CARD)
            # Where there is a choice, a bare pull takes the first family.
            first = len(families) > 1 and place == families[0]
            text = accepted(document, repo, revision, recommended=first)
            index[card_path(document, repo)] = text.encode()
    return index


def commit_base(store: HubStore, place: FamilyFolders) -> str:
    """Put a family's base into a store; returns its commit, which is the same in every store."""
    return _commit(store, "model", place.part.repo, _files(place.base))


def store_folder() -> Path:
    """The store of this user's embedded hub."""
    import platformdirs

    return platformdirs.user_cache_path("ggez-hub") / "embedded" / f"world-{WORLD_VERSION}"


@contextmanager
def demo_hub() -> Iterator[str]:
    """The address of this user's embedded hub, started or joined, seeded with the world."""
    from ggez_hub.embedded import session

    with session(store_folder(), seed) as endpoint:
        yield endpoint


def demo_token() -> str | None:
    """The token with which this user may write to their embedded hub while it is open."""
    from ggez_hub.embedded import session_token

    return session_token(store_folder())


def _files(folder: Path) -> dict[str, bytes | Path]:
    return dict(files_below(folder))


def _commit(store: HubStore, repo_type: str, repo: str, files: dict[str, bytes | Path]) -> str:
    store.create_repo(repo_type, repo, exist_ok=True)
    head = store.head(repo_type, repo)
    if head is not None:
        return head
    return store.commit(
        repo_type, repo, files, message="Add the demo world", author=AUTHOR, email=EMAIL, date=DATE
    )
