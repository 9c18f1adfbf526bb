"""The balance of who judges what: for each rater, side and language, whatever the study is."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggez_hub.humans.assignment import queue, raters_needed, training
from ggez_hub.humans.study import Study

from .studies import DESIGNS, study_of

studies = st.builds(
    study_of,
    design=st.sampled_from(DESIGNS),
    models=st.integers(2, 6),
    items=st.integers(1, 40),
    gold=st.integers(0, 8),
    raters_per_item=st.integers(1, 3),
    items_per_rater=st.integers(1, 60),
    repeats=st.sampled_from((0.0, 0.1, 0.5)),
    seed=st.integers(0, 2**63 - 1),
)


def pairs(shown):
    return Counter(frozenset(pair) for own in shown for pair in combinations(own.models, 2))


def places(shown, names):
    return [
        [sum(own.models[place : place + 1] == (name,) for own in shown) for name in names]
        for place in range(len(shown[0].models))
    ]


@settings(max_examples=60, deadline=None)
@given(studies)
def test_a_rater_has_every_model_pair_and_place_equally_often(study):
    names = list(study.by_name)
    for number in range(min(raters_needed(study, "regional", "th"), 5)):
        own = queue(study, "regional", "th", number)
        assert len({shown.key for shown in own}) == len(own)
        new = [shown for shown in own if not shown.gold and not shown.occurrence]
        assert all(len(set(shown.models)) == study.design.outputs for shown in new)
        assert len({sum(name in shown.models for shown in new) for name in names}) == 1
        if study.design.outputs > 1:
            assert len(set(pairs(new).values())) == 1
            assert len(pairs(new)) == len(names) * (len(names) - 1) / 2
        # Blocks that repeat themselves sooner than after all models are short of one turn at most.
        assert all(max(at) - min(at) <= 1 for at in places(new, names))


@settings(max_examples=60, deadline=None)
@given(studies)
def test_all_raters_together_judge_every_set_as_often_as_the_study_asks(study):
    for side, language in (("global", "en"), ("regional", "th")):
        new = [
            shown
            for number in range(raters_needed(study, side, language))
            for shown in queue(study, side, language, number)
            if not shown.gold and not shown.occurrence
        ]
        together = Counter((shown.item, frozenset(shown.models)) for shown in new)
        at_places = places(new, list(study.by_name))
        assert all(max(at) - min(at) <= study.raters_per_item for at in at_places)
        items = [item.id for item in study.items if item.gold is None]
        every = combinations(study.by_name, study.design.outputs)
        sets = {(item, frozenset(models)) for models in every for item in items}
        assert together == dict.fromkeys(sets, study.raters_per_item)


@settings(max_examples=60, deadline=None)
@given(studies)
def test_repeats_and_gold_are_as_many_as_the_study_asks_and_repeats_come_late(study):
    gold = [item.id for item in study.items if item.gold]
    taught = {shown.item for shown in training(study, "en")}
    assert len(taught) == min(3, len(gold) // 2)
    own = queue(study, "global", "en", 0)
    new = [shown for shown in own if not shown.gold and not shown.occurrence]
    again = [shown for shown in own if shown.occurrence]
    assert len(again) == min(round(study.repeats * len(new)), len(new) // 2)
    for shown in again:
        first = next(s for s in new if (s.item, {*s.models}) == (shown.item, {*shown.models}))
        assert own.index(shown) - own.index(first) >= len(new) // 2
        assert study.design.outputs == 1 or shown.models != first.models
    checks = {shown.item for shown in own if shown.gold}
    assert checks <= {*gold} - taught
    assert bool(checks) == bool(gold)


def test_the_queue_follows_from_the_study_and_its_seed():
    study = study_of("pairs", gold=4, seed=7)
    again = Study.model_validate_json(study.canonical(), strict=False)
    assert again.digest == study.digest
    assert queue(again, "regional", "th", 1) == queue(study, "regional", "th", 1)
    others = [
        queue(study_of("pairs", gold=4, seed=8), "regional", "th", 1),
        queue(study, "regional", "en", 1),
        queue(study, "regional", "th", 0),
    ]
    assert queue(study, "regional", "th", 1) not in others
    # The order of today: published studies are recomputed with later versions.
    assert [shown.key for shown in queue(study, "regional", "th", 1)[:3]] == [
        "item-3|m0+m1|0",
        "item-0|m0+m2|0",
        "item-9|m1+m2|0",
    ]


def test_text_is_judged_by_those_who_read_it():
    written = study_of("translation", items=4, media="text")
    assert queue(written, "regional", "th", 0) == ()
    assert raters_needed(written, "regional", "th") == 0
    assert len(queue(written, "regional", "en", 0)) > 0
    with pytest.raises(ValueError, match="no rater reads en"):
        study_of("translation", media="text", raters={"regional": ("th",)})


def test_an_item_does_not_come_again_before_the_others():
    own = queue(study_of("pairs", models=4, items=20, repeats=0.0), "global", "en", 0)
    items = [shown.item for shown in own]
    assert len({*items[:12]}) == 12
