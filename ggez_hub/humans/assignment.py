"""Who judges what, in which order: it follows from the study and its seed alone.

A *set* is what is shown at once: some outputs of one item. A rater is a number within a side and a
language; the sets of the rater, their order and the places of the outputs follow from these.

A *round* has one set of every combination of models (every *block*), of different items. As many
rounds as there are items hold each item with each block once: they are dealt out to raters in
stretches, and again, of items in another order, for the next rater of each set. So each pair of
models comes equally often for each rater, side and language, and blocks that are turned by one
place from round to round balance the places on the screen.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from typing import TypeVar

from ggez_hub.humans.study import Side, Study

T = TypeVar("T")
# Gold items that train raters, at most; they are not judged again.
TRAINING = 3


@dataclass(frozen=True)
class Shown:
    """One screen of a rater: the models whose outputs of an item stand from left to right.

    `occurrence` is 1 where the rater has judged the same set before (for consistency), else 0.
    """

    item: str
    models: tuple[str, ...]
    occurrence: int
    gold: bool

    @property
    def key(self) -> str:
        """What names the judgement among those of its rater."""
        return f"{self.item}|{'+'.join(sorted(self.models))}|{self.occurrence}"


def queue(study: Study, side: Side, language: str, number: int) -> tuple[Shown, ...]:
    """What rater `number` (from 0) of a side and language is shown, in order.

    Raters after the first `raters_needed` are further judges of the same sets.
    """
    items = study.judged.get(language, ())
    if not items:
        return ()
    who = f"{study.seed}|{side}|{language}|{number}"
    raters = _raters_once(study, len(items))
    turn, place = divmod(number, raters)
    order = _order(f"{study.seed}|{side}|{language}|{turn}", items)
    rounds = range(place * len(items) // raters, (place + 1) * len(items) // raters)
    blocks = cyclic_blocks(len(study.models), study.design.outputs)
    names = [model.name for model in study.models]
    own: list[Shown] = []
    for number_of_round in rounds:
        every = list(_round(order, blocks, number_of_round))
        # Not always in the same order: the models would be recognised by it.
        for item, block in _shuffled(f"{who}|{number_of_round}", every, str):
            turned = _turned(block, number_of_round + turn)
            own.append(Shown(item, tuple(names[model] for model in turned), 0, gold=False))
    return tuple(_with_checks(study, language, who, own))


def raters_needed(study: Study, side: Side, language: str) -> int:
    """How many raters give every set its `raters_per_item` judgements."""
    if language not in study.raters.get(side, ()):
        return 0
    items = study.judged[language]
    return study.raters_per_item * _raters_once(study, len(items)) if items else 0


def training(study: Study, language: str) -> tuple[Shown, ...]:
    """The gold sets with which raters of a language are trained, the same for all of them."""
    return tuple(sets[0] for sets in _gold_sets(study, language)[0])


def cyclic_blocks(models: int, outputs: int) -> tuple[tuple[int, ...], ...]:
    """All combinations of `outputs` of `models` numbers, each once, in balanced places.

    They come in cycles: the numbers of a block plus 1, 2, ... modulo `models`. In a cycle of full
    length every number is at every place once.
    """
    found: dict[frozenset[int], tuple[int, ...]] = {}
    for first in combinations(range(models), min(outputs, models)):
        for step in range(models):
            block = tuple((model + step) % models for model in first)
            found.setdefault(frozenset(block), block)
    return tuple(found.values())


def _raters_once(study: Study, items: int) -> int:
    """How many raters judge every set once; each has at least one round."""
    blocks = math.comb(len(study.models), min(study.design.outputs, len(study.models)))
    return math.ceil(items / max(study.items_per_rater // blocks, 1))


def _round(
    items: Sequence[str], blocks: Sequence[tuple[int, ...]], number: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The sets of a round: consecutive rounds go through the items, so that none comes again soon.

    After the rounds in which the same items would meet the same blocks, items move on by one.
    """
    period = len(items) // math.gcd(len(items), len(blocks))
    for place, block in enumerate(blocks):
        item = (number * len(blocks) + place + number // period) % len(items)
        yield items[item], block


def _turned(block: tuple[T, ...], by: int) -> tuple[T, ...]:
    start = by % len(block)
    return block[start:] + block[:start]


def _with_checks(study: Study, language: str, who: str, own: list[Shown]) -> Iterator[Shown]:
    """The sets, with some of the first half again half of them later, and with gold among them."""
    half = len(own) / 2
    placed: list[tuple[float, Shown]] = [(float(place), shown) for place, shown in enumerate(own)]
    again = _shuffled(f"{who}|repeats", placed[: int(half)], lambda pair: pair[1].key)
    for place, shown in again[: round(study.repeats * len(own))]:
        # At other places on the screen: where it was is not what is remembered.
        repeated = replace(shown, models=_turned(shown.models, 1), occurrence=1)
        placed.append((place + half + 0.25, repeated))
    gold = [shown for sets in _gold_sets(study, language)[1] for shown in sets]
    gold = _shuffled(f"{who}|gold", gold, lambda shown: shown.key)
    for place, shown in enumerate(gold := gold[: math.ceil(study.gold * len(own))]):
        at = (place + _share(f"{who}|{shown.key}")) * len(own) / len(gold)
        placed.append((at, replace(shown, models=_turned(shown.models, place))))
    return (shown for _, shown in sorted(placed, key=lambda pair: pair[0]))


def _gold_sets(study: Study, language: str) -> tuple[list[list[Shown]], list[list[Shown]]]:
    """The sets of each gold item, with what is right for at least one output: to train, to check."""
    found = []
    items = [item for item in study.items if item.gold is not None and item.is_for(language)]
    for item in _shuffled(f"{study.seed}|gold", items, lambda item: item.id):
        there = sorted(item.outputs)
        blocks = cyclic_blocks(len(there), study.design.outputs)
        named = (tuple(there[model] for model in block) for block in blocks)
        sets = [Shown(item.id, m, 0, gold=True) for m in named if set(m) & set(item.gold or ())]
        found.append(sets)
    trained = min(TRAINING, len(found) // 2)
    return found[:trained], found[trained:]


def _shuffled(seed: str, values: Iterable[T], name: Callable[[T], str]) -> list[T]:
    """The values in an order that follows from the seed and their names alone, in any language."""
    return sorted(values, key=lambda value: _hash(f"{seed}|{name(value)}"))


@lru_cache(maxsize=64)
def _order(seed: str, items: tuple[str, ...]) -> list[str]:
    """The items in the order of one turn: all raters of it have the same."""
    return _shuffled(seed, items, str)


def _share(seed: str) -> float:
    """A number from 0 to below 1."""
    return int.from_bytes(_hash(seed)[:6]) / 2**48


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
