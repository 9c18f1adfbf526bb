"""Table 16, the globalisation factor by region and year, from KOF's own file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from ggez_hub.evaluation.paper.checks import Finding, Tables
from ggez_hub.evaluation.paper.printed import Table
from ggez_hub.regions import find_region
from ggez_hub.regions.kof import INTERPERSONAL, SHIPPED_RELEASE, load_series

COLUMNS = {
    "EAP": "east-asia-pacific",
    "ECA": "europe-central-asia",
    "LAC": "latin-america-caribbean",
    "MENA": "middle-east-north-africa",
    "NA": "north-america",
    "SA": "south-asia",
    "SEA": "southeast-asia",
    "SSA": "sub-saharan-africa",
    "World": "world",
}
# In KOF's file under the outdated code TMP, and so not in the paper's mean.
LOST = "tl"


@dataclass(frozen=True)
class FromKof:
    """Every cell is KOF's aggregate row, or the mean over the countries of the region but one."""

    def findings(self, table: Table, every: Tables) -> Iterator[Finding]:
        for year, row in table.rows.items():
            for column, cell in row.items():
                value, rule = _value(COLUMNS[column], int(year))
                yield Finding(table.number, year, column, rule, cell.value, value, cell.half)


def _value(region_id: str, year: int) -> tuple[Fraction, str]:
    """The index from 0 to 100 as the paper computes it, and where it comes from."""
    region, series = find_region(region_id), load_series(INTERPERSONAL, SHIPPED_RELEASE)
    source = f"{INTERPERSONAL} of KOF release {SHIPPED_RELEASE}"
    keys = [region.aggregate] if region.aggregate else [m for m in region.members if m != LOST]
    # As decimal fractions, which they are in KOF's file: a tie of rounding stays one.
    found = [Fraction(str(v)) for key in keys if (v := series.value(key, year)) is not None]
    what = f"row {region.aggregate}" if region.aggregate else f"mean of {len(found)} countries"
    return sum(found, Fraction()) / len(found), f"{source}, {what}"
