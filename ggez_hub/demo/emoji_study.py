"""A study of the demo world's three models that draw: emoji, which anybody can rate."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ggez_hub.demo.hub import ASSETS
from ggez_hub.demo.world import DIFFUSION, EMBEDDING, FamilyFolders
from ggez_hub.hub import Hub
from ggez_hub.humans.pinning import make_study
from ggez_hub.humans.study import Study

# Of the 64 prompts of a side.
PROMPTS = 12
BETA = 0.5
# The columns of the names whose code is not that of BCP 47.
TAGS = {"ind": "id"}
LANGUAGES = ("en", "th", "vi", "id", "ms", "fil", "my", "km", "lo")
STUDY: dict[str, Any] = {
    "kind": "study",
    "name": "emoji-drawings",
    "title": {"en": "Drawings of emoji", "th": "ภาพวาดอีโมจิ"},
    "region": "th",
    "design": "likert",
    "raters": {"global": list(LANGUAGES), "regional": list(LANGUAGES)},
    "raters_per_item": 2,
    "items_per_rater": 18,
    "instructions": {
        "en": "Small models were asked to draw emoji. Compare each drawing with the words above it.",
        "th": "แบบจำลองขนาดเล็กถูกขอให้วาดอีโมจิ เปรียบเทียบภาพวาดแต่ละภาพกับคำด้านบน",
    },
    "consent": {
        "version": "demo",
        "text": {
            "en": "This is a demonstration. Your answers stay on the machine that shows this page.",
            "th": "นี่คือการสาธิต คำตอบของคุณจะอยู่ในเครื่องที่แสดงหน้านี้เท่านั้น",
        },
    },
    "items": {"file": "items.jsonl"},
    "drawing": {"seeds": [0], "steps": 10, "guidance": 3.0},
}


def make_emoji_study(target: Path, hub: Hub) -> Study:
    """Draw the prompts by base, merge and unmerged adapter, and pin the study in a new folder.

    Raises GgezError.
    """
    place = FamilyFolders(ASSETS, DIFFUSION)
    own = {"folder": str(place.base), "adapter": str(place.adapter("th"))}
    # The base as the adapter's card has it: at beta 0.
    betas = {"base": 0.0, "merged": BETA, "unmerged": 1.0}
    models = [{"name": role, "role": role, **own, "beta": beta} for role, beta in betas.items()]
    with tempfile.TemporaryDirectory() as folder:
        rows = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in _rows())
        (Path(folder) / "items.jsonl").write_text(rows, encoding="utf-8")
        # JSON is YAML.
        file = Path(folder) / "study.yaml"
        file.write_text(json.dumps({**STUDY, "models": models}), encoding="utf-8")
        return make_study(file, target, hub)


def _rows() -> Iterator[dict[str, Any]]:
    """The first prompts of each side, with the names of the emoji in the other languages."""
    import pyarrow.parquet as pq

    named = pq.read_table(
        FamilyFolders(ASSETS, EMBEDDING).data / "data" / "test.parquet",
        columns=["id", "group", "en", "th", "vi", "ind", "ms", "fil", "my", "km", "lo"],
    )
    names = {row.pop("id"): row for row in named.to_pylist()}
    for side, language in (("global", "en"), ("regional", "th")):
        prompts = FamilyFolders(ASSETS, DIFFUSION).data / "data" / language / "test.parquet"
        for prompt in pq.read_table(prompts).slice(0, PROMPTS).to_pylist():
            others = dict(names[prompt["id"]])
            yield {
                "id": f"{language}-{prompt['id']}",
                "side": side,
                "category": others.pop("group"),
                "language": language,
                "prompt": prompt["prompt"],
                "translations": {TAGS.get(tag, tag): name for tag, name in others.items() if name},
            }
