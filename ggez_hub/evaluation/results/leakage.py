"""Whether a task's data, or something that its pictures came from, was trained on.

A score on such a task proves nothing: it is refused before it is measured. Where a card says
`unknown` of its data, every score carries "contamination unknown". `ancestors.yaml` says which data
sets share pictures with which; more can be given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

import yaml

from ggez_hub.cards.values import UNKNOWN, Unknown
from ggez_hub.errors import GateFailed
from ggez_hub.evaluation.results.header import Header

Contamination: TypeAlias = Literal["none known", "contamination unknown", "trained on"]
TRAINED_ON: Contamination = "trained on"
ANCESTORS = Path(__file__).parent / "ancestors.yaml"


def contamination(header: Header) -> dict[str, Contamination]:
    """What is known of every task of a results folder or card."""
    return {
        name: state_of(record.dataset, header.data, header.held_out)[0]
        for name, record in header.tasks.items()
    }


def refuse_leaks(
    datasets: Mapping[str, str], data: Iterable[str] | Unknown, held_out: Iterable[str] = ()
) -> None:
    """Raise GateFailed if a task (id -> data set) was trained on, directly or through an ancestor."""
    states = {task: state_of(dataset, data, held_out) for task, dataset in datasets.items()}
    if found := [f"{task}: {why}" for task, (state, why) in states.items() if state == TRAINED_ON]:
        raise GateFailed(
            "the adapter was trained on what it is asked:\n  " + "\n  ".join(found),
            "Leave these tasks out: their scores would prove nothing.",
        )


def state_of(
    dataset: str, data: Iterable[str] | Unknown, held_out: Iterable[str] = ()
) -> tuple[Contamination, str]:
    """Whether `dataset` or an ancestor of it is among the training `data`, and which.

    An ancestor is not where the data set itself is among the `held_out`: a sample of a corpus that was
    kept out of the training.
    """
    if dataset == UNKNOWN:
        return "contamination unknown", "the task does not say which data set it is"
    if isinstance(data, str):
        return "contamination unknown", "the card does not say what was trained on"
    sources = list(data)
    own, family = _keys(dataset), family_of(dataset)
    aliases = own.union(*(_aliases().get(key, ()) for key in own))
    apart = any(not aliases.isdisjoint(_keys(name)) for name in held_out)
    for source in sources:
        if not family.isdisjoint(_keys(source)):
            same = not own.isdisjoint(_keys(source))
            if apart and aliases.isdisjoint(_keys(source)):
                continue
            via = "" if same else f", which shares its pictures with {dataset}"
            return TRAINED_ON, f"{source} is on its card{via}"
    if not sources or any(UNKNOWN in source.lower() for source in sources):
        return "contamination unknown", "the card names no data, or not all of it"
    return "none known", ""


def family_of(dataset: str) -> frozenset[str]:
    """The keys of a data set, of its other names, and of everything its pictures came from."""
    found = list(_keys(dataset))
    # Appended to while it is walked: ancestors have ancestors.
    for name in found:
        found += [other for other in _relatives().get(name, ()) if other not in found]
    return frozenset(found)


@cache
def _entries() -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Each data set's names, and what its pictures come from."""
    content = yaml.safe_load(ANCESTORS.read_text(encoding="utf-8"))
    return [
        (tuple(map(_slug, entry["names"])), tuple(map(_slug, entry.get("from", ()))))
        for entry in content["data_sets"]
    ]


@cache
def _aliases() -> Mapping[str, tuple[str, ...]]:
    return {name: names for names, _ in _entries() for name in names}


@cache
def _relatives() -> Mapping[str, tuple[str, ...]]:
    return {name: (*names, *parents) for names, parents in _entries() for name in names}


def _keys(name: str) -> frozenset[str]:
    """What a name may be known as: with its owner; and without, where that is a name of its own."""
    bare = _slug(name).rpartition("/")[2]
    return frozenset({_slug(name), bare} if bare in _relatives() else {_slug(name)})


def _slug(name: str) -> str:
    """The last two parts of a name without case, punctuation and a remark in brackets."""
    plain = re.sub(r"\(.*?\)|@main\Z", "", name).strip().rstrip("/").lower()
    parts = [re.sub(r"[^a-z0-9]", "", part) for part in plain.split("/")]
    return "/".join(parts[-2:])
