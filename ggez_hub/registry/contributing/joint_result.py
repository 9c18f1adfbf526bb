"""A joint sweep's results on the card of one of its adapters."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from ggez_hub.cards import AdapterCard, CardDocument, read_card, render_card, write_card
from ggez_hub.cards.joint import ComposedAdapter, JointCurve
from ggez_hub.cards.readme import MAX_CARD_BYTES
from ggez_hub.cards.schema import is_adapter
from ggez_hub.cards.values import NAME
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.betas import read_key
from ggez_hub.evaluation.curve import curve_of
from ggez_hub.evaluation.evidence import Evidence
from ggez_hub.evaluation.identity import model_digest
from ggez_hub.evaluation.verification import DoesNotFollow, verify_evidence
from ggez_hub.registry.places import CARD_NAME

EVIDENCE = "evidence"
REPO = re.compile(rf"^({NAME}/{NAME})(@.*)?$")


def note_joint(results: Path, place: Path) -> JointCurve:
    """Write what a joint sweep measured onto a card, and its answers beside the card.

    place: an adapter's folder, or its card. A curve of the same adapters for the same region is
    replaced. Raises UsageProblem for results of one adapter, of others than the card's, or on another
    base; DoesNotFollow, NoEvidence, BadCard.
    """
    found = verify_evidence(results)
    if found.problems:
        raise DoesNotFollow(
            f"{results} does not follow from its predictions:\n  " + "\n  ".join(found.problems)
        )
    path = place / CARD_NAME if place.is_dir() else place
    document, evidence = read_card(path), found.evidence
    joint = _joint(document.card, evidence)
    others = [known for known in document.card.joint if not _same(known, joint)]
    changed = document.card.model_copy(update={"joint": [*others, joint]})
    noted = CardDocument(changed, document.front_matter, document.prose)
    if (size := len(render_card(noted).encode())) > MAX_CARD_BYTES:
        raise UsageProblem(
            f"with {len(joint.curve)} points {path} would have {size:,} bytes, of at most "
            f"{MAX_CARD_BYTES:,}",
            "Sweep the points that matter, as `combinations`.",
        )
    target = path.parent / EVIDENCE / f"joint-{evidence.header.sha256[:12]}.parquet"
    target.parent.mkdir(exist_ok=True)
    # Before the card that names it.
    shutil.copyfile(evidence.place / evidence.header.predictions, target)
    write_card(path, noted)
    return joint


def _joint(card: AdapterCard, evidence: Evidence) -> JointCurve:
    header = evidence.header
    if header.parts is not None:
        raise UsageProblem(
            f"{evidence.place} measures betas by part, {header.parts.name}",
            "A joint curve is of one beta for each adapter: note the sweep without `parts`.",
        )
    if len(header.adapters) < 2:
        raise UsageProblem(
            f"{evidence.place} measures one adapter", "A joint curve is of several: see `sweep`."
        )
    adapters = []
    own = 0
    for record in header.adapters:
        named = REPO.match(record.name)
        adapter = ComposedAdapter(repo=named[1] if named else "unknown", files=record.files)
        if is_adapter(adapter, card.files):
            own += 1
            repo = card.adapter.repo if card.adapter else adapter.repo
            adapter = adapter.model_copy(update={"repo": repo})
        adapters.append(adapter)
    if own != 1:
        raise UsageProblem(
            "none of the adapters that were measured has the sha256s of the card's files",
            f"They are {', '.join(record.name for record in header.adapters)}.",
        )
    _require_base(card, evidence)
    return JointCurve(region=header.region, adapters=adapters, curve=curve_of(evidence))


def _require_base(card: AdapterCard, evidence: Evidence) -> None:
    """The digest of each model follows from base, adapters and betas: so they can be compared."""
    weights, header = card.base.weights, evidence.header
    files = [adapter.files for adapter in header.adapters]
    for key, digest in header.models.items():
        if weights == "unknown" or model_digest(weights, files, read_key(key)) != digest:
            raise UsageProblem(
                f"the model at beta {key} is not made of the base that the card names",
                f"The card's base is {card.base.repo}@{card.base.revision[:12]}.",
            )


def _same(one: JointCurve, other: JointCurve) -> bool:
    def key(joint: JointCurve) -> list[list[tuple[str, str]]]:
        return sorted(sorted(adapter.files.items()) for adapter in joint.adapters)

    return one.region == other.region and key(one) == key(other)
