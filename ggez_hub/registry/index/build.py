"""Accepted cards to one SQLite file, the same bytes for the same cards; both to the hub's index."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from ggez_hub.atomic_files import atomic_file
from ggez_hub.cards import BadCard, CardDocument, parse_card
from ggez_hub.cards.document import read_text
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub
from ggez_hub.hub.commits import Content, commit, ensure_repo, head_of, require_token
from ggez_hub.parity.card_rows import ranking_rows
from ggez_hub.quantities import counted
from ggez_hub.registry.constants import INDEX_FILE, INDEX_REPO
from ggez_hub.registry.index.entries import CardSummary, UnreadableCard, text_digest
from ggez_hub.registry.index.file import (
    APPLICATION_ID,
    COLUMNS,
    FORMAT,
    INDEXES,
    TABLES,
    IndexRow,
    pack_ranking,
    read_index,
    second_cards,
)
from ggez_hub.registry.trust.freshness import sign_index
from ggez_hub.registry.trust.signing import SigningKey
from ggez_hub.registry.trust.statement import SIGNATURE_FILE

# Starting processes takes as long as reading so many cards.
CARDS_BEFORE_PROCESSES = 200
CHUNK = 32
PAGE_SIZE = 4096
# SQLite notes its own version at this place of the file; it decides nothing.
VERSION_AT, VERSION = 96, 3_040_001


# A row with its packed ranking.
Packed: TypeAlias = tuple[IndexRow, bytes]


@dataclass(frozen=True)
class Built:
    """What an index file was made of."""

    cards: int
    regions: int
    size: int
    bad: tuple[UnreadableCard, ...]


def build_index(
    cards: Path,
    out: Path,
    *,
    skip_bad: bool = False,
    allow_empty: bool = False,
    previous: Path | None = None,
    processes: bool = True,
) -> Built:
    """Write the index of the cards below `cards` (<region>/<family>/<name>.md) as the file `out`.

    The same cards give the same bytes with the same SQLite. Cards that have not changed since
    `previous`, an index file of ours, was built are taken from it. `processes` reads many cards in
    parallel. Raises GgezError, and writes nothing, if a card is not valid or the second active one
    of its repository, unless `skip_bad`, which leaves it out and notes that in the file; if there is
    no card at all, unless `allow_empty`; BadIndex.
    """
    rows = read_index(previous)[0] if previous else ()
    known = {(row.path, row.sha256): (row, packed) for row, packed in rows}
    found = list(_read_all(cards, known, processes))
    read = [entry for entry in found if not isinstance(entry, UnreadableCard)]
    second = second_cards(row for row, _ in read)
    broken = [entry for entry in found if isinstance(entry, UnreadableCard)]
    bad = tuple(sorted([*broken, *second], key=lambda b: b.path))
    if bad and not skip_bad:
        raise GgezError(
            f"{len(bad)} of {counted(len(found), 'card is', 'cards are')} not valid\n"
            + "\n".join(b.reason for b in bad),
            "Fix them, or leave them out with --skip-bad.",
        )
    # Adapters of a region are together, so that a query reads few pages.
    left_out = {entry.path for entry in second}
    good = sorted(
        (entry for entry in read if entry[0].path not in left_out),
        key=lambda entry: (entry[0].region, entry[0].path),
    )
    if not good and not allow_empty:
        raise GgezError(
            f"{cards} holds no card that can be accepted: <region>/<family>/<name>.md",
            "Name the folder of the cards; an index without any is made with --allow-empty.",
        )
    with atomic_file(out) as partial_file:
        _write(partial_file, good, bad)
    return Built(len(good), len({row.region for row, _ in good}), out.stat().st_size, bad)


def _read_all(
    cards: Path, known: Mapping[tuple[str, str], Packed], processes: bool
) -> Iterator[Packed | UnreadableCard]:
    paths = []
    for path in sorted(p.relative_to(cards).as_posix() for p in cards.glob("*/*/*.md")):
        same = known.get((f"cards/{path}", sha256_file(cards / path))) if known else None
        if same is not None:
            yield same
        else:
            paths.append(path)
    read = partial(read_entry, cards)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if not processes or len(paths) < CARDS_BEFORE_PROCESSES or cores == 1:
        yield from map(read, paths)
        return
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(read, paths, chunksize=CHUNK)


def read_entry(cards: Path, path: str) -> Packed | UnreadableCard:
    """The row of the card at `path` below `cards`, with its packed ranking."""
    listed = f"cards/{path}"
    try:
        text = read_text(cards / path)
        return row_of(parse_card(text, listed), listed, text_digest(text))
    except BadCard as problem:
        return UnreadableCard(listed, problem.message)


def row_of(document: CardDocument, path: str, sha256: str) -> Packed:
    """The row of a card of the index; raises BadCard for one in another place, or without its own."""
    card = document.card
    if card.adapter is None:
        raise BadCard(f"{path}: ggez.adapter: is missing; it is the place of the adapter")
    place = f"cards/{card.region}/{card.family}"
    if not path.startswith(f"{place}/"):
        raise BadCard(f"{path}: ggez.region: the card belongs in {place}/")
    records = {} if card.files == UNKNOWN else card.files
    row = IndexRow(
        path=path,
        sha256=sha256,
        repo=card.adapter.repo,
        revision=card.adapter.revision,
        files=b"".join(sorted(bytes.fromhex(file.sha256) for file in records.values())),
        **CardSummary.of(document).model_dump(),
    )
    return row, pack_ranking({} if card.curve == UNKNOWN else ranking_rows(card.curve))


def _write(path: Path, rows: Sequence[Packed], bad: Sequence[UnreadableCard]) -> None:
    names = (*COLUMNS, "ranking")
    marks = ", ".join("?" * len(names))
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        for statement in (
            f"PRAGMA page_size={PAGE_SIZE}",
            "PRAGMA encoding='UTF-8'",
            "PRAGMA journal_mode=OFF",
            f"PRAGMA application_id={APPLICATION_ID}",
            f"PRAGMA user_version={FORMAT}",
            "BEGIN",
            *TABLES,
        ):
            file.execute(statement)
        file.executemany(
            f"INSERT INTO entries ({', '.join(names)}) VALUES ({marks})",  # noqa: S608 - our names
            ((*(getattr(row, name) for name in COLUMNS), ranking) for row, ranking in rows),
        )
        file.executemany(
            "INSERT INTO unreadable (path, reason) VALUES (?, ?)", ((b.path, b.reason) for b in bad)
        )
        for statement in (*INDEXES, "COMMIT"):
            file.execute(statement)
    with path.open("r+b") as file_bytes:
        file_bytes.seek(VERSION_AT)
        file_bytes.write(VERSION.to_bytes(4, "big"))


@dataclass(frozen=True)
class PublishedIndex:
    """The commit that holds the index, what it changed, and what was built."""

    revision: str
    changed: tuple[str, ...]
    built: Built


def publish_index(
    cards: Path,
    hub: Hub,
    *,
    skip_bad: bool = False,
    allow_empty: bool = False,
    evidence: Mapping[str, Content] = MappingProxyType({}),
    by: SigningKey | None = None,
) -> PublishedIndex:
    """Bring the index data set to hold exactly the cards below `cards`, and their index file.

    `by` signs the file, which has the sha256 of every card, with its number and expiry; an unchanged
    one is signed anew when half of its life is over.

    `evidence` are further files by their paths in the data set. Other cards are removed; repeated,
    nothing is sent. Raises GgezError before anything is sent, NoToken, CommitRefused, and what the
    client raises.
    """
    require_token(hub)
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / INDEX_FILE
        built = build_index(cards, index, skip_bad=skip_bad, allow_empty=allow_empty)
        left_out = {bad.path for bad in built.bad}
        files: dict[str, Content] = {
            path: place
            for place in sorted(cards.glob("*/*/*.md"))
            if (path := f"cards/{place.relative_to(cards).as_posix()}") not in left_out
        }
        files |= {**evidence, INDEX_FILE: index}
        ensure_repo(hub, INDEX_REPO, private=False, repo_type="dataset")
        head = head_of(hub, INDEX_REPO, "dataset")
        if signature := sign_index(by, index, hub, head):
            files[SIGNATURE_FILE] = signature
        there = [file.path for file in head.files]
        gone = [path for path in there if path.startswith("cards/") and path not in files]
        message = f"Index {built.cards} accepted adapters"
        done = commit(hub, INDEX_REPO, files, message, remove=gone, repo_type="dataset")
    return PublishedIndex(done.revision, done.changed, built)
