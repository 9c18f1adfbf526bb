import csv
import json

import pytest

from ggez_hub.recipe_file import recipes_folder
from ggez_hub.regions.kof import load_series

TABLES = recipes_folder() / "papers" / "2604.11490" / "tables.json"


@pytest.fixture(scope="session")
def paper_tables():
    return json.loads(TABLES.read_text(encoding="utf-8"))


@pytest.fixture
def user_data(tmp_path, monkeypatch):
    """An empty data folder of the user."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    return tmp_path / "share" / "ggez-hub" / "kof"


@pytest.fixture
def kof_file(tmp_path):
    """Write a file in the shape of KOF's download: its rows, by default a small sound table."""

    def write(rows=None, name="kof_2026.csv", header=("code", "country", "year", "KOFIpGIdf")):
        if rows is None:
            shipped = load_series()
            rows = [
                (code, "a name", year, shipped.value(key, year))
                for code, key in (("THA", "th"), ("ROM", "ro"), ("TMP", "tl"), ("WLD", "WLD"))
                for year in (2022, 2023)
            ]
            rows.append(("HIC", "High income", 2023, 77.5))
            rows.append(("PRK", "Korea, Dem People's Rep", 2023, ""))
        path = tmp_path / name
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([header, *rows])
        return path

    return write
