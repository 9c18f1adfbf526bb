import json

import pytest

from ggez_hub.resources import recipes


@pytest.fixture(scope="session")
def paper_tables():
    """The numeric tables that the paper prints."""
    path = recipes() / "papers" / "2604.11490" / "tables.json"
    return json.loads(path.read_text(encoding="utf-8"))
