"""A folder that holds a hub: repos as bare git repositories, large files by sha256 or in chunks, accounts in SQLite.

    root/
      models|datasets|spaces|kernels|buckets/<namespace>/<name>.git
      lfs/<aa>/<bb>/<sha256>
      xet/<aa>/<bb>/<hash of a xorb>
      hub.sqlite3
      reserve             space that is given up when the disk is full
      token               a write token of the folder's owner, readable by them alone

Several processes may use one store at the same time.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from filelock import FileLock

from ggez_hub.embedded.access_control import Grants
from ggez_hub.embedded.accounts import Accounts, owner_token
from ggez_hub.embedded.buckets import Buckets
from ggez_hub.embedded.catalog import Catalog, RepoRecord
from ggez_hub.embedded.changes import Change, Remove, put_files
from ggez_hub.embedded.collections import Collections
from ggez_hub.embedded.commits import Signature
from ggez_hub.embedded.database import Database
from ggez_hub.embedded.discussions import Discussions
from ggez_hub.embedded.errors import AlreadyExistsError, is_full
from ggez_hub.embedded.lfs import LfsObjects, Signer
from ggez_hub.embedded.listing_index import ListedRepo, ListingIndex, RepoQuery, Summary, summarize
from ggez_hub.embedded.names import ALL_TYPES, split_repo_id
from ggez_hub.embedded.names import repo_type as as_repo_type
from ggez_hub.embedded.objects import DAMAGED
from ggez_hub.embedded.packing import pack_loose
from ggez_hub.embedded.pruning import stored_bytes
from ggez_hub.embedded.quotas import Quotas
from ggez_hub.embedded.repository import DEFAULT_BRANCH, GitRepository, RepoFolders
from ggez_hub.embedded.reserve import Reserve
from ggez_hub.embedded.webhooks import Webhooks
from ggez_hub.embedded.xet.catalog import XetCatalog
from ggez_hub.embedded.xet.storage import XetObjects

_ABANDONED_AFTER: Final = 24 * 3600
_UNREADABLE: Final = (FileNotFoundError, NotADirectoryError, *DAMAGED)
# Other users of the machine could read private repos there. The root may be a folder of other things, too.
_PRIVATE_FOLDERS: Final = (*(f"{kind}s" for kind in ALL_TYPES), "lfs", "xet")


class HubStore(AbstractContextManager["HubStore"]):
    """The hub in one folder. Open it with `HubStore.open`; close it, or use it in a `with` block."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.database = Database(root / "hub.sqlite3")
        self.accounts = Accounts(self.database)
        self.catalog = Catalog(self.database)
        self.buckets = Buckets(self.database)
        self.collections = Collections(self.database)
        self.discussions = Discussions(self.database)
        self.grants = Grants(self.database)
        self.index = ListingIndex(self.database)
        self.reserve = Reserve(root)
        self.webhooks = Webhooks(self.database)
        self.quotas = Quotas(self.database, lambda repo: stored_bytes(self.folder(repo)))
        self.folders = RepoFolders(root)
        self.lfs = LfsObjects(root / "lfs")
        self.xet = XetObjects(root / "xet", XetCatalog(self.database), self.lfs)
        self.signer = Signer(self.database.secret("uploads"))

    @classmethod
    def open(cls, root: Path) -> HubStore:
        """The store in a folder, which is made if it does not exist."""
        root = Path(root).absolute()
        if not root.exists() or not any(root.iterdir()):
            _make_private(root)
        with FileLock(root / "open.lock"):
            for name in _PRIVATE_FOLDERS:
                _make_private(root / name)
            store = Reserve(root).spend_on(lambda: cls(root))
        with store.repos_lock():
            return store

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    # Accounts

    def add_account(self, name: str, *, fullname: str = "", orgs: Collection[str] = ()) -> None:
        """Add a user who belongs to `orgs`; organisations that are missing are added.

        Raises InvalidRequestError if a name is malformed or taken.
        """
        self.accounts.add_user(name, fullname, dict.fromkeys(orgs, "write"))

    def new_token(self, name: str, scope: str) -> str:
        """A new token of a user, with the scope "read" or "write". It is shown this once.

        Raises InvalidRequestError if there is no such user or scope.
        """
        return self.accounts.new_token(name, scope)

    def revoke_token(self, token: str) -> bool:
        """Accept a token no longer; whether there was such a token."""
        return self.accounts.revoke_token(token)

    def owner_token(self) -> str:
        """A token of the folder's owner, who may do everything; kept in a file for them alone."""
        with FileLock(self.root / "open.lock"):
            return owner_token(self.root, self.accounts)

    # Repos

    def create_repo(
        self, repo_type: str, repo_id: str, *, private: bool = False, exist_ok: bool = False
    ) -> None:
        """Make a repo without commits; a namespace that nobody has becomes an organisation.

        Raises AlreadyExistsError, InvalidRequestError if the type or the id is malformed.
        """
        kind = as_repo_type(repo_type)
        namespace, name = split_repo_id(repo_id)
        if not self.accounts.exists(namespace):
            self.accounts.add_org(namespace)
        with self.repos_lock():
            if self.catalog.find(kind, namespace, name) is not None:
                if exist_ok:
                    return
                raise AlreadyExistsError(f"You already created this {kind} repo")
            # The folder first: a repo in the catalog can always be opened.
            self.folders.create(self.folders.path(kind, namespace, name))
            self.catalog.add(kind, namespace, name, private=private)

    def delete_repo(self, repo: RepoRecord) -> None:
        """Remove a repo and the large files that no other repo holds; also where the disk is full."""
        with self.repos_lock():
            self.reserve.spend_on(lambda: self._delete(repo))
        self.reserve.fill()

    def _delete(self, repo: RepoRecord) -> None:
        with self.lfs.lock():
            for oid in self.catalog.remove(repo):
                self.lfs.remove(oid)
            self.xet.remove_unused()
        self.folders.discard(self.folder(repo))

    def remove_large(self, repo: RepoRecord, oids: Collection[str]) -> None:
        """Let a repo hold large files no longer, and delete those that no other one holds.

        Chunks that came by Xet stay until garbage is collected; on a full disk this works, too.
        """
        held = self.catalog.linked(repo, oids)

        def remove() -> None:
            with self.lfs.lock():
                for oid in self.catalog.release(repo, held):
                    self.lfs.remove(oid)
                self.xet.remove_unused()

        self.reserve.spend_on(remove)
        self.reserve.fill()

    def move_repo(self, repo: RepoRecord, target: str) -> RepoRecord:
        """Give a repo another id.

        Raises AlreadyExistsError, InvalidRequestError if the id is malformed.
        """
        namespace, name = split_repo_id(target)
        with self.repos_lock():
            moved = self.catalog.rename(repo, namespace, name)
            self._finish_moves()
        return moved

    @contextmanager
    def repos_lock(self) -> Iterator[None]:
        """Held while repos come, go or move; what a killed process had begun is finished first."""
        with FileLock(self.root / "repos.lock"):
            self._finish_moves()
            yield

    def _finish_moves(self) -> None:
        for repo, namespace, name in self.catalog.unfinished_moves():
            self.folders.move(self.folders.path(repo.type, namespace, name), self.folder(repo))
            self.catalog.finish_move(repo)

    def repo(self, repo_type: str, repo_id: str) -> RepoRecord:
        """The repo of that id.

        Raises RepoNotFoundError, InvalidRequestError if the type or the id is malformed.
        """
        return self.catalog.get(as_repo_type(repo_type), *split_repo_id(repo_id))

    def folder(self, repo: RepoRecord) -> Path:
        """The git folder of a repo."""
        return self.folders.path(repo.type, repo.namespace, repo.name)

    def git(self, repo: RepoRecord) -> GitRepository:
        """The git repository of a repo, to be used in a `with` block."""
        return GitRepository(
            self.folder(repo),
            partial(self.index.forget, repo),
            partial(self.webhooks.record, repo),
            partial(self.catalog.linked, repo),
            self.catalog.refuse_purged,
        )

    def summary(self, repo: RepoRecord, git: GitRepository, revision: str | None) -> Summary | None:
        """The summary of a revision (None or HEAD: that of main); None for a repo without commits.

        Raises RevisionNotFoundError.
        """
        if revision not in {None, "HEAD"}:
            return summarize(repo.type, git.objects, git.refs.resolve(revision))
        head = git.refs.head(DEFAULT_BRANCH)
        if head is None:
            return None
        return self.index.get(repo, head) or self._indexed(repo, git)

    def listing(self, query: RepoQuery, offset: int, limit: int) -> list[ListedRepo]:
        """The repos that a query finds, from the `offset`th on, at most `limit`."""
        for repo in self.index.missing(query.kind):
            # A repo that is being deleted has no folder any longer, a damaged one lacks objects: neither
            # keeps the others from being listed.
            with suppress(*_UNREADABLE), self.git(repo) as git:
                self._indexed(repo, git)
        return self.index.search(query, offset, limit)

    def _indexed(self, repo: RepoRecord, git: GitRepository) -> Summary | None:
        with git.lock():
            head = git.refs.head(DEFAULT_BRANCH)
            summary = summarize(repo.type, git.objects, head) if head else None
            try:
                self.index.put(repo, summary)
            except sqlite3.OperationalError as error:
                # Whoever reads a repo can do without.
                if not is_full(error):
                    raise
        return summary

    # Commits

    def commit(
        self,
        repo_type: str,
        repo_id: str,
        files: Mapping[str, bytes | Path],
        *,
        message: str,
        author: str,
        email: str,
        date: int,
        delete: Collection[str] = (),
        branch: str = DEFAULT_BRANCH,
    ) -> str:
        """Commit files, after deleting the files or folders `delete`; the id of the commit.

        The id depends on nothing but the arguments and the parent. What belongs in LFS goes there,
        and a `Path` is then read in chunks. The first commit of a repo also gets the Hub's
        `.gitattributes`. Raises RepoNotFoundError, RevisionNotFoundError, EntryNotFoundError,
        InvalidPathError.
        """
        repo = self.repo(repo_type, repo_id)
        with self.git(repo) as git:
            attributes = git.attributes(git.refs.head(branch))
            keep = partial(self.lfs.add, register=partial(self.catalog.link, repo))
            changes: list[Change] = [Remove(path.rstrip("/")) for path in delete]
            changes += put_files(files, attributes, git.objects, keep)
            signature = Signature(author, email, date)
            return git.commit(branch, changes, message=message, signature=signature)

    def head(self, repo_type: str, repo_id: str, branch: str = DEFAULT_BRANCH) -> str | None:
        """The commit at the end of a branch; None where there is none. Raises RepoNotFoundError."""
        with self.git(self.repo(repo_type, repo_id)) as git:
            return git.refs.head(branch)

    def tidy(self, repo: RepoRecord) -> None:
        """Pack the loose objects of a repo, where they are many; a failure leaves them as they are."""
        with suppress(OSError):
            pack_loose(self.folder(repo))

    def remove_abandoned(self) -> None:
        """Delete what uploads and commits left behind that were killed a day ago or earlier."""
        before = time.time() - _ABANDONED_AFTER
        for path in (
            *self.lfs.leftovers(),
            *self.xet.leftovers(),
            *self.folders.leftovers(),
        ):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()


def _make_private(folder: Path) -> None:
    """Have a folder that is closed to other users; what its owner opened to a group alone stays so."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o007:
        # Whoever is not the owner of a shared folder cannot close it.
        with suppress(PermissionError):
            folder.chmod(0o700)
