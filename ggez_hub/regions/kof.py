"""The KOF Globalisation Index on this machine: releases, and one series of a release.

Source: KOF Swiss Economic Institute, ETH Zurich (Gygli, Haelg, Potrafke and Sturm 2019; Dreher
2006). Release 2025 comes with the package: the overall index and the de facto interpersonal series.
`kof import` adds releases to the user's data folder. KOF normalises over its panel, so values of
two releases are not comparable: a series is read from exactly one.

On disk a release is a folder with one JSON file for each series:

    {"series": ..., "first_year": 1970, "values": {"th": [12.3, ..., null], "EAS": [...]}}

with values from 0 to 100, a country under its ISO 3166-1 alpha-2 code, one of KOF's aggregates under
its own three capital letters, null for a year without a value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ggez_hub.errors import GgezError, UsageProblem

SHIPPED_RELEASE = "2025"
INTERPERSONAL = "KOFIpGIdf"
SHIPPED_FOLDER = Path(__file__).parent / "data" / "kof"


@dataclass(frozen=True, slots=True)
class Series:
    """One series of one release, 0-100, by country (alpha-2) or aggregate (KOF's code)."""

    name: str
    release: str
    first_year: int
    values: Mapping[str, tuple[float | None, ...]]

    @property
    def last_year(self) -> int:
        return self.first_year + max(len(row) for row in self.values.values()) - 1

    def value(self, key: str, year: int) -> float | None:
        """The value of a country or aggregate, or None where there is none."""
        row = self.values.get(key, ())
        at = year - self.first_year
        return row[at] if 0 <= at < len(row) else None

    def values_in(self, year: int, countries: Iterable[str]) -> dict[str, float]:
        """The values of those countries that have one."""
        found = {country: self.value(country, year) for country in countries}
        return {country: value for country, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Release:
    """A release on this machine with the names of its series; `shipped` ones came with the package."""

    name: str
    folder: Path
    series: tuple[str, ...]

    @property
    def shipped(self) -> bool:
        return self.folder.parent == SHIPPED_FOLDER


def user_folder() -> Path:
    """Where imported releases live: `kof` in the user's data folder."""
    import platformdirs

    return Path(platformdirs.user_data_dir("ggez-hub")) / "kof"


def _release(folder: Path) -> Release:
    return Release(folder.name, folder, tuple(sorted(path.stem for path in folder.glob("*.json"))))


def releases() -> tuple[Release, ...]:
    """The releases on this machine, the shipped one first."""
    # A folder that begins with a dot is an unfinished import.
    folders = [SHIPPED_FOLDER / SHIPPED_RELEASE, *sorted(user_folder().glob("[!.]*"))]
    return tuple(release for release in map(_release, folders) if release.series)


def find_release(name: str | None = None) -> Release:
    """The release `name`; the shipped one for None, so that an import changes no result unasked."""
    if name is None or name == SHIPPED_RELEASE:
        return _release(SHIPPED_FOLDER / SHIPPED_RELEASE)
    known = {release.name: release for release in releases()}
    if name not in known:
        raise UsageProblem(
            f"there is no KOF release {name!r} on this machine",
            f"There are: {', '.join(known)}. `ggez-hub kof import FILE` adds one.",
        )
    return known[name]


def load_series(name: str = INTERPERSONAL, release: str | None = None) -> Series:
    """The series of a release, the shipped one for None; raises UsageProblem if it is not there."""
    found = find_release(release)
    if name not in found.series:
        raise UsageProblem(
            f"release {found.name} has no series {name!r} on this machine",
            f"It has: {', '.join(found.series)}. `ggez-hub kof import FILE` reads every column of "
            "KOF's file.",
        )
    return _read(found.folder / f"{name}.json")


@cache
def _read(path: Path) -> Series:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Series(
            name=content["series"],
            release=path.parent.name,
            first_year=content["first_year"],
            values={key: tuple(row) for key, row in content["values"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GgezError(
            f"{path} is damaged: {error}", "Remove its folder and import the release again."
        ) from error
