"""Regional models in a hub, declared by cards without scores, as a curator writes them."""

from __future__ import annotations

from ggez_hub.cards import CardDocument, hub_tags, render_card
from ggez_hub.cards.schema import AdapterCard, Location
from ggez_hub.digests import sha256_file
from ggez_hub.families import get_family
from ggez_hub.regions import alpha
from ggez_hub.registry.constants import INDEX_REPO

BASE = "real/base"
DATE = 1_800_000_000


def commit(store, repo_type, repo, files, date=DATE):
    store.create_repo(repo_type, repo, exist_ok=True)
    return store.commit(
        repo_type, repo, files, message="Add it", author="x", email="x@x", date=date
    )


def upload(store, repo, folder, license_id="apache-2.0", date=DATE, card=None):
    """The files of a folder as a repository with a card of its own; returns the commit."""
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    files["README.md"] = card or f"---\nlicense: {license_id}\n---\n\n# A model\n".encode()
    return commit(store, "model", repo, files, date)


def weights(family, folder):
    return {p: sha256_file(folder / p) for p in get_family(family).layout(folder).weights}


def records(folder, paths):
    return {
        p: {"size": (folder / p).stat().st_size, "sha256": sha256_file(folder / p)} for p in paths
    }


def declare(family, kind, base, folder, /, *, region="th", repo="real/regional", revision, paths,
            license_id="apache-2.0", **changes):  # fmt: skip
    """The registry's copy of a card for the files `paths` of an adapter."""
    factor = alpha(region)
    if "base" not in changes:
        changes["base"] = {"repo": BASE, "revision": "main", "weights": weights(family, base)}
    block = {
        "schema_version": 2,
        "level": "declared",
        "family": family,
        "kind": kind,
        "region": region,
        "languages": ["th"],
        "adapts": ["content"],
        "adapter": Location(repo=repo, revision=revision),
        "trained_on": "unknown",
        "data_filter": "unknown",
        "data_rights": "unknown",
        "alpha": {
            "value": factor.value, "provenance": "kof", "series": factor.series,
            "release": factor.release, "year": factor.year, "members": list(factor.members),
            "missing": list(factor.missing),
        },
        "training": "unknown",
        "curve": "unknown",
        "files": records(folder, paths),
        "status": {"state": "active"},
        "published_by": "real",
        "registered_by": "curator",
        "summary": {"en": "A declared model."},
    } | changes  # fmt: skip
    card = AdapterCard.model_validate(block)
    return CardDocument(card, {"license": license_id, "tags": hub_tags(card)}, "# A model\n")


def register(store, *documents):
    """The index of the hub, with these cards."""
    files = {
        f"cards/{d.card.region}/{d.card.family}/{number}.md": render_card(d).encode()
        for number, d in enumerate(documents)
    }
    return commit(store, "dataset", INDEX_REPO, files)
