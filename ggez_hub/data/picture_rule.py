"""The rule on the picture itself: a CLIP model's zero-shot guess of the country."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggez_hub.data.model_folders import model_folder
from ggez_hub.data.pictures import with_pictures
from ggez_hub.data.region_rules import HOLDS
from ggez_hub.data.rows import Row
from ggez_hub.data.scorers.clip_score import Clip, open_clip_like
from ggez_hub.data.spec import PictureRule
from ggez_hub.data.tally import Tally
from ggez_hub.errors import UsageProblem
from ggez_hub.regions import find_region, known_region
from ggez_hub.regions.cldr import supplement


@dataclass(frozen=True, eq=False)
class CountryClassifier:
    """A model with a prompt for each country; `members` are those of the region."""

    clip: Clip
    prompts: NDArray[np.float32]
    members: NDArray[np.bool_]
    threshold: float

    @classmethod
    def of(cls, rule: PictureRule, region: str, base: Path) -> CountryClassifier:
        """Open the model of a rule; raises UsageProblem for a name that is not of a country."""
        members = find_region(region).members
        countries = sorted(_countries(rule) | set(members))
        found = model_folder(rule.model, rule.revision, base, rule.library)
        clip = open_clip_like(found.path, rule.library, rule.device, rule.batch)
        prompts = [rule.prompt.replace("{country}", find_region(c).name) for c in countries]
        at_home = np.array([code in members for code in countries])
        return cls(clip, clip.texts(prompts), at_home, rule.threshold)

    def holds(self, pictures: Iterable[Any]) -> list[bool]:
        """Whether the members' share of the softmax over countries is large enough."""
        logits = self.clip.scale * self.clip.pictures(pictures) @ self.prompts.T
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        share = weights[:, self.members].sum(axis=1) / weights.sum(axis=1)
        decided: list[bool] = (share >= self.threshold).tolist()
        return decided


@dataclass(frozen=True)
class PictureRules:
    """The rules on pictures of a spec."""

    rules: tuple[CountryClassifier, ...]

    @classmethod
    def of(cls, rules: Sequence[PictureRule], region: str, base: Path) -> PictureRules:
        """Open the models."""
        return cls(tuple(CountryClassifier.of(rule, region, base) for rule in rules))

    def held(self, rows: Sequence[Row], tally: Tally) -> list[int]:
        """How many rules hold for each row; none for a row without a picture."""
        counts = [0] * len(rows)
        for rule in self.rules:
            # Decoded again for each rule, of which there is rarely more than one.
            places, pictures = with_pictures(rows)
            for place, holds in zip(places, rule.holds(pictures) if places else (), strict=True):
                counts[place] += holds
                tally.evidence["picture", HOLDS if holds else "another country"] += 1
        return counts


def _countries(rule: PictureRule) -> set[str]:
    found = set() if rule.countries else set(supplement().alpha3)
    for name in rule.countries:
        region = known_region(name)
        if region is None or not region.is_country:
            raise UsageProblem(f"{name!r} is not a country", "A picture rule compares countries.")
        found.add(region.id)
    return found
