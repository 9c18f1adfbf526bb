"""What the source says of an example's country."""

from __future__ import annotations

from dataclasses import dataclass

from ggez_hub.data.example import UNKNOWN, Example
from ggez_hub.data.fields import country_code, country_in_path
from ggez_hub.data.region.base import Verdict


@dataclass(frozen=True)
class Metadata:
    """The first of the fields that names a country decides."""

    members: frozenset[str]
    fields: tuple[str, ...]
    name: str = "metadata"

    def __call__(self, example: Example) -> Verdict:
        for field in self.fields:
            country = _country(example, field)
            if country is not None:
                return True if country in self.members else (False, "another country")
        return False, "no country is given"


def _country(example: Example, field: str) -> str | None:
    if field == "country":
        return None if example.country == UNKNOWN else example.country
    if field == "location":
        return country_code(example.location) if example.location else None
    return country_in_path(example.path) if example.path else None
