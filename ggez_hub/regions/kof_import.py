"""Reading KOF's published table and keeping it as a release."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ggez_hub.atomic_files import atomic_folder
from ggez_hub.errors import MissingExtra, UsageProblem
from ggez_hub.quantities import counted
from ggez_hub.regions.catalogue import catalogue
from ggez_hub.regions.kof import SHIPPED_RELEASE, Release, find_release, user_folder

# KOF keeps World Bank codes that ISO has replaced; XKX is the World Bank's for Kosovo.
OUTDATED_CODES = {"ROM": "ro", "ZAR": "cd", "ADO": "ad", "TMP": "tl", "WBG": "ps", "XKX": "xk"}
# Groups of economies by income: neither countries nor regions, they are left out.
INCOME_GROUPS = frozenset({"HIC", "LIC", "LMC", "UMC"})
KEY_COLUMNS = ("code", "country", "year")
MISSING = ("", "NA")

Table = dict[str, dict[str, dict[int, float]]]
"""series -> country or aggregate -> year -> value from 0 to 100"""


def keys_by_code() -> dict[str, str]:
    """From the codes in KOF's file to ours: alpha-2 of a country, or the code of an aggregate."""
    known = catalogue().values()
    aggregates = {region.aggregate: region.aggregate for region in known if region.aggregate}
    return {it.alpha3: it.id for it in known if it.alpha3} | OUTDATED_CODES | aggregates


def _csv_rows(path: Path) -> Iterator[tuple[Any, ...]]:
    # KOF's own files are UTF-8, some with a byte order mark.
    with path.open(encoding="utf-8-sig", newline="") as stream:
        try:
            yield from map(tuple, csv.reader(stream, strict=True))
        except (csv.Error, UnicodeDecodeError) as error:
            raise UsageProblem(f"{path.name} is not a CSV file in UTF-8: {error}") from error


def _xlsx_rows(path: Path) -> Iterator[tuple[Any, ...]]:
    try:
        import openpyxl  # type: ignore[import-untyped]
    except ImportError as error:
        missing = MissingExtra("openpyxl", "eval")
        missing.hint = "pip install openpyxl, or save the sheet as CSV and import that."
        raise missing from error
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # openpyxl has no common class for a file it cannot read
        raise UsageProblem(f"{path.name} is not an Excel workbook: {error}") from error
    try:
        for row in book.worksheets[0].iter_rows(values_only=True):
            yield tuple("" if cell is None else cell for cell in row)
    finally:
        book.close()


READERS = {".csv": _csv_rows, ".xlsx": _xlsx_rows}


def _header(names: Iterable[Any], file: str) -> tuple[str, ...]:
    columns = tuple(str(name).strip() for name in names)
    absent = [name for name in KEY_COLUMNS if name not in columns]
    if absent:
        raise UsageProblem(
            f"{file}, line 1: there is no column {absent[0]!r}",
            "The columns are code, country, year and one for each series, as in KOF's download.",
        )
    series = [name for name in columns if name not in KEY_COLUMNS]
    wrong = [name for name in series if not re.fullmatch(r"\w+", name) or columns.count(name) > 1]
    if wrong or not series:
        what = f"{wrong[0]!r} is not a name of a series" if wrong else "there is no series"
        raise UsageProblem(f"{file}, line 1: {what}")
    return columns


def _value(cell: Any, where: str) -> float | None:
    text = str(cell).strip()
    if text in MISSING:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 100.0:
        raise UsageProblem(f"{where}: {text!r} is not a number from 0 to 100")
    return value


def read_table(path: Path) -> Table:
    """Every series of a CSV or Excel file in the shape of KOF's download.

    Raises UsageProblem with the line and the column of what is wrong, MissingExtra for an Excel
    file where openpyxl is not installed.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageProblem(f"{path.name} is neither .csv nor .xlsx")
    rows = reader(path)
    columns = _header(next(rows, ()), path.name)
    keys = keys_by_code()
    table: Table = {name: {} for name in columns if name not in KEY_COLUMNS}
    seen: dict[tuple[str, int], int] = {}
    for line, cells in enumerate(rows, start=2):
        where = f"{path.name}, line {line}"
        if not any(str(cell).strip() for cell in cells):
            continue
        if len(cells) != len(columns):
            raise UsageProblem(
                f"{where}: {counted(len(cells), 'cell')} under {counted(len(columns), 'column')}"
            )
        row = dict(zip(columns, cells, strict=True))
        code, text = (str(row[name]).strip() for name in ("code", "year"))
        if not re.fullmatch(r"(19|20)\d\d", text):
            raise UsageProblem(f"{where}, year: {text!r} is not a year from 1900 to 2099")
        year = int(text)
        if code in INCOME_GROUPS:
            continue
        if code not in keys:
            raise UsageProblem(f"{where}, code: {code!r} is not an ISO 3166-1 alpha-3 or KOF code")
        first = seen.setdefault((keys[code], year), line)
        if first != line:
            raise UsageProblem(f"{where}: {code} {year} is in line {first} already")
        for name, by_key in table.items():
            if (value := _value(row[name], f"{where}, {name}")) is not None:
                by_key.setdefault(keys[code], {})[year] = value
    if not any(table.values()):
        raise UsageProblem(f"{path.name} has no values")
    return table


def write_release(table: Mapping[str, Mapping[str, Mapping[int, float]]], folder: Path) -> None:
    """Write the series of `table` into `folder`, with a line for each country."""
    for name, by_key in table.items():
        years = {year for values in by_key.values() for year in values}
        if not years:
            continue
        span = range(min(years), max(years) + 1)
        lines = [
            f"{json.dumps(key)}:{json.dumps([values.get(y) for y in span], separators=(',', ':'))}"
            for key, values in sorted(by_key.items())
        ]
        head = f'{{"series":{json.dumps(name)},"first_year":{span.start},"values":{{\n'
        text = head + ",\n".join(lines) + "\n}}\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8", newline="\n")


def import_release(path: Path, name: str | None = None) -> Release:
    """Add the file at `path` to the user's releases, completely or not at all.

    The name is the one four-digit year in the file's name unless given. Raises UsageProblem for a
    file that is not in KOF's shape, and for a name that is not plain or is taken.
    """
    table = read_table(path)
    if name is None:
        years = re.findall(r"(?<!\d)(?:19|20)\d\d(?!\d)", path.stem)
        if len(years) != 1:
            raise UsageProblem(
                f"the name {path.name!r} does not say which release this is", "Give --release NAME."
            )
        name = years[0]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise UsageProblem(
            f"{name!r} cannot be the name of a release", "Use letters, digits, dots and hyphens."
        )
    target = user_folder() / name
    if name == SHIPPED_RELEASE or target.exists():
        raise UsageProblem(
            f"there is a release {name!r} already, and values of two are never mixed",
            "Choose another name with --release"
            + (f", or remove {target} first." if target.exists() else "."),
        )
    with atomic_folder(target) as unfinished:
        write_release(table, unfinished)
    return find_release(name)
