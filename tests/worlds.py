"""A small world for a hub: a tiny base and its adapters, with cards whose curves are made up."""

from __future__ import annotations

import json
from contextlib import contextmanager
from threading import Thread

import torch

from ggez_hub.cards import CardDocument, hub_tags, render_card
from ggez_hub.cards.schema import AdapterCard
from ggez_hub.digests import sha256_file
from ggez_hub.regions import alpha

from .models import write_lora, write_open_clip

BASE_REPO = "ggez-world/clip-emoji"
# beta -> (global, regional) in per cent of 400 items: the best GRP is at 0.5.
CURVE = {"0": (60.0, 10.0), "0.25": (58.0, 30.0), "0.5": (54.0, 48.0), "1": (30.0, 50.0)}


def curve(regional_by_country, points=CURVE, n=400):
    """A curve with one task on each side, on both splits."""
    digest = "0" * 64
    common = {
        "n": n, "floor": 0.25, "metric": "text_to_image_r1", "measured_by": "registry",
        "evaluator": "test", "model": digest, "task": digest, "predictions": digest,
    }  # fmt: skip
    rows = {}
    for beta, (world, region) in points.items():
        tasks = rows[beta] = {}
        for split in ("validation", "test"):
            for side, score in (("global", world), ("regional", region)):
                se = (score * (100 - score) / n) ** 0.5
                row = common | {"score": score, "se": se, "side": side, "split": split}
                if side == "regional":
                    row["by_country"] = {
                        country: {"score": score, "n": n // len(regional_by_country), "se": se}
                        for country in regional_by_country
                    }
                tasks[f"{side}/{split}"] = row
    return rows


def card(region, base, adapter, /, *, countries=None, points=CURVE, n=400, **changes):
    """The card of an adapter folder, as a document."""
    factor = alpha(region)
    weights = "open_clip_model.safetensors"
    files = {
        path.name: {"size": path.stat().st_size, "sha256": sha256_file(path)}
        for path in adapter.iterdir()
        if path.name in {"adapter_config.json", "adapter_model.safetensors"}
    }
    block = {
        "schema_version": 2,
        "level": "measured",
        "family": "embedding",
        "kind": "lora",
        "region": region,
        "languages": ["th"],
        "adapts": ["prompt_language"],
        "base": {
            "repo": BASE_REPO,
            "revision": "main",
            "weights": {weights: sha256_file(base / weights)},
        },
        "trained_on": "base",
        "data_filter": "unknown",
        "data_rights": "unknown",
        "alpha": {
            "value": factor.value, "provenance": "kof", "series": factor.series,
            "release": factor.release, "year": factor.year, "members": list(factor.members),
            "missing": list(factor.missing),
        },
        "training": "unknown",
        "curve": curve(countries or [region], points, n),
        "files": files,
        "status": {"state": "active"},
        "published_by": "ggez-world",
        "registered_by": "ggez-world",
        "summary": {"en": "A test adapter."},
    } | changes  # fmt: skip
    document = AdapterCard.model_validate(block)
    front = {
        "base_model": BASE_REPO,
        "base_model_relation": "adapter",
        "library_name": "peft",
        "pipeline_tag": "zero-shot-image-classification",
        "license": "apache-2.0",
        "tags": hub_tags(document),
    }
    return CardDocument(document, front, "# A test adapter\n")


def write_adapter(folder, seed, base):
    """An adapter folder that names the world's base, with a card for its region."""
    write_lora(folder, targets=["c_fc", "token_embedding"], seed=seed)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config |= {"base_model_name_or_path": BASE_REPO, "auto_mapping": None}
    path.write_text(json.dumps(config))
    (folder / "README.md").unlink(missing_ok=True)
    region = folder.name
    countries = None if region == "th" else ["th", "vn", "kh", "la"]
    write_card(folder, card(region, base, folder, countries=countries))
    return folder


def write_card(folder, document):
    (folder / "README.md").write_text(render_card(document), encoding="utf-8")


def write_world(folder):
    """Assets as `world.seed` takes them: a base, and adapters for th and southeast-asia."""
    family = folder / "embedding"
    (family / "base").mkdir(parents=True)
    base = write_open_clip(family / "base", torch.float16, buffer=False)
    (base / "open_clip_pytorch_model.bin").unlink()
    (base / "README.md").write_text("---\nlicense: cc-by-sa-4.0\n---\n\n# A base\n")
    for seed, region in enumerate(("th", "southeast-asia"), start=1):
        write_adapter(family / region, seed, base)
    return folder


@contextmanager
def running(server):
    """The address of a server of ours, which runs in a thread."""
    thread = Thread(target=server.run_until, daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.should_exit = True
        thread.join(timeout=120)
        server.socket.close()


@contextmanager
def serving(store, around=None, jobs=None):
    """The address of a hub over `store`, served from a thread; `around` wraps its application, `jobs` runs them."""
    from ggez_hub.embedded.server import Server

    server = Server(store, jobs=jobs)
    if around is not None:
        server.config.app = around(server.config.app)
    with running(server) as url:
        yield url
