"""The results of a sweep on the card of its adapter, as its author's claim, with the answers."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from ggez_hub.cards import AdapterCard, CardDocument, read_card, render_card, write_card
from ggez_hub.cards.curve import with_measured
from ggez_hub.cards.measurements import Baselines, ComposedAdapter, JointCurve
from ggez_hub.cards.readme import MAX_CARD_BYTES
from ggez_hub.cards.schema import is_adapter
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.models.model_under_test import model_digest
from ggez_hub.evaluation.results.baselines import card_baselines
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.evaluation.results.header import AdapterRecord
from ggez_hub.evaluation.results.measured_curve import curve_of
from ggez_hub.evaluation.results.verification import verify_evidence
from ggez_hub.parity.beta_choice import select_beta
from ggez_hub.parity.betas import read_key
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.parity.policy import Policy
from ggez_hub.quantities import counted
from ggez_hub.registry.constants import CARD_NAME
from ggez_hub.registry.contribution.training_metadata import REPO

EVIDENCE = "evidence"
# Answers that these commands have copied: what the copy is of, and the start of its sha256.
COPY = re.compile(r"^(measured|joint|average)-([0-9a-f]{12})\.parquet\Z")


@dataclass(frozen=True)
class CardUpdate:
    """A card as it was written.

    answers  the copy of the predictions beside it
    added    rows of its curve that are of this measurement
    kept     rows that the registry measured, which stay
    """

    card: AdapterCard
    answers: Path
    added: int
    kept: int


def add_sweep_results(results: Path, place: Path) -> CardUpdate:
    """Write what a sweep measured onto the card in `place` (or its folder), as its author's claim.

    Earlier claims are replaced; what the registry measured stays. The policy is that of the results
    where the card declares none. Raises UsageProblem for results of several adapters, of another
    adapter, on another base or for another region; GgezError, BadCard.
    """
    path, document, evidence = _open(results, place)
    card, header = document.card, evidence.header
    _require_own_adapter(card, evidence)
    _require_base(card, evidence)
    if header.region != card.region:
        raise UsageProblem(
            f"{results} is of the region {header.region}, the card's is {card.region}",
            f"Sweep with `region: {card.region}` in the recipe.",
        )
    (adapter,) = header.adapters
    as_card = {
        "measured_by": "self",
        "alpha": card.alpha,
        "policy": card.policy if "policy" in card.model_fields_set else header.policy,
        "adapters": [AdapterRecord.of(adapter.name, adapter.files, card)],
    }
    claim = replace(evidence, header=header.model_copy(update=as_card))
    measured = with_measured(card.measured, curve_of(claim))
    changed = card.model_copy(
        update={
            "curve": {beta: dict(rows) for beta, rows in measured.rows.items()},
            "parity": measured.parity,
            "level": "measured" if card.level == "declared" else card.level,
            "policy": claim.header.policy,
        }
    )
    changed = changed.model_copy(update={"baselines": _baselines(changed, claim)})
    answers = _write(path, document, changed, evidence, "measured")
    added = sum(row.measured_by == "self" for row in changed.rows)
    return CardUpdate(changed, answers, added, len(changed.rows) - added)


def add_joint_results(results: Path, place: Path) -> JointCurve:
    """Write what a joint sweep measured onto the card in `place` (or its folder).

    A curve of the same adapters for the same region is replaced. Raises UsageProblem for results of
    one adapter, of other adapters, or on another base; GgezError, BadCard.
    """
    path, document, evidence = _open(results, place)
    joint = _joint(document.card, evidence)
    others = [known for known in document.card.joint if not _same(known, joint)]
    changed = document.card.model_copy(update={"joint": [*others, joint]})
    _write(path, document, changed, evidence, "joint")
    return joint


def _baselines(card: AdapterCard, claim: Evidence) -> Baselines | None:
    """The baselines beside the merge: those of the claim, or of the registry where it has measured."""
    if any(row.measured_by == "registry" for row in card.rows):
        by_registry = card.baselines and card.baselines.measured_by == "registry"
        return card.baselines if by_registry else None
    try:
        policy = Policy.parse(card.policy)
        chosen = select_beta(card.measured, card.alpha.value, card.region, policy)
    except NoCurve:
        return None
    return card_baselines(claim, chosen.point, "self")


def _open(results: Path, place: Path) -> tuple[Path, CardDocument, Evidence]:
    """The card with its path, and results whose every figure follows from their answers."""
    found = verify_evidence(results)
    evidence = found.evidence
    found.require_sound(results)
    if evidence.recorded is None:
        raise UsageProblem(f"{results} is a card", "Give the results folder of a sweep.")
    if not any(map(len, evidence.outcomes.values())):
        raise UsageProblem(f"{results} holds no answers")
    if (parts := evidence.header.parts) is not None:
        raise UsageProblem(
            f"{results} measures betas by part, {parts.name}",
            "A card's curve is of one beta for each adapter: note the sweep without `parts`.",
        )
    path = place / CARD_NAME if place.is_dir() else place
    return path, read_card(path), evidence


def _write(
    path: Path, document: CardDocument, card: AdapterCard, evidence: Evidence, kind: str
) -> Path:
    """Write a card and the answers beside it, and remove copies that it does not name any more."""
    noted = replace(document, card=card)
    if (size := len(render_card(noted).encode())) > MAX_CARD_BYTES:
        raise UsageProblem(
            f"with {counted(len(evidence.header.models), 'point')} {path} would have {size:,} bytes, of at most "
            f"{MAX_CARD_BYTES:,}",
            "Sweep the points that matter: `betas`, or `combinations` of several adapters.",
        )
    header, named = evidence.header, _named(card)
    folder = path.parent / EVIDENCE
    folder.mkdir(exist_ok=True)
    answers = folder / f"{kind}-{header.sha256[:12]}.parquet"
    copies = {answers: header.predictions}
    copies |= {
        folder / f"{name}-{record.sha256[:12]}.parquet": record.predictions
        for name, record in header.baselines.items()
        if record.sha256 in named
    }
    # Before the card that names them.
    for copy, source in copies.items():
        shutil.copyfile(evidence.place / source, copy)
    write_card(path, noted)
    starts = {sha256[:12] for sha256 in named}
    for file in folder.iterdir():
        if (found := COPY.match(file.name)) and found[2] not in starts:
            file.unlink()
    return answers


def _named(card: AdapterCard) -> set[str]:
    joint = [row for j in card.joint for tasks in j.curve.values() for row in tasks.values()]
    beside = card.baselines
    baselines = (beside.average, beside.joint) if beside else ()
    return {found.predictions for found in (*card.rows, *joint, *baselines) if found}


def _require_own_adapter(card: AdapterCard, evidence: Evidence) -> None:
    adapters = evidence.header.adapters
    if len(adapters) > 1:
        raise UsageProblem(
            f"{evidence.place} measures {counted(len(adapters), 'adapter')} together",
            "`ggez-hub card joint RESULTS CARD...` notes it on the cards of all of them.",
        )
    if not adapters:
        raise UsageProblem(
            f"{evidence.place} does not say which adapter was measured",
            "Measure the adapter with `ggez-hub sweep`.",
        )
    if not is_adapter(adapters[0].files, card.files):
        raise UsageProblem(
            f"the adapter that was measured, {adapters[0].name}, does not have the sha256s of the "
            "card's files",
            "Sweep the adapter again, or record its files: `ggez-hub card init FOLDER --force`.",
        )


def _joint(card: AdapterCard, evidence: Evidence) -> JointCurve:
    header = evidence.header
    if len(header.adapters) < 2:
        raise UsageProblem(
            f"{evidence.place} measures one adapter",
            "`ggez-hub card measure RESULTS CARD` notes it on its card.",
        )
    adapters, own = [], 0
    for record in header.adapters:
        repo = record.name.partition("@")[0]
        repo = repo if REPO.match(repo) else UNKNOWN
        if is_adapter(record.files, card.files):
            own += 1
            repo = card.adapter.repo if card.adapter else repo
        adapters.append(ComposedAdapter(repo=repo, files=record.files))
    if own != 1:
        raise UsageProblem(
            "none of the adapters that were measured has the sha256s of the card's files",
            f"They are {', '.join(record.name for record in header.adapters)}.",
        )
    _require_base(card, evidence)
    measured = curve_of(evidence)
    return JointCurve(
        region=header.region,
        adapters=adapters,
        curve={key: dict(rows) for key, rows in measured.rows.items()},
        parity=dict(measured.parity) if measured.parity != "independent" else "independent",
        policy=header.policy,
    )


def _require_base(card: AdapterCard, evidence: Evidence) -> None:
    """The digest of each model follows from base, adapters and betas: so they can be compared."""
    weights, header = card.base.weights, evidence.header
    files = [adapter.files for adapter in header.adapters]
    if not header.models:
        raise UsageProblem(f"{evidence.place} does not say which models were measured")
    for key, digest in header.models.items():
        if weights == UNKNOWN or model_digest(weights, files, read_key(key)) != digest:
            raise UsageProblem(
                f"the model at beta {key} is not made of the base that the card names",
                f"The card's base is {card.base.repo}@{card.base.revision[:12]}.",
            )


def _same(one: JointCurve, other: JointCurve) -> bool:
    def key(joint: JointCurve) -> list[list[tuple[str, str]]]:
        return sorted(sorted(adapter.files.items()) for adapter in joint.adapters)

    return one.region == other.region and key(one) == key(other)
