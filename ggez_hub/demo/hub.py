"""The demo world in a hub: its models, its data set, and the index of its accepted adapters.

Author and date are fixed, so that commit ids are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.demo.world import DEMO_FAMILIES, EMBEDDING
from ggez_hub.registry.constants import CARD_NAME, INDEX_REPO

if TYPE_CHECKING:
    from ggez_hub.embedded import HubStore


ASSETS = Path(__file__).parent / "assets"

BASE_REPO = EMBEDDING.repo
DATA_REPO = "ggez-world/emoji-names"

# Folders of the assets and their repositories: the bases by family, and the data sets.
BASES = {part.family: part.repo for part in DEMO_FAMILIES.values()}
DATA = {"emoji-names": DATA_REPO, "emoji-prompts": "ggez-world/emoji-prompts"}
AUTHOR = "ggez-world"
EMAIL = "world@ggez-hub.invalid"
DATE = 1_790_000_000  # seconds since 1970, UTC: in September 2026


def adapter_repo(name: str, family: str = "embedding") -> str:
    """The repository of an adapter: its region's name behind the base's."""
    return f"{BASES[family]}-{name}"


def seed(store: HubStore, assets: Path = ASSETS) -> None:
    """Put the world into a hub's store; what is there already is left as it is.

    Families and data sets that the assets lack are left out. The index comes last: a seeding that
    was interrupted is taken up again.
    """
    # `doctor` imports this module where huggingface_hub cannot be imported.
    from ggez_hub.cards import read_card
    from ggez_hub.registry.index.entries import accepted, card_path

    store.create_repo("dataset", INDEX_REPO, exist_ok=True)
    if store.head("dataset", INDEX_REPO) is not None:
        return
    for name, repo in DATA.items():
        if (assets / name).is_dir():
            _commit(store, "dataset", repo, _files(assets / name))
    index: dict[str, bytes | Path] = {}
    families = [family for family in BASES if (assets / family / "base").is_dir()]
    for family in families:
        commit_base(store, assets, family)
        for folder in sorted((assets / family).iterdir()):
            if not folder.is_dir() or folder.name == "base":
                continue
            repo = adapter_repo(folder.name, family)
            revision = _commit(store, "model", repo, _files(folder))
            document = read_card(folder / CARD_NAME)
            # Where there is a choice, a bare pull takes the first family.
            first = len(families) > 1 and family == families[0]
            text = accepted(document, repo, revision, recommended=first)
            index[card_path(document, repo)] = text.encode()
    _commit(store, "dataset", INDEX_REPO, index)


def commit_base(store: HubStore, assets: Path, family: str = "embedding") -> str:
    """Put a family's base into a store; returns its commit, which is the same in every store."""
    return _commit(store, "model", BASES[family], _files(assets / family / "base"))


def _files(folder: Path) -> dict[str, bytes | Path]:
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _commit(store: HubStore, repo_type: str, repo: str, files: dict[str, bytes | Path]) -> str:
    store.create_repo(repo_type, repo, exist_ok=True)
    head = store.head(repo_type, repo)
    if head is not None:
        return head
    return store.commit(
        repo_type, repo, files, message="Add the demo world", author=AUTHOR, email=EMAIL, date=DATE
    )


# Names the folder of the store. Raise it when the world changes: a store is seeded once.
WORLD_VERSION = 7


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
