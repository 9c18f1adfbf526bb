"""Evidence in the picture itself: a CLIP model's zero-shot guess of the country."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggez_hub.data.model_folders import model_folder
from ggez_hub.data.region_rules import HOLDS, BadRule
from ggez_hub.data.scorers.base import with_pictures
from ggez_hub.data.scorers.clip_score import Clip, open_clip_like
from ggez_hub.data.spec import PictureRule
from ggez_hub.data.tally import Tally
from ggez_hub.regions import find_region, known_region
from ggez_hub.regions.cldr import supplement

NAME = "picture"


@dataclass(frozen=True, eq=False)
class _Rule:
    clip: Clip
    prompts: NDArray[np.float32]
    members: NDArray[np.bool_]
    threshold: float

    def holds(self, pictures: Iterable[Any]) -> NDArray[np.bool_]:
        """Whether the members' share of the softmax over countries is large enough."""
        logits = self.clip.scale * self.clip.pictures(pictures) @ self.prompts.T
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        share = weights[:, self.members].sum(axis=1) / weights.sum(axis=1)
        return np.asarray(share >= self.threshold)


@dataclass(frozen=True)
class PictureRules:
    """The rules on pictures of a spec."""

    rules: tuple[_Rule, ...]

    @classmethod
    def of(cls, rules: Sequence[PictureRule], region: str, base: Path) -> PictureRules:
        """Open the models; raises NoModel, and BadRule for a country that is none."""
        return cls(tuple(_rule(rule, region, base) for rule in rules))

    def held(self, rows: list[dict[str, Any]], tally: Tally) -> list[int]:
        """How many rules hold for each row; none for a row without a picture."""
        counts = [0] * len(rows)
        places = [place for place, row in enumerate(rows) if row["image"]]
        if not places:
            return counts
        for rule in self.rules:
            # Decoded again for each rule, of which there is rarely more than one.
            _, pictures = with_pictures(rows)
            for place, holds in zip(places, rule.holds(pictures).tolist(), strict=True):
                counts[place] += holds
                tally.evidence[NAME, HOLDS if holds else "another country"] += 1
        return counts


def _rule(rule: PictureRule, region: str, base: Path) -> _Rule:
    members = find_region(region).members
    countries = _countries(rule) | set(members)
    listed = sorted(countries)
    found = model_folder(rule.model, rule.revision, base, rule.library)
    clip = open_clip_like(found.path, rule.library, rule.device, rule.batch)
    prompts = [rule.prompt.replace("{country}", find_region(code).name) for code in listed]
    return _Rule(
        clip,
        clip.texts(prompts),
        np.array([code in members for code in listed]),
        rule.threshold,
    )


def _countries(rule: PictureRule) -> set[str]:
    if not rule.countries:
        return set(supplement().alpha3)
    found = set()
    for name in rule.countries:
        region = known_region(name)
        if region is None or not region.is_country:
            raise BadRule(f"{name!r} is no country", "A picture rule compares countries.")
        found.add(region.id)
    return found
