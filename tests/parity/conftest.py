import json

import pytest

from ggez_hub.recipe_file import recipes_folder


@pytest.fixture(scope="session")
def paper_tables():
    """The numeric tables that the paper prints."""
    path = recipes_folder() / "papers" / "2604.11490" / "tables.json"
    return json.loads(path.read_text(encoding="utf-8"))
