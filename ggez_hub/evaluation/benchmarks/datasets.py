"""The data sets of tasks, read off their YAML: a card names them, and needs no loader for that."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from ggez_hub.cards.hub_metadata import HubDataset
from ggez_hub.evaluation.benchmarks.task import Dataset, parse, read_entries
from ggez_hub.recipe_file import recipes_folder

BUILT_IN = Path(__file__).parent / "tasks"
# Data sets that are a part of the package: nothing is fetched.
SHIPPED: Mapping[str, Path] = {"ggez-hub/safety-prompts": BUILT_IN / "safety-prompts"}
COMMIT = re.compile(r"^[0-9a-f]{40}\Z")


def known_datasets(tasks: Collection[str]) -> dict[str, HubDataset]:
    """Task -> its data set on the Hub, of those of `tasks` that a built-in benchmark or a recipe describes."""
    found: dict[str, HubDataset] = {}
    for path in sorted([*BUILT_IN.glob("*.yaml"), *recipes_folder().glob("*/*.yaml")]):
        text = path.read_text(encoding="utf-8")
        # A file that does not mention a task does not describe it: most are never parsed.
        if not any(name in text for name in tasks):
            continue
        for _, where, entry in read_entries(path, ("benchmark", "task")):
            data = parse(Dataset, where, entry["dataset"])
            if entry["id"] in tasks and data.repo not in SHIPPED:
                pinned = COMMIT.match(data.revision)
                found[entry["id"]] = HubDataset(data.repo, data.revision if pinned else None)
    return found
