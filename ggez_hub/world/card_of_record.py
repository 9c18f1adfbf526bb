"""An adapter's card from its training record, where the world's own code wrote that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ggez_hub.cards import SCHEMA_VERSION, AdapterCard, alpha_record
from ggez_hub.families import get_family
from ggez_hub.regions import alpha, find_region
from ggez_hub.weights import digest_json, sha256_file
from ggez_hub.world.place import RECORD, Place


def card_of_record(place: Place, name: str) -> AdapterCard:
    """The card but for what is measured."""
    record, part, region = record_of(place.adapter(name)), place.part, find_region(name)
    weights = get_family(part.family).layout(place.base).weights
    return AdapterCard.model_validate(
        {
            "schema_version": SCHEMA_VERSION,
            "level": "declared",
            "family": part.family,
            "kind": "lora",
            "region": region.id,
            "languages": sorted(record["recipe"]["languages"]),
            "adapts": list(part.adapts),
            "base": {
                "repo": part.repo,
                "revision": "main",
                "weights": {path: sha256_file(place.base / path) for path in weights},
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
            "curve": "unknown",
            "files": {
                file: {
                    "size": (place.adapter(name) / file).stat().st_size,
                    "sha256": sha256_file(place.adapter(name) / file),
                }
                for file in part.files
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


def record_of(folder: Path) -> Mapping[str, Any]:
    """What a trained folder says of its training."""
    record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    return record


def sources_of(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """The packages of names and pictures, as a card lists sources of data."""
    return [
        {
            "repo": source["package"].rpartition("@")[0],
            "revision": source["package"].rpartition("@")[2],
            "license": source["license"],
        }
        for source in record["sources"]
        if source["for"] in {"names", "training pictures"}
    ]


def _data_filter(record: Mapping[str, Any]) -> dict[str, Any]:
    counts = record["counts"]["names"].values()
    reasons = sorted({reason for c in counts for reason in c["dropped"]})
    return {
        "sources": sources_of(record),
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


def _data_rights(record: Mapping[str, Any]) -> dict[str, str]:
    credits_ = [s["credit"] for s in record["sources"] if s["for"] == "training pictures"]
    return {
        "pictures": "; ".join(credits_),
        "licence_basis": "CC-BY-4.0 and CC-BY-SA-4.0 of the picture sets, Unicode-3.0 of the names",
        "recognisable_people": "no",
        "restricted_content": "no",
        "contact": "the issues of ggez-hub",
        "takedown": "open an issue; the adapter is yanked until it is settled",
    }


def _flat(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Nested recipes as flat hyper-parameters: schedule.steps becomes steps."""
    flat: dict[str, Any] = {}
    for key, value in recipe.items():
        if isinstance(value, dict):
            flat |= _flat(value)
        else:
            flat[key] = [str(entry) for entry in value] if isinstance(value, list) else value
    return flat
