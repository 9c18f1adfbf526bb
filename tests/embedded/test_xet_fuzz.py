"""Whatever a shard or a xorb holds, it is read as it was sent, or refused with a reason.

`make soak` runs many more examples.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ggez_hub.embedded.errors import InvalidRequestError, TooLargeError
from ggez_hub.embedded.xet.hashing import hash_chunk
from ggez_hub.embedded.xet.shard import FileInfo, parse
from ggez_hub.embedded.xet.xorb import read_chunks, unpack

from ..fuzzing import examples
from .test_xet_formats import CLIENTS, packed, sent, store

FUZZ = settings(
    max_examples=examples(60), deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip
LARGE = (1 << 31, (1 << 32) - 1, 1 << 24, 0)
BYTES = st.binary(max_size=40) | st.sampled_from(LARGE).map(lambda n: n.to_bytes(4, "little"))
DAMAGE = st.tuples(st.floats(0, 1), st.integers(0, 40), BYTES)


def damaged(data, place, length, new):
    start = int(place * len(data))
    return data[:start] + new + data[start + length :]


@FUZZ
@given(client=st.sampled_from(sorted(CLIENTS)), damage=DAMAGE, cut=st.floats(0.5, 1))
@example(client="hf_xet", damage=(0, 0, b""), cut=1)
def test_any_damage_to_a_shard(client, damage, cut):
    data = damaged(sent(client, "shard"), *damage)
    try:
        shard = parse(data[: int(cut * len(data))])
    except InvalidRequestError:
        return
    for info in shard.xorbs:
        assert len(info.hash) == 32
        assert len(info.chunks) % 48 == 0
    for file in shard.files:
        # Proofs are compared once, and not kept.
        assert replace(file, proofs=()) == FileInfo.decode(file.encode())


@FUZZ
@given(content=st.binary(max_size=300))
@example(content=b"HFRepoMetaData".ljust(48, b"\xff") * 9)
def test_any_bytes_as_a_shard(content):
    with pytest.raises(InvalidRequestError):
        parse(content)


@pytest.fixture(scope="module")
def sound():
    """The xorb of each client, and the hash that it has."""
    return {c: (sent(c, "xorb"), parse(sent(c, "shard")).xorbs[0].hash) for c in CLIENTS}


@FUZZ
@given(client=st.sampled_from(sorted(CLIENTS)), damage=DAMAGE, step=st.integers(1, 9999))
def test_any_damage_to_a_xorb(client, damage, step, sound, tmp_path):
    data, digest = sound[client]
    place = tmp_path / "xorb"
    index = store(place, data, digest)
    chunks = list(read_chunks(place, index, 0, len(index)))
    try:
        index = store(place, damaged(data, *damage), digest, step)
    except (InvalidRequestError, TooLargeError):
        return
    # The footer may be anything: it is not stored.
    assert list(read_chunks(place, index, 0, len(index))) == chunks


@FUZZ
@given(
    content=st.binary(max_size=200),
    scheme=st.integers(0, 255),
    size=st.integers(0, (1 << 24) - 1) | st.none(),
)
def test_any_chunk(content, scheme, size):
    try:
        found = unpack(packed(content, scheme, size))
    except InvalidRequestError:
        return
    assert size in (None, len(found))
    assert len(hash_chunk(found)) == 32
