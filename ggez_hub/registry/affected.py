"""What a yank or a takedown reaches: merges whose locks name an adapter that was yanked, or is gone."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

from ggez_hub.cards.hub_metadata import TAG
from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.registry.constants import LOCK_NAME
from ggez_hub.registry.index.search import known_entries
from ggez_hub.registry.lock import Lock, MergeLock, parse_any_lock
from ggez_hub.registry.repositories import PARALLEL, Gone, Repositories

# The tag of a published merge that is marked.
AFFECTED_TAG = "ggez-affected"


@dataclass(frozen=True)
class Ingredient:
    """A repository that a lock pins, at a commit if it does."""

    repo: str
    revision: str | None


@dataclass(frozen=True)
class Cause:
    """An ingredient, and what became of it since: `active` where nothing did."""

    repo: str
    revision: str | None
    state: Literal["yanked", "gone", "active"]
    reason: str

    @property
    def status(self) -> str:
        """What became of it, in words."""
        said = {"yanked": f"was yanked: {self.reason}", "gone": self.reason, "active": "is active"}
        return said[self.state]

    def __str__(self) -> str:
        return f"{self.repo} {self.status}"


@dataclass(frozen=True)
class AffectedMerge:
    """A published merge at a commit, why it is affected, and whether its card is marked.

    Of one that is marked and no longer affected, `causes` are what it was made of.
    """

    repo: str
    revision: str
    causes: tuple[Cause, ...]
    marked: bool

    @property
    def is_lifted(self) -> bool:
        """Whether it is marked, and nothing is wrong with what it was made of."""
        return self.marked and all(cause.state == "active" for cause in self.causes)


@dataclass(frozen=True)
class AffectedMerges:
    """Affected merges, and those whose lock cannot be read, with the reason."""

    merges: tuple[AffectedMerge, ...]
    unreadable: tuple[tuple[str, str], ...]


def ingredients(lock: Lock | MergeLock) -> tuple[Ingredient, ...]:
    """What a result was made of, the base first; of folders what names a repository."""
    if isinstance(lock, Lock):
        return tuple(Ingredient(i.repo, i.revision) for i in lock.resolution.inputs)
    inputs = (lock.merge.base, *lock.merge.adapters)
    return tuple(Ingredient(i.repo, i.revision) for i in inputs if i.repo is not None)


def yanked_among(lock: Lock | MergeLock, yanked: Mapping[str, str]) -> tuple[Cause, ...]:
    """The ingredients that were yanked; `yanked` has the reasons by repository in lower case."""
    return tuple(
        Cause(i.repo, i.revision, "yanked", yanked[i.repo.lower()] or "no reason given")
        for i in ingredients(lock)
        if i.repo.lower() in yanked
    )


def affected_merges(hub: Hub, named: Ingredient | None = None) -> AffectedMerges:
    """The published merges of a hub that were made of `named`, in whatever state that is.

    Without it, those of anything that the registry has yanked, or that one of its cards names and
    that is gone from the hub, and those that are marked, but are so no longer. Models with the tag `ggez`
    and a `ggez.lock` are looked at, at the head of `main`. Raises as `known_entries`, and what the client raises.
    """
    index = known_entries(hub)
    # What no card names may be its owner's own, and private.
    public = {r.lower() for e in index.entries for r in (e.repo, e.summary.base_repo)}
    repositories = Repositories(hub)
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = [f for f in pool.map(lambda m: _locked(hub, *m), hub.discover([TAG])) if f]
        held = {i for _, lock in found if not isinstance(lock, str) for i in ingredients(lock)}
        asked = {i for i in held if (_is_of(i, named) if named else i.repo.lower() in public)}
        repositories.ask_for((i.repo, i.revision or "main") for i in asked)
    merges = []
    for at, lock in found:
        own = () if isinstance(lock, str) else [i for i in ingredients(lock) if i in asked]
        causes = [_became(i, index.yanked, repositories) for i in own]
        marked = AFFECTED_TAG in (at.front_matter.get("tags") or ())
        wrong = [cause for cause in causes if cause.state != "active"]
        # What this package ships knows nothing of later yanks: it lifts no mark.
        if named is None and (wrong or not marked or index.shipped):
            causes = wrong
        if causes:
            merges.append(AffectedMerge(at.repo, at.revision, tuple(causes), marked))
    unreadable = tuple((at.repo, lock) for at, lock in found if isinstance(lock, str))
    return AffectedMerges(tuple(merges), unreadable)


def _is_of(ingredient: Ingredient, named: Ingredient) -> bool:
    same = ingredient.repo.lower() == named.repo.lower()
    return same and (ingredient.revision or "").startswith(named.revision or "")


def _locked(
    hub: Hub, repo: str, revision: str
) -> tuple[RepoAtCommit, Lock | MergeLock | str] | None:
    """A published merge with its lock, or why that cannot be read; None without one."""
    at = RepoAtCommit(repo, revision, (), "", gated=False)
    try:
        at = hub.at_commit(repo, revision)
        if at.file(LOCK_NAME) is None:
            return None
        text = hub.read_text(repo, at.revision, LOCK_NAME)
        return at, parse_any_lock(text, LOCK_NAME)
    except RepositoryNotFoundError:
        return None  # it went meanwhile
    except (GgezError, HfHubHTTPError) as problem:
        return at, str(problem).strip().partition("\n")[0]


def _became(each: Ingredient, yanked: Mapping[str, str], repositories: Repositories) -> Cause:
    if (reason := yanked.get(each.repo.lower())) is not None:
        return Cause(each.repo, each.revision, "yanked", reason or "no reason given")
    try:
        repositories.at(each.repo, each.revision or "main")
    except Gone as problem:
        what = "is gone or private" if problem.key == "repo" else "no longer has that commit"
        return Cause(each.repo, each.revision, "gone", what)
    except GatedRepoError:
        pass
    return Cause(each.repo, each.revision, "active", "")
