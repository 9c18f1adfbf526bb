"""Collections: lists of repos, papers and other collections, with notes, in the order of their owner.

What a caller may not see is left out of every list, and counts nowhere. Items follow a repo that is moved, and go with
one that is deleted; collections go with their owner.
"""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, get_args

from ggez_hub.embedded.access_control import Principal
from ggez_hub.embedded.database import Database, from_row
from ggez_hub.embedded.errors import AlreadyExistsError, CollectionNotFoundError, TooLargeError

Theme = Literal["orange", "blue", "green", "purple", "pink", "indigo"]
Sort = Literal["lastModified", "trending", "upvotes"]
Target = Literal["repo", "paper", "nested"]

SORTS: Final[tuple[Sort, ...]] = get_args(Sort)
MOST_COLLECTIONS: Final = 500  # of one owner
MOST_ITEMS: Final = 500  # of one collection

_SLUG: Final = re.compile(r"(?:.*-)?([0-9a-f]{24})")
_SELECT: Final = (
    "SELECT collections.*, accounts.name AS owner_name, accounts.kind AS owner_kind, "
    "accounts.fullname AS owner_fullname FROM collections JOIN accounts ON accounts.key = owner"
)
_MINE: Final = (
    "collections.private = 0 OR :all OR accounts.name IN (SELECT value FROM json_each(:seen))"
)
_REPO: Final = (
    "repos.private = 0 OR :all OR repos.namespace IN (SELECT value FROM json_each(:seen))"
)
_ITEMS: Final = f"""
    FROM collection_items AS items LEFT JOIN repos ON repos.key = items.repo
    LEFT JOIN collections ON collections.key = items.nested LEFT JOIN accounts ON accounts.key = owner
    LEFT JOIN summaries ON summaries.repo = items.repo
    WHERE items.collection = :collection
    AND (items.paper IS NOT NULL OR (items.repo IS NOT NULL AND ({_REPO}))
         OR (items.nested IS NOT NULL AND ({_MINE})))
"""


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection; `updated` is in seconds since 1970."""

    key: int
    id: str
    owner_name: str
    owner_fullname: str
    owner_kind: str
    title: str
    description: str | None
    private: bool
    theme: str
    position: int
    updated: int

    @property
    def slug(self) -> str:
        """The name in addresses: with the title as it is now; the id at its end never changes."""
        plain = unicodedata.normalize("NFKD", self.title).encode("ascii", "ignore").decode()
        words = re.findall(r"[a-z0-9]+", plain.lower())
        return f"{self.owner_name}/{'-'.join([*words, self.id])}"


@dataclass(frozen=True, slots=True)
class Item:
    """A member of a collection: of `repo`, `paper` and `nested` one is given."""

    id: str
    note: str | None
    repo: int | None
    paper: str | None
    nested: int | None
    modified: int | None
    pipeline_tag: str | None


class Query(NamedTuple):
    """Which collections are asked for. Those with any of `items`, where it is not None."""

    owners: tuple[str, ...] = ()
    items: tuple[tuple[Target, int | str], ...] | None = None
    words: str = ""
    sort: Sort | None = None


class Collections:
    """The collections of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, owner: str, title: str, *, description: str | None, private: bool) -> Collection:
        """A new collection of an account, after its others.

        Raises TitleTakenError, TooLargeError.
        """
        with self._database.transaction() as connection:
            (count, twin) = connection.execute(
                "SELECT count(*), max(iif(title = ?, id, NULL)) FROM collections "
                "JOIN accounts ON accounts.key = owner WHERE name = ?",
                (title, owner),
            ).fetchone()
            if twin is not None:
                raise TitleTakenError(self.by_id(twin))
            if count >= MOST_COLLECTIONS:
                raise TooLargeError(f"{owner} has {MOST_COLLECTIONS} collections, and no more")
            identity = secrets.token_hex(12)
            connection.execute(
                "INSERT INTO collections (id, owner, title, description, private, position) "
                "SELECT ?, key, ?, ?, ?, ? FROM accounts WHERE name = ?",
                (identity, title, description or None, private, count, owner),
            )
        return self.by_id(identity)

    def by_id(self, identity: str) -> Collection:
        """The collection of that id; raises CollectionNotFoundError."""
        return self._one("collections.id = ?", identity)

    def by_key(self, key: int) -> Collection:
        """The collection of that key; raises CollectionNotFoundError."""
        return self._one("collections.key = ?", key)

    def get(self, slug: str, principal: Principal | None) -> Collection:
        """The collection of a slug, also of an older one, or of an id, if the caller may see it.

        Raises CollectionNotFoundError.
        """
        match = _SLUG.fullmatch(slug.rpartition("/")[2])
        if match is None:
            raise CollectionNotFoundError
        found = self.by_id(match[1])
        owner = slug.rpartition("/")[0]
        if (owner and owner.lower() != found.owner_name.lower()) or not may_see(principal, found):
            raise CollectionNotFoundError
        return found

    def search(
        self, query: Query, principal: Principal | None, offset: int, limit: int
    ) -> list[Collection]:
        """The collections that the caller may see, from the `offset`th on, at most `limit`."""
        conditions = [f"({_MINE})"]
        values: dict[str, Any] = {**_seen(principal), "offset": offset, "limit": limit}
        if query.owners:
            conditions.append("accounts.name IN (SELECT value FROM json_each(:owners))")
            values["owners"] = json.dumps(query.owners)
        if query.words:
            conditions.append("instr(lower(title || ' ' || coalesce(description, '')), :words)")
            values["words"] = query.words.lower()
        if query.items is not None:
            pairs = []
            for number, (column, value) in enumerate(query.items):
                pairs.append(f"{column} = :item{number}")
                values[f"item{number}"] = value
            conditions.append(
                "EXISTS (SELECT 1 FROM collection_items WHERE collection = collections.key "  # noqa: S608
                f"AND ({' OR '.join(pairs) or '0'}))"
            )
        # Nobody votes here: what is asked for by votes comes in the order of the owners.
        newest = "updated DESC, collections.key DESC"
        order = newest if query.sort == "lastModified" else "name, position, collections.key"
        rows = self._database.rows(
            f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT :limit OFFSET :offset",
            **values,
        )
        return [from_row(Collection, row) for row in rows]

    def update(self, collection: Collection, changes: Mapping[str, str | bool | None]) -> None:
        """Change columns of a collection: title, description, private, theme."""
        settings = "".join(f"{name} = ?, " for name in changes)
        self._database.write(
            f"UPDATE collections SET {settings}{_NOW} WHERE key = ?",  # noqa: S608 - names of columns
            *changes.values(),
            collection.key,
        )

    def place(self, collection: Collection, position: int) -> None:
        """Move a collection to a position among those of its owner."""
        with self._database.transaction() as connection:
            of = "owner = (SELECT owner FROM collections WHERE key = ?)"
            _place(connection, "collections", of, collection.key, collection.key, position)

    def remove(self, collection: Collection) -> None:
        """Remove a collection."""
        self._database.write("DELETE FROM collections WHERE key = ?", collection.key)

    # Items

    def items(
        self, collection: Collection, principal: Principal | None, limit: int = MOST_ITEMS
    ) -> list[Item]:
        """The first items of a collection of those that the caller may see, in order."""
        rows = self._database.rows(
            "SELECT items.*, coalesce(last_modified, repos.created) AS modified, pipeline_tag "
            f"{_ITEMS} ORDER BY items.position, items.key LIMIT :limit",
            **_seen(principal),
            collection=collection.key,
            limit=limit,
        )
        return [from_row(Item, row) for row in rows]

    def count(self, collection: Collection, principal: Principal | None) -> int:
        """How many items the caller may see."""
        query = f"SELECT count(*) {_ITEMS}"
        found = self._database.rows(query, **_seen(principal), collection=collection.key)
        return int(found[0][0])

    def add_item(
        self, collection: Collection, target: Target, value: int | str, note: str | None
    ) -> None:
        """Add an item after the others; raises AlreadyExistsError, TooLargeError."""
        try:
            with self._database.transaction() as connection:
                query = "SELECT count(*) FROM collection_items WHERE collection = ?"
                (count,) = connection.execute(query, (collection.key,)).fetchone()
                if count >= MOST_ITEMS:
                    raise TooLargeError(f"A collection has at most {MOST_ITEMS} items")
                connection.execute(
                    f"INSERT INTO collection_items (id, collection, position, note, {target}) "  # noqa: S608
                    "VALUES (?, ?, ?, ?, ?)",
                    (secrets.token_hex(12), collection.key, count, note or None, value),
                )
                _touch(connection, collection)
        except sqlite3.IntegrityError:
            raise AlreadyExistsError("The item is in the collection already") from None

    def update_item(
        self, collection: Collection, identity: str, note: str | None, position: int | None
    ) -> None:
        """Change the note of an item (an empty one removes it) and its position; None leaves it.

        Raises CollectionNotFoundError if the collection has no such item.
        """
        with self._database.transaction() as connection:
            query = "SELECT key FROM collection_items WHERE collection = ? AND id = ?"
            row = connection.execute(query, (collection.key, identity)).fetchone()
            if row is None:
                raise CollectionNotFoundError("The collection has no such item")
            if note is not None:
                query = "UPDATE collection_items SET note = ? WHERE key = ?"
                connection.execute(query, (note or None, row["key"]))
            if position is not None:
                of = "collection = ?"
                _place(connection, "collection_items", of, collection.key, row["key"], position)
            _touch(connection, collection)

    def remove_item(self, collection: Collection, identity: str) -> None:
        """Remove an item; raises CollectionNotFoundError if the collection has no such item."""
        with self._database.transaction() as connection:
            query = "DELETE FROM collection_items WHERE collection = ? AND id = ?"
            if connection.execute(query, (collection.key, identity)).rowcount != 1:
                raise CollectionNotFoundError("The collection has no such item")
            _touch(connection, collection)

    def _one(self, condition: str, value: int | str) -> Collection:
        row = self._database.row(f"{_SELECT} WHERE {condition}", value)
        if row is None:
            raise CollectionNotFoundError
        return from_row(Collection, row)


class TitleTakenError(AlreadyExistsError):
    """The owner has a collection of that title."""

    def __init__(self, collection: Collection) -> None:
        super().__init__(f"You already created the collection {collection.slug}")
        self.slug = collection.slug


def may_see(principal: Principal | None, collection: Collection) -> bool:
    """Whether a collection exists for the caller, who is None without a token."""
    return not collection.private or (
        principal is not None and principal.belongs_to(collection.owner_name)
    )


_NOW: Final = "updated = strftime('%s', 'now')"


def _touch(connection: sqlite3.Connection, collection: Collection) -> None:
    query = f"UPDATE collections SET {_NOW} WHERE key = ?"  # noqa: S608
    connection.execute(query, (collection.key,))


def _seen(principal: Principal | None) -> dict[str, Any]:
    """The values of a query that leaves out what the caller may not see."""
    namespaces: Iterable[str] | None = principal.namespaces if principal else ()
    return {"all": namespaces is None, "seen": json.dumps(list(namespaces or ()))}


def _place(
    connection: sqlite3.Connection, table: str, of: str, whose: int, key: int, position: int
) -> None:
    """Move one of the rows of a list to a position; the others keep their order."""
    query = f"SELECT key FROM {table} WHERE {of} ORDER BY position, key"  # noqa: S608
    keys = [row["key"] for row in connection.execute(query, (whose,)) if row["key"] != key]
    keys.insert(position, key)
    query = f"UPDATE {table} SET position = ? WHERE key = ?"  # noqa: S608
    connection.executemany(query, enumerate(keys))
