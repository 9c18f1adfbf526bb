"""Whatever a lock or a signature holds, it is read as it was made, or refused with a reason.

`make soak` runs many more examples.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ggez_hub.automation.affected_pull_requests import marked_card
from ggez_hub.errors import GgezError
from ggez_hub.registry.affected import Cause, ingredients
from ggez_hub.registry.lock import Lock, parse_any_lock
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolver.resolver import resolve
from ggez_hub.registry.trust.statement import BadSignature

from ..fuzzing import examples
from .test_public_bundles import WORKFLOW, verified

FUZZ = settings(
    max_examples=examples(60), deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip
PLACES = st.floats(0, 1)
DAMAGE = st.tuples(PLACES, st.integers(0, 30), st.binary(max_size=30))


def damaged(data, place, length, new):
    start = int(place * len(data))
    return data[:start] + new + data[start + length :]


@FUZZ
@given(damage=DAMAGE)
@example(damage=(0, 1 << 30, b"[" * 100_000))
@example(damage=(0, 1 << 30, b'{"verificationMaterial": {"publicKey": []}}'))
def test_any_damage_to_a_signature(damage):
    _, statement, _ = verified(WORKFLOW)
    try:
        found = verified(damaged(WORKFLOW, *damage))
    except BadSignature:
        return
    assert found[1] == statement


@pytest.fixture(scope="module")
def lock(seeded):
    return Lock(resolution=resolve(Request("th"), seeded).resolution, outputs={})


@FUZZ
@given(damage=DAMAGE)
@example(damage=(0, 1 << 30, b"[" * 100_000))
@example(damage=(0, 1 << 30, b'{"merge": {}}'))
@example(damage=(0, 1 << 30, b"9" * 5000))
def test_any_damage_to_a_lock(lock, damage):
    text = damaged(lock.to_text().encode(), *damage).decode(errors="replace")
    try:
        found = parse_any_lock(text, "ggez.lock")
    except GgezError:
        return
    assert [i.repo.count("/") for i in ingredients(found)] == [1, 1]


@FUZZ
@given(text=st.text(max_size=80), damage=DAMAGE, reason=st.text(max_size=40))
@example(text="tags: [a]\nb: &x 1\nc: *x", damage=(0, 0, b""), reason="")
@example(text="tags: [2026-01-01, x]", damage=(0, 0, b""), reason="")
@example(text="", damage=(0.8125, 6, b""), reason="")
def test_any_card_is_marked_once_or_refused(text, damage, reason):
    card = f"---\ntags: [ggez]\n{text}\n---\n\n# T\n"
    card = damaged(card.encode(errors="replace"), *damage).decode(errors="replace")
    causes = [Cause("a/b", None, "yanked", reason)]
    try:
        marked = marked_card(card, causes)
    except GgezError:
        return
    assert marked_card(marked, causes) == marked
    assert json.dumps(marked)
