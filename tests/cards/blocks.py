"""A good card to change."""

from __future__ import annotations

import yaml

FRONT = {
    "base_model": "org/base",
    "base_model_relation": "adapter",
    "license": "apache-2.0",
    "language": ["th", "no"],
    "tags": ["ggez", "ggez-region:th", "ggez-family:embedding"],
    "a_foreign_key": {"of": ["another", "tool"]},
}


def block():
    return {
        "schema_version": 2,
        "level": "declared",
        "family": "embedding",
        "kind": "lora",
        "region": "th",
        "languages": ["th"],
        "adapts": ["content"],
        "base": {"repo": "org/base", "revision": "a" * 40, "weights": {"m.safetensors": "b" * 64}},
        "trained_on": "unknown",
        "data_filter": "unknown",
        "data_rights": "unknown",
        "alpha": {
            "value": 0.37, "provenance": "kof", "series": "KOFIpGIdf", "release": "2025",
            "year": 2023, "members": ["th"], "missing": [],
        },
        "training": "unknown",
        "curve": "unknown",
        "files": {"adapter_model.safetensors": {"size": 3, "sha256": "c" * 64}},
        "status": {"state": "active"},
        "published_by": "somebody",
        "registered_by": "somebody",
        "summary": {"en": "An adapter.", "th": "อะแดปเตอร์ภาษาไทย"},
    }  # fmt: skip


def text(ggez, front=FRONT, prose="# Title\n\nProse.\n"):
    data = yaml.safe_dump(front | {"ggez": ggez}, allow_unicode=True, sort_keys=False)
    return f"---\n{data}---\n\n{prose}"
