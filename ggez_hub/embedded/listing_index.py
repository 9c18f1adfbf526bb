"""The index behind the lists of repos: one row for each repo, with its tags, found by one query.

A row is removed before the main branch of its repo moves and written again when it is asked for, both
under the lock of the repo. So a row can be missing, also after `kill -9`, but never stale.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final

from ggez_hub.embedded import cards
from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.commits import Snapshot
from ggez_hub.embedded.database import Database, from_row
from ggez_hub.embedded.names import RepoType
from ggez_hub.embedded.objects import Objects

CARD_FILE: Final = "README.md"
# What lists can be sorted by. This hub counts neither downloads nor likes: the names then decide.
SORT_KEYS: Final = {
    "lastModified": "last_modified",
    "createdAt": "created",
    "downloads": "NULL",
    "likes": "NULL",
    "trendingScore": "NULL",
}


@dataclass(frozen=True, slots=True)
class Summary:
    """The card, the tags and the file names at a commit."""

    sha: str
    last_modified: int
    tags: list[str]
    card: dict[str, Any]
    files: list[str]
    library_name: str | None = None
    pipeline_tag: str | None = None
    config: dict[str, Any] | None = None


def summarize(kind: RepoType, objects: Objects, commit: str) -> Summary:
    """The summary of a commit; a card that cannot be read counts as empty."""
    snapshot = Snapshot(objects, commit)
    files = snapshot.files()
    readme = snapshot.text(CARD_FILE) or b""
    try:
        card = cards.front_matter(readme)
    except cards.CardError:
        card = {}
    config = _config(snapshot) if kind == "model" else None
    known = cards.with_inferred(card, files, config or {}) if kind == "model" else card
    pipeline = known.get("pipeline_tag")
    return Summary(
        sha=commit,
        last_modified=objects.commit(commit).commit_time,
        tags=cards.tags(kind, known, readme, files),
        card=card,
        files=files,
        library_name=cards.library_name(known, files) if kind == "model" else None,
        pipeline_tag=pipeline if isinstance(pipeline, str) else None,
        config=config,
    )


def _config(snapshot: Snapshot) -> dict[str, Any] | None:
    """The part of a model's `config.json` that the Hub shows."""
    content = snapshot.text("config.json")
    if content is None or len(content) > cards.MAX_CARD_BYTES:
        return None
    try:
        config = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(config, dict):
        return None
    return {key: config[key] for key in ("architectures", "model_type") if key in config}


# Lists read the same rows again and again, and most of their time would go into parsing them.
@lru_cache(maxsize=4096)
def _load(content: str, files: str) -> Summary | None:
    fields = json.loads(content)
    return None if fields is None else Summary(**fields, files=json.loads(files))


@dataclass(frozen=True, slots=True)
class RepoQuery:
    """Which repos are wanted, and in what order.

    `visible` are the namespaces whose private repos are shown, None for all. `sort` is a key of SORT_KEYS.
    """

    kind: RepoType
    visible: Sequence[str] | None = ()
    author: str | None = None
    words: Sequence[str] = ()
    tags: Sequence[str] = ()
    pipeline_tag: str | None = None
    gated: bool | None = None
    sort: str | None = None
    ascending: bool = False
    with_files: bool = False


@dataclass(frozen=True, slots=True)
class ListedRepo:
    """A repo in a list; the summary is None where there is no commit."""

    repo: RepoRecord
    summary: Summary | None


class ListingIndex:
    """The rows of all repos of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, repo: RepoRecord, sha: str) -> Summary | None:
        """The row of a repo if it is that of the commit `sha`."""
        row = self._database.row(
            "SELECT content, files FROM summaries WHERE repo = ? AND sha = ?", repo.key, sha
        )
        return _load(row["content"], row["files"]) if row else None

    def put(self, repo: RepoRecord, summary: Summary | None) -> None:
        """Write the row of a repo, None for one without commits; the caller holds the repo's lock."""
        fields = asdict(summary) if summary else None
        # Lists rarely want the files: they have a column of their own.
        files = fields.pop("files") if fields else []
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM summaries WHERE repo = ?", (repo.key,))
            added = connection.execute(
                "INSERT INTO summaries (repo, sha, last_modified, pipeline_tag, content, files) "
                "SELECT key, ?, ?, ?, ?, ? FROM repos WHERE key = ?",
                (
                    summary.sha if summary else None,
                    summary.last_modified if summary else 0,
                    summary.pipeline_tag if summary else None,
                    json.dumps(fields),
                    json.dumps(files),
                    repo.key,
                ),
            )
            if summary is not None and added.rowcount == 1:
                connection.executemany(
                    "INSERT INTO tags (tag, repo) VALUES (?, ?)",
                    [(tag, repo.key) for tag in summary.tags],
                )

    def forget(self, repo: RepoRecord) -> None:
        """Remove the row of a repo; the caller holds the repo's lock."""
        if self._database.row("SELECT 1 FROM summaries WHERE repo = ?", repo.key):
            self._database.write("DELETE FROM summaries WHERE repo = ?", repo.key)

    def missing(self, kind: RepoType) -> list[RepoRecord]:
        """The repos of a type that have no row."""
        rows = self._database.rows(
            "SELECT * FROM repos WHERE type = ? AND key NOT IN (SELECT repo FROM summaries)", kind
        )
        return [from_row(RepoRecord, row) for row in rows]

    def search(self, query: RepoQuery, offset: int, limit: int) -> list[ListedRepo]:
        """The repos from the `offset`th on, at most `limit`."""
        where, values = _conditions(query)
        order = "namespace, name"
        if query.sort is not None:
            order = f"{SORT_KEYS[query.sort]} {'ASC' if query.ascending else 'DESC'}, {order}"
        files = "summaries.files" if query.with_files else "'[]'"
        rows = self._database.rows(
            # Only constants of this module are written into the statement.
            f"SELECT repos.*, content, {files} AS files FROM repos "  # noqa: S608
            f"JOIN summaries ON summaries.repo = repos.key WHERE {' AND '.join(where)} "
            f"ORDER BY {order} LIMIT ? OFFSET ?",
            *values,
            limit,
            offset,
        )
        return [
            ListedRepo(from_row(RepoRecord, row), _load(row["content"], row["files"]))
            for row in rows
        ]


def _conditions(query: RepoQuery) -> tuple[list[str], list[Any]]:
    found: list[tuple[str, list[Any]]] = [("type = ?", [query.kind])]
    if query.visible is not None:
        marks = ", ".join("?" * len(query.visible))
        found.append((f"(private = 0 OR namespace IN ({marks}))", [*query.visible]))
    if query.author is not None:
        found.append(("namespace = ?", [query.author]))
    contains = "instr(lower(namespace || '/' || name), lower(?)) > 0"
    found += [(contains, [word]) for word in query.words]
    found += [("key IN (SELECT repo FROM tags WHERE tag = ?)", [tag]) for tag in query.tags]
    if query.pipeline_tag is not None:
        found.append(("pipeline_tag = ?", [query.pipeline_tag]))
    if query.gated is not None:
        found.append((f"gated IS {'NOT NULL' if query.gated else 'NULL'}", []))
    return [text for text, _ in found], [value for _, values in found for value in values]
