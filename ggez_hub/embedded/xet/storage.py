"""Xorbs on disk, and large files that are made of their chunks.

A xorb is stored once by its hash for all repos; the file of a shard is a list of ranges of chunks, so what
several files share is stored once.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from ggez_hub.atomic_files import sync
from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.errors import InvalidRequestError
from ggez_hub.embedded.lfs import LfsObjects
from ggez_hub.embedded.xet.catalog import XetCatalog
from ggez_hub.embedded.xet.hashing import from_hex, hash_file, hash_term, is_eligible, to_hex
from ggez_hub.embedded.xet.shard import FileInfo, Shard
from ggez_hub.embedded.xet.xorb import XorbIndex, XorbWriter, read_chunks, read_index

_CACHED: Final = 32


class Piece(NamedTuple):
    """Chunks `start` to before `end` of a xorb; the first one begins at byte `offset` of the file."""

    xorb: bytes
    places: XorbIndex
    start: int
    end: int
    offset: int


class XetObjects:
    """The xorbs of a store, in the folder `root`, and the files that are made of them."""

    def __init__(self, root: Path, catalog: XetCatalog, lfs: LfsObjects) -> None:
        self.catalog = catalog
        self._root = root
        self._incoming = root / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._lock = lfs.lock
        self.index = lru_cache(maxsize=_CACHED)(lambda digest: read_index(self.path(digest)))

    def path(self, digest: bytes) -> Path:
        """Where a xorb is, or would be."""
        name = to_hex(digest)
        return self._root / name[:2] / name[2:4] / name

    @contextmanager
    def receive(self, repo: RepoRecord, digest: bytes, account: str) -> Iterator[XorbWriter]:
        """A xorb for a repo, stored when the block ends, and removed if the block fails.

        Until a file is made of it, it counts against `account`. Raises InvalidRequestError if what came is not a xorb with the hash `digest`.
        """
        descriptor, name = tempfile.mkstemp(dir=self._incoming)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                writer = XorbWriter(file)
                yield writer
                writer.finish(digest)
            sync(temporary)
            target = self.path(digest)
            with self._lock():
                if not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    temporary.chmod(0o644)
                    temporary.replace(target)
                    sync(target.parent)
                self.catalog.link(repo, to_hex(digest), target.stat().st_size, account)
        finally:
            temporary.unlink(missing_ok=True)

    def check(self, repo: RepoRecord, shard: Shard) -> None:
        """Raise InvalidRequestError unless all that a shard says of xorbs and chunks is true."""
        named = {term.xorb for file in shard.files for term in file.terms}
        named.update(xorb.hash for xorb in shard.xorbs)
        for digest in named:
            if not self.catalog.use(repo, to_hex(digest)):
                raise InvalidRequestError(f"The repo has no xorb {to_hex(digest)}: upload it first")
        for xorb in shard.xorbs:
            if not xorb.matches(self.index(xorb.hash)):
                raise InvalidRequestError(f"The shard has other chunks for {to_hex(xorb.hash)}")
        for file in shard.files:
            self._check_file(file)

    def _check_file(self, file: FileInfo) -> None:
        found = hash_file(self._checked_chunks(file))
        if found != file.hash:
            raise InvalidRequestError(f"The file has the hash {to_hex(found)}")

    def _checked_chunks(self, file: FileInfo) -> Iterator[tuple[bytes, int]]:
        """The chunks of the terms of a file, each term of which is checked."""
        for term, proof in zip(file.terms, file.proofs, strict=True):
            index = self.index(term.xorb)
            if not term.start < term.end <= len(index):
                raise InvalidRequestError("A term of the shard has chunks that its xorb lacks")
            found = index.chunks(term.start, term.end)
            if hash_term(digest for digest, _ in found) != proof:
                raise InvalidRequestError("The proof of a term of the shard is not valid")
            if sum(size for _, size in found) != term.size:
                raise InvalidRequestError("A term of the shard has another length")
            yield from found

    def register(self, repo: RepoRecord, shard: Shard) -> Iterator[int]:
        """Give a repo the files of a shard that was checked, all of them or none.

        The content is read to compare its sha256; yields how many bytes were since the last time.
        Raises InvalidRequestError, PurgedError.
        """
        files = []
        for file in shard.files:
            if file.sha256:
                known = self.catalog.file(file.sha256)
            else:
                known = self.catalog.by_hash(to_hex(file.hash))
            if known is not None and known.hash == file.hash:
                files.append(replace(file, sha256=known.sha256))
                continue
            digest = hashlib.sha256()
            for block in self.content(file, 0, file.size):
                digest.update(block)
                yield len(block)
            if file.sha256 not in {"", digest.hexdigest()}:
                raise InvalidRequestError(f"The file has the sha256 {digest.hexdigest()}")
            files.append(replace(file, sha256=digest.hexdigest()))
        with self._lock():
            self.catalog.add(repo, [(file, self._offered(file)) for file in files])

    def _offered(self, file: FileInfo) -> Iterator[tuple[str, str]]:
        """The chunks by which other uploads find this file, with their xorbs."""
        for number, term in enumerate(file.terms):
            for place, chunk in enumerate(self.index(term.xorb).hashes(term.start, term.end)):
                if is_eligible(chunk) or number == place == 0:
                    yield to_hex(chunk), to_hex(term.xorb)

    def pieces(self, file: FileInfo, start: int, end: int) -> Iterator[Piece]:
        """The chunks that have the bytes from `start` to before `end` of a file."""
        offset = 0
        for term in file.terms:
            if offset < end and offset + term.size > start:
                index = self.index(term.xorb)
                # From a place in the file to one in the content of the xorb.
                shift = index.unpacked(term.start) - offset
                chunks = range(term.start, term.end)
                first = bisect_right(chunks, max(start, offset) + shift, key=index.unpacked) - 1
                last = bisect_left(chunks, end + shift, key=index.unpacked)
                begin = chunks[first]
                place = index.unpacked(begin) - shift
                yield Piece(term.xorb, index, begin, term.start + last, place)
            offset += term.size

    def content(self, file: FileInfo, start: int, end: int) -> Iterator[bytes]:
        """The bytes of a file from `start` to before `end`, in blocks of about a megabyte."""
        for piece in self.pieces(file, start, end):
            at = piece.offset
            for block in read_chunks(self.path(piece.xorb), piece.places, piece.start, piece.end):
                yield block[max(start - at, 0) : max(end - at, 0)]
                at += len(block)

    def remove_unused(self) -> None:
        """Delete what no repo needs any longer; the caller holds the lock of references."""
        for xorb in self.catalog.remove_unused():
            self.path(from_hex(xorb)).unlink(missing_ok=True)

    def stored(self) -> Iterator[Path]:
        """The files of all xorbs."""
        return self._root.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*")

    def leftovers(self) -> Iterator[Path]:
        """The files of uploads that have not ended, or were killed."""
        return self._incoming.iterdir()
