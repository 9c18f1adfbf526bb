"""The order of candidates is total: shuffled, an index gives the same answer."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from ggez_hub.cards import CardDocument
from ggez_hub.cards.curve import CurveRow
from ggez_hub.cards.schema import AdapterCard
from ggez_hub.parity.card_rows import ranking_rows
from ggez_hub.regions import fallback_chain
from ggez_hub.registry.index.entries import CardSummary, IndexEntry
from ggez_hub.registry.resolution import PinnedCard
from ggez_hub.registry.resolver.candidates import CandidateOrder

from ..worlds import curve

CHAIN = fallback_chain("th")
ALPHA = 0.37


def entry(name, *, region="th", regional=None, task="0", base="b", registered=None):
    """A candidate; measured by the registry if it has a regional score at beta 1."""
    rows = {}
    if regional is not None:
        raw = curve([region], {"0": (60.0, 10.0), "1": (60.0, regional)})
        rows = {
            beta: {k: CurveRow.model_validate(r | {"task": task * 64}) for k, r in tasks.items()}
            for beta, tasks in raw.items()
        }
    summary = CardSummary(
        region=region, family="embedding", kind="lora", level="declared", license="mit",
        state="active", reason="", superseded_by=None, base_repo="o/base",
        base_weights=base if base == "unknown" else base * 64, registered=registered,
        recommended=False,
    )  # fmt: skip
    card = PinnedCard(
        repo="o/index", repo_type="dataset", revision="0" * 40, path=f"{name}.md", sha256="0" * 64
    )
    return IndexEntry(
        repo=f"o/{name}", revision="0" * 40, accepted=True, card=card, summary=summary,
        read_card=lambda: CardDocument(AdapterCard.model_construct(), {}, ""),
        read_ranking=lambda: ranking_rows(rows),
    )  # fmt: skip


def rank(entries, date_of):
    dates_of = lambda several: [date_of(entry) for entry in several]  # noqa: E731
    return list(CandidateOrder(tuple(entries), tuple(CHAIN), ALPHA, dates_of))


def order(entries, dates=None):
    date_of = lambda e: e.summary.registered or (dates or {}).get(e.repo, "")  # noqa: E731
    return [r.entry.repo.removeprefix("o/") for r in rank(entries, date_of)]


def no_date(_):
    raise AssertionError("the date does not decide here")


def test_the_nearer_region_comes_before_everything():
    far = entry("a", region="southeast-asia", regional=50.0, registered="2026-09-09")
    assert order([far, entry("b", registered="2026-01-01")]) == ["b", "a"]


def test_rivals_by_their_grp_and_no_date_is_asked_for():
    rivals = [entry("a", regional=30.0), entry("b", regional=50.0), entry("c", regional=40.0)]
    ranked = rank(rivals, no_date)
    assert [r.entry.repo for r in ranked] == ["o/b", "o/c", "o/a"]
    assert "on the same tasks" in ranked[1].after(ranked[0])


def test_scores_of_other_tasks_or_bases_are_not_compared():
    for other in (
        entry("better", regional=90.0, task="1", registered="2026-01-01"),
        entry("better", regional=90.0, base="c", registered="2026-01-01"),
        entry("better", regional=90.0, base="unknown", registered="2026-01-01"),
    ):
        newer = entry("newer", regional=20.0, registered="2026-02-01")
        assert order([other, newer]) == ["newer", "better"]


def test_date_then_name():
    old, new = entry("z", registered="2026-01-01"), entry("y", registered="2026-03-01")
    assert order([old, new, entry("x", registered="2026-03-01")]) == ["x", "y", "z"]
    # Without a day of registration that of the commit counts.
    assert order([entry("p"), entry("q")], {"o/q": "2026-01-02", "o/p": "2026-01-01"}) == ["q", "p"]


def test_a_group_of_rivals_takes_the_place_of_its_best():
    best = entry("best", regional=50.0, registered="2026-01-01")
    worse_but_new = entry("worse", regional=30.0, registered="2026-05-01")
    between = entry("between", registered="2026-03-01")
    ranked = rank([worse_but_new, between, best], lambda e: e.summary.registered)
    assert [r.entry.repo for r in ranked] == ["o/between", "o/best", "o/worse"]
    assert "o/best is better on the same tasks" in ranked[2].after(ranked[0])


@st.composite
def indexes(draw):
    size = draw(st.integers(2, 7))
    return [
        entry(
            f"n{number}",
            region=draw(st.sampled_from(["th", "southeast-asia"])),
            regional=draw(st.sampled_from([None, 20.0, 40.0, 60.0])),
            task=draw(st.sampled_from("01")),
            base=draw(st.sampled_from(["b", "c", "unknown"])),
            registered=draw(st.sampled_from([None, "2026-01-01", "2026-02-02"])),
        )
        for number in range(size)
    ]


@settings(max_examples=60, deadline=None)
@given(indexes(), st.randoms(use_true_random=False))
def test_a_shuffled_index_gives_the_same_order(entries, random):
    expected = order(entries)
    assert sorted(expected) == sorted(e.repo.removeprefix("o/") for e in entries)
    shuffled = entries.copy()
    random.shuffle(shuffled)
    assert order(shuffled) == expected


@settings(max_examples=60, deadline=None)
@given(indexes())
def test_among_rivals_no_worse_one_comes_first(entries):
    ranked = rank(entries, lambda e: e.summary.registered or "")
    by_best = {}
    for place in ranked:
        by_best.setdefault((place.best.repo, place.entry.summary.region), []).append(place.grp)
    for grps in by_best.values():
        measured = [g for g in grps if g is not None]
        assert measured == sorted(measured, reverse=True)


def reasons(order, place):
    first = list(order)[place]
    return {entry.repo: reason for entry, reason in order.others(first)}


def three(recommended=False):
    far = entry("c", region="southeast-asia", registered="2026-01-01")
    if recommended:
        far = replace(far, summary=far.summary.model_copy(update={"recommended": True}))
    near = [entry("a", registered="2026-02-01"), entry("b", registered="2026-01-01")]
    dates_of = lambda several: [e.summary.registered for e in several]  # noqa: E731
    return CandidateOrder((*near, far), tuple(CHAIN), ALPHA, dates_of)


def test_every_reason_names_the_first():
    assert reasons(three(), 0) == {
        "o/b": "o/a comes first: it is newer, or of the same day and first by name",
        "o/c": "o/a comes first: it serves th, which is nearer",
    }


def test_a_reason_never_calls_a_farther_region_nearer():
    passed = "o/c is taken, of another family or base"
    assert reasons(three(), 2) == {"o/a": passed, "o/b": passed}
    recommended = "the index recommends o/c"
    assert reasons(three(recommended=True), 2) == {"o/a": recommended, "o/b": recommended}


def test_a_farther_region_is_not_ranked_where_a_nearer_one_serves():
    def unread():
        raise AssertionError("no curve of a farther region decides here")

    near, far = entry("a", regional=40.0), entry("c", region="southeast-asia", regional=50.0)
    far = replace(far, read_ranking=unread)
    order = CandidateOrder((near, far), tuple(CHAIN), ALPHA, no_date)
    first = next(iter(order))
    assert [(e.repo, first.entry.repo in reason) for e, reason in order.others(first)] == [
        ("o/c", True)
    ]
