"""How much a user or an organisation may hold: their large files, each counted once, and what git holds.

And while it comes, the chunks that they sent and made no file of yet.
"""

from __future__ import annotations

from collections.abc import Callable

from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.database import Database
from ggez_hub.embedded.errors import InvalidRequestError, QuotaExceededError


class Quotas:
    """The quotas of a store. `git_bytes` measures what git holds of a repo.

    It is measured when a quota is set and by each collection of garbage; in between, commits add to it.
    """

    def __init__(self, database: Database, git_bytes: Callable[[RepoRecord], int]) -> None:
        self._database = database
        self._git_bytes = git_bytes

    def set(self, name: str, quota: int | None, repos: list[RepoRecord]) -> None:
        """Let an account hold `quota` bytes, None for any; `repos` are theirs.

        Raises InvalidRequestError if there is no such account.
        """
        changed = self._database.write("UPDATE accounts SET quota = ? WHERE name = ?", quota, name)
        if changed != 1:
            raise InvalidRequestError(f"there is no user or organisation {name!r}")
        for repo in repos if quota is not None else ():
            query = "UPDATE repos SET git_bytes = ? WHERE key = ?"
            self._database.write(query, self._git_bytes(repo), repo.key)

    def get(self, name: str) -> int | None:
        """How many bytes an account may hold; None for any number."""
        row = self._database.row("SELECT quota FROM accounts WHERE name = ?", name)
        return row["quota"] if row else None

    def used(self, name: str) -> int:
        """How many bytes the repos of an account hold."""
        (row,) = self._database.rows(
            "SELECT (SELECT coalesce(sum(size), 0) FROM (SELECT DISTINCT oid, size FROM objects "
            "JOIN repos ON key = repo WHERE namespace = ?)) + "
            "(SELECT coalesce(sum(git_bytes), 0) FROM repos WHERE namespace = ?)",
            name,
            name,
        )
        return int(row[0])

    def unnamed(self, name: str) -> int:
        """The bytes of the xorbs that count against an account, because no file is made of them yet."""
        query = "SELECT coalesce(sum(size), 0) FROM xorbs WHERE account = ?"
        return int(self._database.rows(query, name)[0][0])

    def check(self, name: str, more: int, *, unnamed: bool = False) -> None:
        """Raise QuotaExceededError if an account may not hold `more` bytes beside what it holds.

        Uploads that are under way at the same time do not see each other, but by `unnamed` chunks.
        """
        quota = self.get(name)
        if quota is None:
            return
        used = self.used(name) + (self.unnamed(name) if unnamed else 0)
        if used + more > quota:
            raise QuotaExceededError(
                f"The quota of {name} is {quota} bytes: it holds {used}, and this would add {more}. "
                "Delete what is not needed, or ask who keeps this hub for more"
            )

    def grew(self, repo: RepoRecord, nbytes: int) -> None:
        """Count what a commit added to git, if its account has a quota."""
        if self.get(repo.namespace) is not None:
            query = "UPDATE repos SET git_bytes = git_bytes + ? WHERE key = ?"
            self._database.write(query, nbytes, repo.key)
