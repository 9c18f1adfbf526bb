"""Publication of accepted cards: measure, gate, publish the index, push the results.

Every step can be repeated: an unchanged card is not measured again, and what a repository has is not
sent. A card that cannot be measured, or that changed in the meantime, does not stop the others.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from ggez_hub.automation.budget import GIGABYTE, Budget
from ggez_hub.automation.card_sources import location_of, weight_bytes
from ggez_hub.automation.contribution_rules import ProposedCard
from ggez_hub.automation.evaluation import CARD, Evaluated, evaluate, judge
from ggez_hub.automation.git_changes import changed_since, import_committed
from ggez_hub.automation.indexed_cards import IndexedCard, indexed_cards, with_measurement
from ggez_hub.automation.remote_evaluation import evidence_in, fetch_delivery, recomputed
from ggez_hub.automation.result_repository import Pusher
from ggez_hub.cards import BadCard, CardDocument, read_card, render_card
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError, first_line
from ggez_hub.evaluation.gates.outcome import GateReport
from ggez_hub.evaluation.results.evidence import RESULTS, open_evidence, read_header
from ggez_hub.hub import Hub
from ggez_hub.hub.commits import Content, head_of, write_access
from ggez_hub.parity.beta_choice import choose_for
from ggez_hub.registry.constants import INDEX_REPO
from ggez_hub.registry.index.build import PublishedIndex, publish_index
from ggez_hub.registry.local_merge.inputs import MergeRecipe
from ggez_hub.registry.trust.gate_results import RESULT_FILE, sign_gates
from ggez_hub.registry.trust.signing import SigningKey

HEAD = """\
# {path} at the beta that its curve gives for alpha {alpha:.5f}.
#   ggez-hub merge --recipe THIS_FILE -o OUT
"""
EVIDENCE = "evidence"
STANDINGS = {"pass": "proven", "undetermined": "unproven", "fail": "not an improvement"}


@dataclass(frozen=True)
class Standing:
    """The status of a card, and where its result is, or why there is none.

    standing  proven, unproven, not an improvement, not measured, or changed meanwhile; and why
    form      merged, or the adapter form
    """

    path: str
    standing: str
    place: str | None = None
    form: str = "merged"
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Outcome:
    """A card as the index will have it (None: not at all), the files beside it, and its status."""

    document: CardDocument | None
    standing: str
    files: Mapping[str, Content] = field(default_factory=dict)
    improves: bool = False
    gates: GateReport | None = None


@dataclass(frozen=True)
class Publisher:
    """Publishes what the registry in `repository` has accepted; `work` is a folder to work in.

    evaluator  the commit of the program that measures
    keep       a folder for the answers of the closed part of the test side, if there is one
    by         what signs the index
    """

    repository: Path
    hub: Hub
    work: Path
    budget: Budget
    evaluator: str
    say: Callable[[str], None]
    keep: Path | None = None
    by: SigningKey | None = None

    def publish(self, pusher: Pusher) -> tuple[PublishedIndex, list[Standing]]:
        """Measure what is new, publish the index by one commit, push the results.

        On error the index is as before, or complete.
        """
        indexed = indexed_cards(self.hub)
        found = self.measure(indexed)
        changed = changed_since(self.repository, found)
        for path in changed:
            self.say(f"{path}: changed meanwhile")
        done = self._index(found, changed, indexed)
        standings = [
            Standing(path, "changed meanwhile", reason="the run for its new form publishes it")
            if path in changed
            else self._push(path, outcome, pusher)
            for path, outcome in found.items()
        ]
        return done, standings

    def measure(self, indexed: Mapping[str, IndexedCard]) -> dict[str, Outcome]:
        """The outcome of each accepted card, by path; new ones are measured. Needs no token.

        Repeated with the same `work`, nothing is measured again.
        """
        import_committed(self.repository)
        found = {}
        for place in sorted((self.repository / "cards").glob("*/*/*.md")):
            path = place.relative_to(self.repository).as_posix()
            known = indexed.get(path)
            try:
                found[path] = self._outcome(path, read_card(place), known)
            except BadCard as problem:
                reason = f"not measured: {first_line(problem)}"
                found[path] = Outcome(known.document if known else None, reason)
            self.say(f"{path}: {found[path].standing}")
        return found

    def _outcome(self, path: str, document: CardDocument, indexed: IndexedCard | None) -> Outcome:
        card, repo = document.card, location_of(document.card).repo
        proposed = ProposedCard(path, document, None)
        out = self.work / EVIDENCE / proposed.name
        known = with_measurement(document, indexed.document) if indexed is not None else None
        try:
            if indexed is None and not self.hub.exists(repo):
                # As the adapters of the demo world on the Hugging Face Hub.
                return Outcome(None, f"left out: {repo} is not on {self.hub.endpoint}")
            if card.status.state != "active" or not card.pinned:
                return Outcome(document, "not measured: not active, or not pinned yet")
            if indexed is not None and known is not None and not _is_measured_anew(out, known):
                return self._known(replace(proposed, document=known), indexed, out)
            return self._judged(self._measured(proposed, out), out)
        # The repository, its files and what a model does are a stranger's: anything may be raised.
        except Exception as problem:
            # A measurement in the index is not lost because something cannot be read now.
            return Outcome(known or document, f"not measured: {first_line(problem)}")

    def _measured(self, proposed: ProposedCard, out: Path) -> Evaluated:
        """A card measured here, or on HF Jobs where its base is too large for a runner."""
        nbytes = weight_bytes(proposed.document.card, self.hub)
        if self.budget.on_runner(nbytes):
            keep = None if self.keep is None else self.keep / proposed.name.replace("/", "-")
            return evaluate(proposed, self.hub, out, evaluator=self.evaluator, keep=keep)
        if not fetch_delivery(proposed.document, self.hub, self.budget.results, out):
            raise GgezError(
                f"it takes {nbytes / GIGABYTE:,.1f} GB, and no evaluation of this card was "
                "delivered: `/ggez evaluate` under its pull request measures it on HF Jobs"
            )
        return judge(proposed, recomputed(proposed.document, out, self.repository), out)

    def _known(self, proposed: ProposedCard, indexed: IndexedCard, out: Path) -> Outcome:
        """A card that the index has measured, judged again: its alpha may be another by now."""
        if not indexed.fetch_evidence(self.hub, proposed.name, out):
            return Outcome(proposed.document, "measured before")
        outcome = self._judged(judge(proposed, open_evidence(out), out), out)
        # The curve is the index's, byte for byte, and published; the baselines depend on alpha.
        judged = outcome.document or proposed.document
        card = proposed.document.card.model_copy(update={"baselines": judged.card.baselines})
        return replace(
            outcome,
            document=replace(proposed.document, card=card),
            standing=f"measured before, {outcome.standing}",
        )

    def _judged(self, found: Evaluated, out: Path) -> Outcome:
        name = ProposedCard(found.path, found.document, None).name
        files: dict[str, Content] = {
            f"{EVIDENCE}/{name}/{file}": out / file for file in evidence_in(out)
        }
        improves = found.outcome != "fail" and found.report.beta is not None
        if improves:
            files[f"recipes/{name}.yaml"] = recipe_of(found, self.hub).encode()
        document = read_card(out / CARD)
        return Outcome(document, STANDINGS[found.outcome], files, improves, found.report)

    def _index(
        self,
        found: Mapping[str, Outcome],
        changed: frozenset[str],
        indexed: Mapping[str, IndexedCard],
    ) -> PublishedIndex:
        shutil.rmtree(self.work / "cards", ignore_errors=True)
        (self.work / "cards").mkdir(parents=True)
        evidence: dict[str, Content] = {}
        for path, outcome in found.items():
            document = outcome.document
            if path in changed:
                if path not in indexed:
                    continue
                # As it was: neither form was measured completely.
                document = indexed[path].document
            elif document is None:
                continue
            else:
                evidence |= outcome.files
                evidence |= self._signed_gates(path, outcome, known=path in indexed)
            (target := self.work / path).parent.mkdir(parents=True, exist_ok=True)
            target.write_text(render_card(document), encoding="utf-8")
        may_write = write_access(self.hub, INDEX_REPO, "dataset")
        # A card that cannot stand beside another one does not stop the rest.
        done = publish_index(
            self.work / "cards",
            may_write.hub,
            skip_bad=True,
            allow_empty=not indexed,
            evidence=evidence,
            by=self.by,
        )
        for bad in done.built.bad:
            self.say(f"left out: {bad.reason}")
        self.say(f"{INDEX_REPO}: by the token of {may_write.reason}")
        return done

    def _signed_gates(self, path: str, outcome: Outcome, *, known: bool) -> dict[str, Content]:
        """The signed outcome of a card's gates, beside the evidence that they rest on."""
        if self.by is None or outcome.gates is None:
            return {}
        place = f"{EVIDENCE}/{path.removeprefix('cards/').removesuffix('.md')}"
        digests = {
            name.removeprefix(f"{place}/"): sha256_file(content)
            for name, content in outcome.files.items()
            if name.startswith(f"{place}/") and isinstance(content, Path)
        }
        target = f"{place}/{RESULT_FILE}"
        previous = None
        if known:
            head = head_of(self.hub, INDEX_REPO, "dataset")
            if head.file(target):
                text = self.hub.read_text(INDEX_REPO, head.revision, target, "dataset")
                previous = text.encode()
        verdicts = {gate.name: gate.verdict for gate in outcome.gates.gates}
        total = outcome.gates.outcome
        return {target: sign_gates(self.by, path, digests, verdicts, total, previous)}

    def _push(self, path: str, outcome: Outcome, pusher: Pusher) -> Standing:
        if outcome.document is None or not outcome.improves:
            return Standing(path, outcome.standing, reason=outcome.standing)
        try:
            done = pusher.push(path, outcome.document.card)
        except Exception as problem:
            return Standing(path, outcome.standing, reason=first_line(problem))
        return Standing(path, outcome.standing, done.place, done.form, done.reason)


def _is_measured_anew(out: Path, known: CardDocument) -> bool:
    """Whether the folder holds other results of the registry than the card of the index, as
    `registry eval --stale` leaves them."""
    if not (out / RESULTS).is_file():
        return False
    header, curve = read_header(out), known.card.curve
    rows = [] if curve == "unknown" else [row for own in curve.values() for row in own.values()]
    return header.measured_by == "registry" and header.sha256 not in {r.predictions for r in rows}


def recipe_of(found: Evaluated, hub: Hub) -> str:
    """The merge of a card as YAML, for those who may not be given the result."""
    card = found.document.card
    location = location_of(card)
    base = hub.at_commit(card.base.repo, card.base.revision)
    adapter = hub.at_commit(location.repo, location.revision)
    recipe = MergeRecipe.model_validate(
        {
            "kind": "merge",
            "region": card.region,
            "family": card.family,
            "base": f"{base.repo}@{base.revision}",
            "adapters": [
                {"adapter": f"{adapter.repo}@{adapter.revision}", "beta": choose_for(card).beta}
            ],
        }
    )
    head = HEAD.format(path=found.path, alpha=card.alpha.value)
    return head + yaml.safe_dump(recipe.model_dump(exclude_defaults=True), sort_keys=False)
