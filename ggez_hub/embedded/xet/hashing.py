"""The hashes of the Xet protocol: of chunks, of xorbs, of files, and of the terms of a file.

https://huggingface.co/docs/xet/hashing
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final

from blake3 import blake3

from ggez_hub.embedded.errors import InvalidRequestError

HASH_BYTES: Final = 32
# A hash as text is its four little-endian numbers of 64 bits, not its bytes in order.
HEX_HASH: Final = re.compile(r"[0-9a-f]{64}")
_WORDS: Final = struct.Struct("<4Q")
_HEX_WORDS: Final = struct.Struct(">4Q")

# fmt: off
_DATA_KEY: Final = bytes((
    102, 151, 245, 119, 91, 149, 80, 222, 49, 53, 203, 172, 165, 151, 24, 28,
    157, 228, 33, 16, 155, 235, 43, 88, 180, 208, 176, 75, 147, 173, 242, 41,
))
_NODE_KEY: Final = bytes((
    1, 126, 197, 199, 165, 71, 41, 150, 253, 148, 102, 102, 180, 138, 2, 230,
    93, 221, 83, 111, 55, 199, 109, 210, 248, 99, 82, 230, 74, 83, 113, 63,
))
_TERM_KEY: Final = bytes((
    127, 24, 87, 214, 206, 86, 237, 102, 18, 127, 249, 19, 231, 165, 195, 243,
    164, 205, 38, 213, 181, 219, 73, 230, 65, 36, 152, 127, 40, 251, 148, 195,
))
# fmt: on
_FILE_KEY: Final = bytes(HASH_BYTES)
# A node of the tree has 3 to 9 children, fewer only at the end; 4 on average decide where it ends.
_BRANCHING: Final = 4
_FEWEST: Final = 2
# One chunk in so many is offered for deduplication between files.
_ELIGIBLE: Final = 1024


def to_hex(digest: bytes) -> str:
    """A hash as the API writes it."""
    return _HEX_WORDS.pack(*_WORDS.unpack(digest)).hex()


def from_hex(text: str) -> bytes:
    """The reverse of `to_hex`; raises InvalidRequestError."""
    if not HEX_HASH.fullmatch(text):
        raise InvalidRequestError(f"{text[:80]!r} is not a hash of Xet")
    return _WORDS.pack(*_HEX_WORDS.unpack(bytes.fromhex(text)))


def hash_chunk(data: bytes | memoryview) -> bytes:
    """The hash of the bytes of a chunk."""
    return blake3(data, key=_DATA_KEY).digest()


def hash_xorb(chunks: Iterable[tuple[bytes, int]]) -> bytes:
    """The root of the Merkle tree over the hashes and lengths of chunks, of which few are held at once."""
    level = iter(chunks)
    first = list(islice(level, 2))
    if len(first) < 2:
        return first[0][0] if first else bytes(HASH_BYTES)
    nodes = list(_parents(chain(first, level)))
    while len(nodes) > 1:
        nodes = list(_parents(nodes))
    return nodes[0][0]


def hash_file(chunks: Iterable[tuple[bytes, int]]) -> bytes:
    """The hash by which a file is known, of the hashes and lengths of its chunks."""
    root = hash_xorb(chunks)
    return keyed_hash(_FILE_KEY, root) if any(root) else root


def hash_term(chunks: Iterable[bytes]) -> bytes:
    """What proves that a client knows a range of chunks, of their hashes."""
    return keyed_hash(_TERM_KEY, b"".join(chunks))


def keyed_hash(key: bytes, data: bytes) -> bytes:
    """blake3 with a key of 32 bytes; with a random one, hashes are hidden from who does not know them."""
    return blake3(data, key=key).digest()


def is_eligible(chunk: bytes) -> bool:
    """Whether clients ask for this chunk, wherever it is in a file; they ask for the first of each file too."""
    return int.from_bytes(chunk[24:], "little") % _ELIGIBLE == 0


def _parents(nodes: Iterable[tuple[bytes, int]]) -> Iterator[tuple[bytes, int]]:
    """The nodes of the next level; where one ends follows from the hashes of its children."""
    children: list[tuple[bytes, int]] = []
    for node in nodes:
        children.append(node)
        ends = int.from_bytes(node[0][24:], "little") % _BRANCHING == 0
        if len(children) > 2 * _BRANCHING or (len(children) > _FEWEST and ends):
            yield _parent(children)
            children = []
    if children:
        yield _parent(children)


def _parent(children: Sequence[tuple[bytes, int]]) -> tuple[bytes, int]:
    text = "".join(f"{to_hex(digest)} : {size}\n" for digest, size in children)
    return keyed_hash(_NODE_KEY, text.encode()), sum(size for _, size in children)
