"""The cards of the demo world: what was trained, measured on held-out pictures, and its caveats."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ggez_hub.cards import AdapterCard, CardDocument, alpha_record, hub_tags, render_card
from ggez_hub.cards.schema import SCHEMA_VERSION
from ggez_hub.embedded import HubStore
from ggez_hub.evaluation.curve import curve_rows
from ggez_hub.evaluation.grid import measure
from ggez_hub.evaluation.identity import Model
from ggez_hub.evaluation.predictions import write_predictions
from ggez_hub.evaluation.prepared import prepare_tasks, tasks_for
from ggez_hub.evaluation.subjects import grid_on
from ggez_hub.evaluation.task import Task, load_tasks
from ggez_hub.families import get_family
from ggez_hub.regions import alpha, find_region
from ggez_hub.resources import recipes
from ggez_hub.weights import digest_json, sha256_file
from ggez_hub.world.parts import EMBEDDING, PARTS
from ggez_hub.world.place import ADAPTER_FILES, Place
from ggez_hub.world.prose import prose_of
from ggez_hub.world.seed import commit_base

EVIDENCE = "evidence/predictions.parquet"
# Training pictures are partly OpenMoji's, whose licence asks the same of what is made from them.
LICENSE = "cc-by-sa-4.0"


def write_cards(assets: Path, family: str = EMBEDDING.family) -> None:
    """Measure a family's adapters over the grid and write all its cards and their evidence."""
    # Before anything is measured: the checkout may move on while the scores are computed.
    evaluator = code_commit()
    place = Place(assets, PARTS[family])
    tasks = load_tasks(recipes() / place.part.tasks)
    (place.base / "README.md").write_text(_base_card(place), encoding="utf-8")
    revision = _base_commit(place)
    for name in place.adapters:
        document = _adapter_card(place, name, tasks, revision, evaluator)
        (place.adapter(name) / "README.md").write_text(render_card(document), encoding="utf-8")


def _base_commit(place: Place) -> str:
    """The commit that the base will have in every hub: its author, date and files are fixed."""
    with tempfile.TemporaryDirectory() as folder, HubStore.open(Path(folder)) as store:
        return commit_base(store, place.assets, place.part.family)


def _base_card(place: Place) -> str:
    import yaml

    record, part = _record(place.base), place.part
    front = {
        "library_name": part.library,
        "pipeline_tag": part.pipeline_tag,
        "license": LICENSE,
        "language": sorted(record["share_per_language"]),
        "tags": ["ggez-demo", *part.tags],
    }
    block = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    return f"---\n{block}---\n\n{prose_of(part).base(record)}"


def _adapter_card(
    place: Place, name: str, tasks: Sequence[Task], revision: str, evaluator: str
) -> CardDocument:
    folder, record = place.adapter(name), _record(place.adapter(name))
    part = place.part
    region, family = find_region(name), get_family(part.family)
    asked, words = tasks_for(tasks, region), prose_of(part)
    prepared = prepare_tasks(asked, place.data, details=words.details)
    model = Model(place.base, (folder,), family)
    measurement = measure(grid_on(model, words.betas, words.way()), prepared)
    evidence = write_predictions(folder / EVIDENCE, measurement.outcomes)
    curve = curve_rows(
        measurement.outcomes,
        measurement.records(),
        measurement.models,
        measured_by="registry",
        evaluator=evaluator,
        predictions=evidence,
    )
    card = AdapterCard.model_validate(
        {
            "schema_version": SCHEMA_VERSION,
            "level": "measured",
            "family": family.name,
            "kind": "lora",
            "region": region.id,
            "languages": sorted(record["recipe"]["languages"]),
            "adapts": list(part.adapts),
            "base": {
                "repo": part.repo,
                "revision": revision,
                "weights": {
                    path: sha256_file(place.base / path)
                    for path in family.layout(place.base).weights
                },
            },
            "trained_on": "base",
            "data_filter": _data_filter(record),
            "data_rights": _data_rights(record),
            "alpha": alpha_record(alpha(region)),
            "training": {
                "method": part.method,
                "hyper_parameters": _flat(record["recipe"]),
                "seed": record["seed"],
                "versions": record["versions"],
            },
            "curve": curve,
            "files": {
                file: {
                    "size": (folder / file).stat().st_size,
                    "sha256": sha256_file(folder / file),
                }
                for file in ADAPTER_FILES
            },
            "status": {"state": "active"},
            "published_by": "ggez-world",
            "registered_by": "ggez-world",
            "summary": {
                "en": f"Names of emoji in the languages of {region.name}: a demo adapter.",
                **({"th": "ชื่ออีโมจิภาษาไทย: อะแดปเตอร์สาธิต"} if name == "th" else {}),
            },
        }
    )
    front = {
        "base_model": part.repo,
        "base_model_relation": "adapter",
        "library_name": "peft",
        "pipeline_tag": part.pipeline_tag,
        "language": list(card.languages),
        "license": LICENSE,
        "tags": [*hub_tags(card), "ggez-demo"],
    }
    seeds = _seeds(place) if name == "th" else None
    return CardDocument(card, front, words.adapter(place, card, asked, seeds))


def _record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    return record


def _seeds(place: Place) -> dict[str, Any] | None:
    path = place.base.parent / "seeds.json"
    if not path.is_file():
        return None
    seeds: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return seeds


def _data_filter(record: dict[str, Any]) -> dict[str, Any]:
    counts = record["counts"]["names"].values()
    reasons = sorted({reason for c in counts for reason in c["dropped"]})
    return {
        "sources": [
            {
                "repo": source["package"].rpartition("@")[0],
                "revision": source["package"].rpartition("@")[2],
                "license": source["license"],
            }
            for source in record["sources"]
            if source["for"] in {"names", "training pictures"}
        ],
        "rules": [
            "concepts drawn in all four styles, without ZWJ sequences, with unique English names",
            "names that differ from the English one",
        ],
        "reward": "none",
        "translator": "none",
        "counts": {
            "seen": sum(c["in"] for c in counts),
            "kept": sum(c["kept"] for c in counts),
            "dropped": {r: sum(c["dropped"].get(r, 0) for c in counts) for r in reasons},
        },
        "spec_digest": digest_json(record),
    }


def _data_rights(record: dict[str, Any]) -> dict[str, str]:
    credits_ = [s["credit"] for s in record["sources"] if s["for"] == "training pictures"]
    return {
        "pictures": "; ".join(credits_),
        "licence_basis": "CC-BY-4.0 and CC-BY-SA-4.0 of the picture sets, Unicode-3.0 of the names",
        "recognisable_people": "no",
        "restricted_content": "no",
        "contact": "the issues of ggez-hub",
        "takedown": "open an issue; the adapter is yanked until it is settled",
    }


def _flat(recipe: dict[str, Any]) -> dict[str, Any]:
    """Nested recipes as flat hyper-parameters: schedule.steps becomes steps."""
    flat: dict[str, Any] = {}
    for key, value in recipe.items():
        if isinstance(value, dict):
            flat |= _flat(value)
        else:
            flat[key] = [str(entry) for entry in value] if isinstance(value, list) else value
    return flat


def code_commit() -> str:
    """The commit of the code that measures; `unknown` where it is not that of any commit."""

    def git(*arguments: str) -> str | None:
        found = subprocess.run(
            ["git", *arguments],  # noqa: S607 - whichever git the builder uses
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[1],
        )
        return found.stdout.strip() if found.returncode == 0 else None

    changed = git("status", "--porcelain", "--", "*.py", "../recipes")
    return (git("rev-parse", "HEAD") or "unknown") if changed == "" else "unknown"
