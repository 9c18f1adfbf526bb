"""After a contribution was accepted: measure, gate, publish the index, push the merged models.

Every step can be repeated: what the index has measured is not measured again as long as the card
says the same, and what a repository holds already is not sent.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.automation.cost import MERGED_BYTES
from ggez_hub.automation.evaluate import CARD, NoTasks, evaluate
from ggez_hub.automation.indexed import indexed_cards, with_measurement
from ggez_hub.automation.releases import import_committed
from ggez_hub.automation.rules import ProposedCard
from ggez_hub.cards import CardDocument, read_card, render_card
from ggez_hub.evaluation.evidence import PREDICTIONS, RESULTS
from ggez_hub.hub import Hub
from ggez_hub.hub.publishing import Content
from ggez_hub.registry.index_publication import PublishedIndex, publish_index
from ggez_hub.registry.licences import MayNotPush
from ggez_hub.registry.places import INDEX_REPO
from ggez_hub.registry.pulling.plan import carry_out, plan
from ggez_hub.registry.pulling.push import push
from ggez_hub.registry.request import Request

EVIDENCE = "evidence"


@dataclass(frozen=True)
class Standing:
    """What came of a card: how it stands, and where its merged model is, or why there is none.

    standing  proven, unproven, not an improvement, measured before, or not measured: and why
    """

    path: str
    standing: str
    merged: str | None
    reason: str


def publish_accepted(
    repository: Path, hub: Hub, work: Path, *, evaluator: str, say: Callable[[str], None]
) -> tuple[PublishedIndex, list[Standing]]:
    """Publish the accepted cards of the registry in `repository`; `work` is a folder to work in.

    Raises what measuring, publishing and the hub raise; what was published before stays whole.
    """
    staged = work / "cards"
    shutil.rmtree(staged, ignore_errors=True)
    import_committed(repository)
    known = indexed_cards(hub)
    evidence: dict[str, Content] = {}
    found: dict[str, str] = {}
    for place in sorted((repository / "cards").glob("*/*/*.md")):
        path = place.relative_to(repository).as_posix()
        document = read_card(place)
        before = with_measurement(document, known.get(path))
        if before is not None:
            measured, found[path] = before, "measured before"
        else:
            measured, found[path], files = _measure(path, document, hub, work, evaluator)
            evidence |= files
        say(f"{path}: {found[path]}")
        (target := work / path).parent.mkdir(parents=True, exist_ok=True)
        target.write_text(render_card(measured), encoding="utf-8")
    done = publish_index(staged, hub, evidence=evidence)
    standings = [_push(path, standing, hub, work) for path, standing in found.items()]
    return done, standings


def _measure(
    path: str, document: CardDocument, hub: Hub, work: Path, evaluator: str
) -> tuple[CardDocument, str, dict[str, Content]]:
    name = path.removeprefix("cards/").removesuffix(".md")
    out = work / EVIDENCE / name
    if document.card.status.state != "active" or not document.card.pinned:
        return document, "not measured: not active, or not pinned yet", {}
    try:
        found = evaluate(ProposedCard(path, document, None), hub, out, evaluator=evaluator)
    except NoTasks as problem:
        return document, f"not measured: {problem.message}", {}
    standing = {"pass": "proven", "undetermined": "unproven"}.get(
        found.outcome, "not an improvement"
    )
    files: dict[str, Content] = {
        f"{EVIDENCE}/{name}/{file}": out / file for file in (RESULTS, PREDICTIONS)
    }
    return read_card(out / CARD), standing, files


def _push(path: str, standing: str, hub: Hub, work: Path) -> Standing:
    """Push the merged model of a card that is an improvement, as far as is known."""
    if standing not in {"proven", "unproven"}:
        return Standing(path, standing, None, standing)
    document = read_card(work / path)
    card = document.card
    assert card.adapter is not None  # noqa: S101 - check_card has asked for it
    request = Request(card.region, family=card.family, adapters=(card.adapter.repo,))
    planned = plan(request, hub)
    base = planned.resolution.base
    if base is not None and base.nbytes > MERGED_BYTES:
        return Standing(path, standing, None, "the merged model would be over 10 GB")
    pulled = carry_out(planned, hub, work / "merged" / path.removesuffix(".md"))
    owner = INDEX_REPO.partition("/")[0]
    name = f"{owner}/{Path(path).stem}-{card.region}-merged"
    try:
        done = push(pulled, planned.obligations, hub, name)
    except MayNotPush as problem:
        return Standing(path, standing, None, problem.message)
    return Standing(path, standing, f"{done.repo}@{done.revision}", "")
