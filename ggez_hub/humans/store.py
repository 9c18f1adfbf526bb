"""Raters and judgements of a study: SQLite in WAL mode, on the disk before anything is acknowledged.

A rater is a pseudonym with a side, and after consent a country and languages; nothing else of a
person is kept. An invitation is a random token, of which only the sha256 is stored.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias

from ggez_hub.errors import GgezError
from ggez_hub.humans.assignment import Shown
from ggez_hub.humans.study import Side

DATABASE = "raters.db"
TIMEOUT = 30.0  # seconds until another process is done
RaterKind: TypeAlias = Literal["person", "simulated"]
Answers: TypeAlias = Mapping[str, Mapping[str, float]]
"""model -> measure of the design -> value."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS raters (
    id TEXT PRIMARY KEY, token TEXT UNIQUE NOT NULL,
    side TEXT NOT NULL, language TEXT NOT NULL, kind TEXT NOT NULL, number INTEGER NOT NULL,
    invited TEXT NOT NULL, revoked INTEGER NOT NULL DEFAULT 0,
    consent TEXT, country TEXT, languages TEXT, trained INTEGER NOT NULL DEFAULT 0,
    UNIQUE (side, language, kind, number)
) STRICT;
CREATE TABLE IF NOT EXISTS judgements (
    rater TEXT NOT NULL REFERENCES raters (id) ON DELETE CASCADE,
    key TEXT NOT NULL, item TEXT NOT NULL, models TEXT NOT NULL, occurrence INTEGER NOT NULL,
    gold INTEGER NOT NULL, answers TEXT NOT NULL, seconds REAL NOT NULL, time TEXT NOT NULL,
    submission TEXT NOT NULL, withdrawn INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (rater, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS forgotten (rater TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS secret (number INTEGER PRIMARY KEY, key TEXT NOT NULL) STRICT;
"""
RATERS = "SELECT id, side, language, kind, number, revoked, consent, country, languages, trained FROM raters"


@dataclass(frozen=True)
class Rater:
    """A rater by pseudonym. `consent` is the version agreed to; country is ISO 3166-1 alpha-2."""

    id: str
    side: Side
    language: str
    kind: RaterKind
    number: int
    revoked: bool
    consent: str | None
    country: str | None
    languages: tuple[str, ...]
    trained: bool


@dataclass(frozen=True)
class Judgement:
    """What one rater said of one set. `seconds` is how long it was shown, `time` UTC in ISO 8601."""

    rater: str
    shown: Shown
    answers: Answers
    seconds: float
    time: str


class Store:
    """The raters and judgements of the study in a folder; safe for several processes at once."""

    def __init__(self, folder: Path) -> None:
        """Open or create the database, readable by its owner alone."""
        path = folder / DATABASE
        path.touch(mode=0o600)
        self._path = path
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(SCHEMA)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=TIMEOUT, isolation_level=None)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def invite(
        self, side: Side, language: str, kind: RaterKind = "person", *, rater: str | None = None
    ) -> str:
        """A new rater of a side and language; returns the token of the invitation, known once.

        `rater` is the pseudonym of one who judged elsewhere; else it is a random one. The place of a rater who was forgotten is the next one that is given.
        """
        token = secrets.token_urlsafe(24)
        place = (side, language, kind)
        with closing(self._connect()) as connection:
            connection.execute(
                "INSERT INTO raters (id, token, side, language, kind, number, invited) "
                "WITH taken AS (SELECT number FROM raters "
                "WHERE side = ? AND language = ? AND kind = ?) SELECT ?, ?, ?, ?, ?, min(n), ? "
                "FROM (SELECT 0 AS n UNION SELECT number + 1 FROM taken) "
                "WHERE n NOT IN (SELECT number FROM taken)",
                (*place, rater or secrets.token_hex(8), _digest(token), *place, _now()),
            )
        return token

    def rater(self, token: str) -> Rater | None:
        """Whose invitation this is; None for an unknown or revoked one."""
        return next(self._raters("token = ? AND NOT revoked", _digest(token)), None)

    def raters(self) -> list[Rater]:
        return list(self._raters("1 ORDER BY side, language, number"))

    def _raters(self, where: str, *values: str) -> Iterator[Rater]:
        with closing(self._connect()) as connection:
            rows = connection.execute(f"{RATERS} WHERE {where}", values).fetchall()
        for who, side, language, kind, number, revoked, consent, country, spoken, trained in rows:
            languages = tuple(json.loads(spoken)) if spoken else ()
            yield Rater(
                who, side, language, kind, number, bool(revoked), consent, country, languages,
                bool(trained),
            )  # fmt: skip

    def agree(self, rater: str, version: str, country: str, languages: tuple[str, ...]) -> None:
        """A rater consents to `version`, and declares country and languages."""
        self._change(
            "UPDATE raters SET consent = ?, country = ?, languages = ? WHERE id = ?",
            version, country, json.dumps(languages), rater,
        )  # fmt: skip

    def train(self, rater: str) -> None:
        """A rater has been through the training items."""
        self._change("UPDATE raters SET trained = 1 WHERE id = ?", rater)

    def revoke(self, rater: str) -> None:
        """An invitation is good no longer; judgements stay. Raises GgezError for an unknown rater."""
        self._change("UPDATE raters SET revoked = 1 WHERE id = ?", rater)

    def forget(self, rater: str) -> None:
        """Delete a rater and all judgements, from the disk too.

        Cut off, it can be run again. Raises GgezError for one who is unknown, and while another process
        that reads keeps the old content on the disk.
        """
        with closing(self._connect()) as connection:
            connection.execute(
                "INSERT OR IGNORE INTO forgotten SELECT ? FROM raters WHERE id = ?",
                (_digest(rater), rater),
            )
            deleted = connection.execute("DELETE FROM raters WHERE id = ?", (rater,)).rowcount
            connection.execute("VACUUM")
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise GgezError(
                f"{rater} is deleted, but another program reads {self._path}: until it ends, what was "
                "deleted is still on the disk",
                "End it, and run this again.",
            )
        if not deleted and not self.has_forgotten(rater):
            raise _unknown(rater)

    def has_forgotten(self, rater: str) -> bool:
        """Whether a rater of this pseudonym was here, and was deleted."""
        with closing(self._connect()) as connection:
            query = "SELECT 1 FROM forgotten WHERE rater = ?"
            return connection.execute(query, (_digest(rater),)).fetchone() is not None

    def pseudonym(self, name: str) -> str:
        """The pseudonym of a name from elsewhere: always the same, and derived with a key of this database."""
        with closing(self._connect()) as connection:
            connection.execute(
                "INSERT OR IGNORE INTO secret VALUES (0, ?)", (secrets.token_hex(32),)
            )
            (key,) = connection.execute("SELECT key FROM secret").fetchone()
        return hmac.new(key.encode(), name.encode(), "sha256").hexdigest()[:16]

    def _change(self, statement: str, *values: str) -> None:
        with closing(self._connect()) as connection:
            if not connection.execute(statement, values).rowcount:
                raise _unknown(values[-1])

    def record(
        self,
        rater: str,
        shown: Shown,
        answers: Answers,
        seconds: float,
        submission: str | None = None,
        *,
        time: str | None = None,
    ) -> bool:
        """Keep a judgement, durably; False if the rater's judgement of this set is there already.

        The first one counts, so that one that is sent twice is counted once. `submission` names what
        was sent: one that was withdrawn stays so when it arrives late. Raises GgezError for an
        unknown rater. `time` is now where none is given, and later than what the rater judged before.
        """
        try:
            return self._record(
                rater,
                shown,
                answers,
                seconds,
                submission or secrets.token_hex(8),
                time,
            )
        except sqlite3.IntegrityError:
            raise _unknown(rater) from None

    def _record(
        self,
        rater: str,
        shown: Shown,
        answers: Answers,
        seconds: float,
        submission: str,
        time: str | None,
    ) -> bool:
        with closing(self._connect()) as connection:
            if time is None:
                ((before,),) = connection.execute(
                    "SELECT max(time) FROM judgements WHERE rater = ?", (rater,)
                )
                time = _now(before)
            added = connection.execute(
                "INSERT INTO judgements VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0) "
                "ON CONFLICT DO UPDATE SET answers = excluded.answers, seconds = excluded.seconds, "
                "time = excluded.time, submission = excluded.submission, withdrawn = 0 "
                "WHERE withdrawn AND submission != excluded.submission",
                (
                    rater, shown.key, shown.item, json.dumps(shown.models), shown.occurrence,
                    int(shown.gold), json.dumps(answers, sort_keys=True), seconds, time,
                    submission,
                ),
            )  # fmt: skip
            return added.rowcount == 1

    def last(self, rater: str) -> str | None:
        """The key of the last judgement of a rater."""
        with closing(self._connect()) as connection:
            found = connection.execute(
                "SELECT key FROM judgements WHERE rater = ? AND NOT withdrawn "
                "ORDER BY time DESC, key DESC LIMIT 1",
                (rater,),
            ).fetchone()
        return None if found is None else found[0]

    def undo(self, rater: str, key: str) -> None:
        """Withdraw a judgement, if it is there: its answers go, and the set can be judged again."""
        with closing(self._connect()) as connection:
            connection.execute(
                "UPDATE judgements SET withdrawn = 1, answers = '{}' WHERE rater = ? AND key = ?",
                (rater, key),
            )

    def judged(self, rater: str) -> frozenset[str]:
        """The keys of the judgements of a rater."""
        with closing(self._connect()) as connection:
            rows = connection.execute(
                "SELECT key FROM judgements WHERE rater = ? AND NOT withdrawn", (rater,)
            )
            return frozenset(key for (key,) in rows)

    def judgements(self) -> Iterator[Judgement]:
        """All judgements, by rater and time."""
        with closing(self._connect()) as connection:
            rows = connection.execute(
                "SELECT rater, item, models, occurrence, gold, answers, seconds, time "
                "FROM judgements WHERE NOT withdrawn ORDER BY rater, time, key"
            )
            for rater, item, models, occurrence, gold, answers, seconds, time in rows:
                shown = Shown(item, tuple(json.loads(models)), occurrence, bool(gold))
                yield Judgement(rater, shown, json.loads(answers), seconds, time)


def _unknown(rater: str) -> GgezError:
    return GgezError(f"there is no rater {rater}", "humans raters DIR lists them.")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _now(before: str | None = None) -> str:
    """Later than `before`, also where the clock was put back."""
    now = datetime.now(UTC)
    if before is not None:
        now = max(now, datetime.fromisoformat(before) + timedelta(microseconds=1))
    return now.isoformat(timespec="microseconds")
