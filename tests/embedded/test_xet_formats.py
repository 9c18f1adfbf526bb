"""The formats of Xet against what hf_xet 1.8.0 and @huggingface/hub 2.17.5 send, byte by byte.

`xet_objects` has the xorb and the shard of each for the files of `FILES` (JavaScript: of the first).
"""

import array
import hashlib
import random
import struct
from pathlib import Path

import pytest

from ggez_hub.embedded.errors import InvalidRequestError, TooLargeError
from ggez_hub.embedded.xet import hashing, xorb
from ggez_hub.embedded.xet.shard import FileInfo, XorbInfo, parse, serialize
from ggez_hub.embedded.xet.xorb import XorbWriter, read_chunks, read_index

OBJECTS = Path(__file__).parent / "xet_objects"
_RANDOM = random.Random(18)  # noqa: S311 - the same bytes as those that were sent
FILES = (
    _RANDOM.randbytes(40_000) + b"a line of text that comes again\n" * 12_000,
    # Not a multiple of four bytes: the groups differ in length.
    array.array("f", [_RANDOM.gauss(0, 1e-3) for _ in range(12_500)]).tobytes()[:-3],
)
CLIENTS = {"hf_xet": FILES, "javascript": FILES[:1]}
# What hf_xet says of the two files.
HASHES = (
    "a0de53fd8ff048e7b99e734ead64b5b3bc3bdc3c15662882974ef1060656273f",
    "212a34062970a7e1aad8bb9b3dcb2c5547f86370d7ca1373400eb7e16d8439b3",
)


def sent(client, kind):
    return (OBJECTS / f"{client}.{kind}").read_bytes()


def store(path, data, digest, step=1000):
    with path.open("wb") as file:
        writer = XorbWriter(file)
        for start in range(0, len(data), step):
            writer.write(data[start : start + step])
        writer.finish(digest)
    return read_index(path)


@pytest.fixture(params=CLIENTS)
def client(request):
    return request.param


@pytest.fixture
def stored(client, tmp_path):
    """The shard of a client, and the path and the index of the xorb that it is about."""
    shard = parse(sent(client, "shard"))
    path = tmp_path / "xorb"
    return shard, path, store(path, sent(client, "xorb"), shard.xorbs[0].hash)


def test_what_clients_send_is_what_they_say_it_is(client, stored):
    shard, path, index = stored
    assert shard.xorbs[0].matches(index)
    assert {hashing.to_hex(file.hash) for file in shard.files} <= set(HASHES)
    by_hash = {hashlib.sha256(data).hexdigest(): data for data in CLIENTS[client]}
    for file in shard.files:
        chunks = [chunk for term in file.terms for chunk in index.chunks(term.start, term.end)]
        assert hashing.hash_file(chunks) == file.hash
        content = b""
        for term, proof in zip(file.terms, file.proofs, strict=True):
            assert hashing.hash_term(index.hashes(term.start, term.end)) == proof
            content += b"".join(read_chunks(path, index, term.start, term.end))
        assert content == by_hash.pop(file.sha256)
        assert file.size == len(content)
    assert not by_hash


def test_records_are_written_as_clients_write_them(client, stored):
    shard, _, index = stored
    data = sent(client, "shard")
    assert all(FileInfo.decode(file.encode()).terms == file.terms for file in shard.files)
    # The section of xorbs: between the end of the files, and that of the shard.
    ours = serialize([(shard.xorbs[0].hash, index)], bytes(32), 0)
    section = bytearray(ours[96 : ours.index(b"\xff" * 32, 96) + 48])
    start = data.index(b"\xff" * 32) + 48
    if client == "hf_xet":
        # It leaves out how long the xorb is as it was sent.
        assert struct.unpack("<I", section[44:48]) == (len(sent(client, "xorb")),)
        section[44:48] = bytes(4)
    assert data[start : start + len(section)] == section
    # The first file of the shard, but for its proofs and the flag of these.
    first = shard.files[0]
    count, proofs = len(first.terms), 96 + 48 * len(first.terms)
    header = data[48:80] + struct.pack("<4I", 1 << 30, count, 0, 0)
    after = proofs + 48 * count
    assert first.encode() == header + data[96:proofs] + data[after : after + 48]


def test_the_key_hides_the_hashes_of_chunks(stored):
    shard, _, index = stored
    key = bytes(range(32))
    data = serialize([(shard.xorbs[0].hash, index)], key, 1 << 40)
    assert not any(digest in data for digest in index.hashes(0, len(index)))
    assert hashing.keyed_hash(key, index.hashes(0, 1)[0]) in data
    footer = struct.unpack("<9Q32sQQ72xQ", data[-200:])
    assert footer[0] == 1
    assert (
        data[footer[1] : footer[1] + 32] == data[footer[-1] - 48 : footer[-1] - 16] == b"\xff" * 32
    )
    assert footer[9] == key
    assert footer[11] == 1 << 40


def test_hashes_as_text_are_words_not_bytes():
    digest = bytes(range(32))
    text = "07060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a1918"
    assert hashing.to_hex(digest) == text
    assert hashing.from_hex(text) == digest
    for wrong in (text[:-1], text.upper(), text + "0", "../" + text[3:]):
        with pytest.raises(InvalidRequestError):
            hashing.from_hex(wrong)


@pytest.mark.parametrize(
    ("count", "xorb_hash", "file_hash"),
    [
        # From the tests of xet-core (aggregated_hashes.rs).
        (
            3,
            "71ec1275fca074724e2dd666921b3277c7cee603e4d025bcab2d4050015be2bc",
            "54e55dccc6653c612bdb5576c5d3cb34bb31bc4e100248abccf4c908b3ef7715",
        ),
        (
            1,
            "cfc5d07f6f03c29bbf424132963fe08d19a37d5757aaf520bf08119f05cd56d6",
            "8e16257caa3fe079d484d872a8975264b2ff683b0d6db9028cc7c0f968a45661",
        ),
        (0, "0" * 64, "0" * 64),
    ],
)
def test_trees_of_hashes(count, xorb_hash, file_hash):
    leaves = [
        ("cfc5d07f6f03c29bbf424132963fe08d19a37d5757aaf520bf08119f05cd56d6", 100),
        ("c3e67584b5c4fc2a89837ec39e40f2c8a6bb0b2987ac94cd4b31e5fbdd210a72", 200),
        ("0d2beb91b9196929a5ddec9f6e306924ddf4a24268e3e59fd8464738d525af37", 300),
    ]
    chunks = [(hashing.from_hex(text), size) for text, size in leaves[:count]]
    assert hashing.to_hex(hashing.hash_xorb(chunks)) == xorb_hash
    assert hashing.to_hex(hashing.hash_file(chunks)) == file_hash


def packed(content, scheme=0, size=None, body=None):
    body = content if body is None else body
    size = len(content) if size is None else size
    return (
        b"\0"
        + len(body).to_bytes(3, "little")
        + bytes([scheme])
        + size.to_bytes(3, "little")
        + body
    )


def bomb():
    from lz4.frame import compress

    return packed(b"", 1, 1000, compress(bytes(100_000)))


@pytest.mark.parametrize(
    "data",
    [
        packed(b"chunk")[:-1],
        packed(b"chunk", size=6),
        packed(b"chunk", scheme=7),
        packed(b"chunk", scheme=1),
        packed(b"", size=0),
        packed(b"x" * (128 << 10)) + b"\1" + packed(b"chunk")[1:],
        packed(b"x" * ((128 << 10) + 1)),
        b"",
        pytest.param(bomb(), id="bomb"),
    ],
)
def test_a_xorb_that_is_false_is_refused(tmp_path, data):
    with pytest.raises(InvalidRequestError):
        store(tmp_path / "xorb", data, hashing.hash_xorb([(hashing.hash_chunk(b"chunk"), 5)]))


def test_a_xorb_with_another_hash_is_refused_and_a_footer_is_not_stored(tmp_path):
    digest = hashing.hash_chunk(b"chunk")
    with pytest.raises(InvalidRequestError, match="not the announced one"):
        store(tmp_path / "xorb", packed(b"other"), digest)
    index = store(tmp_path / "xorb", packed(b"chunk") + b"XETBLOB\1" + bytes(5000), digest, step=3)
    assert (len(index), index.packed(1), index.unpacked(1)) == (1, 13, 5)


def test_a_xorb_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(xorb, "MAX_CHUNKS", 2)
    with pytest.raises(TooLargeError):
        store(tmp_path / "xorb", packed(b"a") * 3, bytes(32))
    monkeypatch.setattr(xorb, "MAX_XORB", 20)
    with pytest.raises(TooLargeError):
        store(tmp_path / "xorb", packed(b"a" * 13), bytes(32))


def test_damaged_shards_are_refused(client):
    data = sent(client, "shard")
    body = data.rindex(b"\xff" * 32)
    for wrong in (
        b"",
        data[:40],
        b"X" + data[1:],
        data[:32] + b"\3" + data[33:],
        data[:body],
        data[:100],
        # More terms than there are records, and files without proofs.
        data[:84] + struct.pack("<I", 1 << 31) + data[88:],
        data[:80] + struct.pack("<I", 1 << 30) + data[84:],
    ):
        with pytest.raises(InvalidRequestError):
            parse(wrong)


def test_a_shard_with_other_chunks_does_not_match(stored):
    shard, _, index = stored
    info = shard.xorbs[0]
    flagged = bytearray(info.chunks)
    flagged[43] = 128  # what newer clients mark chunks with
    assert XorbInfo(info.hash, bytes(flagged)).matches(index)
    for place in (0, 32, 36):
        wrong = bytearray(info.chunks)
        wrong[place] ^= 1
        assert not XorbInfo(info.hash, bytes(wrong)).matches(index)
    assert not XorbInfo(info.hash, info.chunks[:-48]).matches(index)


def test_a_xorb_of_64_mib_that_cannot_be_compressed_is_taken(tmp_path):
    """What hf_xet sends of noise is longer than its content, by a header for each chunk."""
    chunk = _RANDOM.randbytes(xorb.MAX_CHUNK)
    digest = hashing.hash_xorb([(hashing.hash_chunk(chunk), len(chunk))] * 512)
    index = store(tmp_path / "xorb", packed(chunk) * 512, digest, step=1 << 20)
    assert (index.unpacked(512), index.packed(512)) == (64 << 20, (64 << 20) + 512 * 8)
