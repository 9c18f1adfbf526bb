"""The repository with the result of an accepted card: merged weights, or the adapter form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.automation.budget import GIGABYTE, Budget
from ggez_hub.automation.card_sources import location_of
from ggez_hub.automation.cost import may_be_merged
from ggez_hub.cards import AdapterCard
from ggez_hub.errors import UsageProblem
from ggez_hub.hub import Hub
from ggez_hub.hub.commits import write_access
from ggez_hub.merging.deltas import BadAdapter
from ggez_hub.regions import alpha
from ggez_hub.registry.adapter_kinds import get_kind
from ggez_hub.registry.constants import INDEX_REPO
from ggez_hub.registry.licences import MayNotPush
from ggez_hub.registry.publication.result import (
    bill_beside,
    push,
    require_passing_on,
    scores_beside,
)
from ggez_hub.registry.pull.plan import PullPlan, plan
from ggez_hub.registry.pull.published_merge import find_published
from ggez_hub.registry.pull.pull import carry_out
from ggez_hub.registry.request import Request
from ggez_hub.registry.trust.signing import SigningKey

# Of the adapter forms the one that holds the most kinds of adapters, and the one for pipelines.
ADAPTER_FORMS = ("peft", "diffusers")


@dataclass(frozen=True)
class Pushed:
    """Where the result is, `repo@revision`, and in which form; or None and why there is none."""

    place: str | None
    form: str
    reason: str


@dataclass(frozen=True)
class Pusher:
    """Pushes results to repositories of the registry's organisation.

    on_request  paths of cards whose merged weights are wanted although they are large
    large       whether this machine merges what is too large for a runner of GitHub
    by          what signs the results
    """

    hub: Hub
    budget: Budget
    work: Path
    say: Callable[[str], None]
    on_request: frozenset[str] = frozenset()
    large: bool = False
    by: SigningKey | None = None

    def push(self, path: str, card: AdapterCard) -> Pushed:
        """Push the result of the accepted card at `path`; repeated, nothing is sent."""
        if not get_kind(card.kind).combined:
            return Pushed(None, "merged", "its author publishes it as it is")
        planned = plan(self._request(card, "merged"), self.hub)
        base = planned.resolution.base
        nbytes = base.nbytes if base is not None else 0
        fetched = sum(pinned.nbytes for pinned in planned.resolution.inputs)
        if path not in self.on_request and not may_be_merged(card, nbytes, self.budget):
            reason = f"merged weights of {nbytes / GIGABYTE:,.1f} GB are published on request"
            return self._adapter(path, card, reason)
        try:
            require_passing_on("merged", planned.obligations)
        except MayNotPush as problem:
            return self._adapter(path, card, problem.message)
        if not (self.large or self.budget.on_runner(fetched)):
            return Pushed(
                None,
                "merged",
                f"a base of {nbytes / GIGABYTE:,.1f} GB is merged on a larger machine: "
                "`ggez-hub ci publish --large` on one",
            )
        return self._send(path, card, planned, "merged")

    def _adapter(self, path: str, card: AdapterCard, reason: str) -> Pushed:
        """The adapter with beta folded in, for what is not published merged."""
        refused = reason
        for form in ADAPTER_FORMS:
            try:
                done = self._send(path, card, plan(self._request(card, form), self.hub), "adapter")
            except (BadAdapter, MayNotPush, UsageProblem) as problem:
                refused = f"{reason}; {problem.message}"
                continue
            return Pushed(done.place, form, reason)
        return Pushed(None, "adapter", refused)

    def _request(self, card: AdapterCard, form: str) -> Request:
        # With another release than the shipped one, alpha is the card's own.
        own = card.alpha.value != alpha(card.region).value
        return Request(
            card.region,
            family=card.family,
            form=form,
            adapters=(location_of(card).repo,),
            alpha=card.alpha.value if own else None,
        )

    def _send(self, path: str, card: AdapterCard, planned: PullPlan, suffix: str) -> Pushed:
        repo = published_name(path, card, suffix)
        there = find_published(planned.resolution, self.hub, {repo.partition("/")[0]})
        if there is not None and there.repo == repo:
            return Pushed(f"{repo}@{there.revision}", suffix, "")
        place = self.work / f"{path.removesuffix('.md')}-{planned.resolution.form}"
        pulled = carry_out(planned, self.hub, place)
        may_write = write_access(self.hub, repo)
        beside = scores_beside(planned, may_write.hub)
        beside |= bill_beside(pulled, planned, may_write.hub, repo)
        done = push(pulled, planned.obligations, may_write.hub, repo, beside=beside, by=self.by)
        self.say(f"{repo}: by the token of {may_write.reason}")
        return Pushed(f"{done.repo}@{done.revision}", suffix, "")


def published_name(path: str, card: AdapterCard, suffix: str) -> str:
    """The repository of the result of the card at `path`: no two cards share one."""
    owner = INDEX_REPO.partition("/")[0]
    return f"{owner}/{Path(path).stem}-{card.region}-{card.family}-{suffix}"
